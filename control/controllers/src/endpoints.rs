//! Decides the Endpoints of Services with a selector, for those who still read them. The key is
//! the Service.

use std::collections::BTreeMap;

use keelson_client::Store;
use keelson_client::cache::Change;
use serde_json::{Value, json};

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::endpoint_slice::endpoints_of::{self, Family, sorted};
use crate::endpoint_slice::{HEADLESS, label_changes, selecting};
use crate::kinds::endpoint_slice::Port;
use crate::kinds::endpoints::{Address, Subset};
use crate::kinds::{Endpoints, Kind as _, Labels, Pod, Service};
use crate::wiring::Wiring;
use crate::write::Write;

/// So many addresses are published, and this annotation says that there are more.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The label that says who keeps the object, and what it says for ours.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "endpoints-controller",
    alias: "endpoint",
    account: "endpoint-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let services = wiring.own::<Service>();
        let pods = selecting::wake_by_pods(wiring, services.clone());
        let endpoints = wiring.watch(|change: &Change<Endpoints>, keys| {
            keys.push(keelson_client::Object::key(&**change.latest()));
        });
        Some(Work::decide(Keeper {
            services,
            pods,
            endpoints,
        }))
    },
};

/// Keeps Endpoints.
#[derive(Debug)]
struct Keeper {
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
}

impl Reconcile for Keeper {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let known = self.endpoints.find(input.key);
        let Some(service) = self.services.find(input.key) else {
            // What others made without a Service is theirs.
            if let Some(known) = known.filter(|it| it.metadata.labels.contains_key(MANAGED_BY)) {
                plan.write(Write::delete(&*known));
            }
            return plan;
        };
        let Some(selector) = service
            .pod_labels()
            .filter(|_| !service.metadata.is_leaving())
        else {
            return plan;
        };
        let pods = selecting::pods(&self.pods, &input.key.namespace, selector);
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
        let (subsets, is_cut) = subsets(&service, &pods);
        let labels = labels(&service);
        let Some(known) = known else {
            let mut annotations = Labels::new();
            if is_cut {
                annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
            }
            let object = json!({
                "metadata": {
                    "name": service.metadata.name, "namespace": service.metadata.namespace,
                    "labels": labels, "annotations": annotations,
                },
                "subsets": subsets,
            });
            plan.write(Write::create(
                Endpoints::RESOURCE,
                &input.key.namespace,
                object,
            ));
            return plan;
        };
        if let Some(changes) = changes(&known, &subsets, &labels, is_cut) {
            plan.write(Write::patch(&*known, changes));
        }
        plan
    }
}

fn changes(known: &Endpoints, subsets: &[Subset], labels: &Labels, is_cut: bool) -> Option<Value> {
    let mut changes = json!({});
    if known.subsets != subsets {
        changes["subsets"] = json!(subsets);
    }
    let relabelled = label_changes(&known.metadata.labels, labels);
    if !relabelled.is_null() {
        changes["metadata"]["labels"] = relabelled;
    }
    if known.metadata.annotations.contains_key(OVER_CAPACITY) != is_cut {
        let mark = is_cut.then_some("truncated");
        changes["metadata"]["annotations"] = json!({ OVER_CAPACITY: mark });
    }
    changes
        .as_object()
        .is_some_and(|fields| !fields.is_empty())
        .then_some(changes)
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if !service.has_address() {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

/// The subsets of a Service, in an order of their own, and whether some addresses are missing.
fn subsets(service: &Service, pods: &[&Pod]) -> (Vec<Subset>, bool) {
    let family = endpoints_of::families(service)
        .first()
        .copied()
        .unwrap_or(Family::V4);
    let family = match service.spec.ip_families.first() {
        Some(first) if &**first == Family::V6.name() => Family::V6,
        _ => family,
    };
    let everybody = service.spec.publish_not_ready_addresses;
    let mut found: Vec<(bool, Vec<Port>, Address)> = Vec::new();
    for pod in pods
        .iter()
        .filter(|pod| endpoints_of::has_endpoint(pod, everybody))
    {
        let ports = sorted(&endpoints_of::ports(service, pod));
        if ports.is_empty() && !service.spec.ports.is_empty() {
            continue;
        }
        if let Some(endpoint) = endpoints_of::endpoint(service, pod, None, family) {
            let address = Address {
                ip: endpoint.addresses.into_iter().next().unwrap_or_default(),
                hostname: endpoint.hostname.unwrap_or_default(),
                node_name: endpoint.node_name,
                target_ref: endpoint.target_ref,
            };
            found.push((everybody || pod.is_ready(), ports, address));
        }
    }
    let is_cut = found.len() > CAPACITY;
    // Those that aren't ready are left out first.
    found.sort_by(|one, other| (!one.0, &one.2).cmp(&(!other.0, &other.2)));
    found.truncate(CAPACITY);
    let mut groups: BTreeMap<Vec<Port>, Subset> = BTreeMap::new();
    for (ready, ports, address) in found {
        let subset = groups.entry(ports.clone()).or_insert_with(|| Subset {
            ports,
            ..Subset::default()
        });
        if ready {
            subset.addresses.push(address);
        } else {
            subset.not_ready_addresses.push(address);
        }
    }
    (groups.into_values().collect(), is_cut)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Keeper;
    use crate::controller::Plan;
    use crate::given;
    use crate::write::{Action, merge};

    fn pod(name: &str, ip: &str, more: Value) -> Value {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}]},
        });
        merge(&mut pod, more);
        pod
    }

    fn planned(pods: Value, endpoints: Value) -> Plan {
        let keeper = Keeper {
            services: given::store(json!([{
                "metadata": {"name": "web", "namespace": "a", "labels": {"team": "x"}},
                "spec": {"clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
                    "ports": [{"protocol": "TCP", "port": 80, "targetPort": 8080}]},
            }])),
            pods: given::store(pods),
            endpoints: given::store(endpoints),
        };
        given::plan(&keeper, given::at(0), "a", "web")
    }

    fn made(plan: &Plan) -> Value {
        match &plan.writes[0].action {
            Action::Create { object, .. } => object.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ready_and_other_pods_are_told_apart() {
        let pods = json!([
            pod("b", "10.1.0.2", json!({"status": {"conditions": []}})),
            pod("a", "10.1.0.1", json!({})),
            pod(
                "c",
                "10.1.0.3",
                json!({"metadata": {"deletionTimestamp": given::at(1)}})
            ),
            pod("d", "10.1.0.4", json!({"status": {"phase": "Succeeded"}})),
        ]);
        let plan = planned(pods.clone(), json!([]));
        let object = made(&plan);
        let address = |name: &str, ip: &str| {
            json!({"ip": ip, "nodeName": "n",
                "targetRef": {"kind": "Pod", "namespace": "a", "name": name, "uid": name}})
        };
        assert_eq!(
            object["subsets"],
            json!([{
                "addresses": [address("a", "10.1.0.1")],
                "notReadyAddresses": [address("b", "10.1.0.2")],
                "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            }])
        );
        assert_eq!(object["metadata"]["labels"]["team"], "x");
        // What is right is left alone.
        assert!(planned(pods, json!([object])).is_empty());
    }

    #[test]
    fn too_many_are_cut_and_said_to_be() {
        let pods: Vec<_> = (0..1001)
            .map(|at: u32| {
                let ready = if at == 0 { "False" } else { "True" };
                let status =
                    json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
                pod(
                    &format!("p{at}"),
                    &format!("10.1.{}.{}", at >> 8, at & 255),
                    status,
                )
            })
            .collect();
        let object = made(&planned(json!(pods), json!([])));
        assert_eq!(
            object["subsets"][0]["addresses"].as_array().unwrap().len(),
            1000
        );
        assert_eq!(object["subsets"][0]["notReadyAddresses"], Value::Null);
        let annotations = &object["metadata"]["annotations"];
        assert_eq!(
            annotations["endpoints.kubernetes.io/over-capacity"],
            "truncated"
        );
    }
}
