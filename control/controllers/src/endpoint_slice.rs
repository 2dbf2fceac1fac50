//! Decides the EndpointSlices of Services with a selector. The key is the Service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use serde_json::{Value, json};

use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::endpoint_slice::{Endpoint, Port, SERVICE, SERVICE_NAME};
use crate::kinds::{EndpointSlice, Kind as _, Labels, Namespace, Node, Object as _, Pod, Service};
use crate::wiring::Wiring;
use crate::write::{Write, managed_by};

pub mod endpoints_of;
pub mod hints;
pub mod pack;
pub mod selecting;
pub mod zones;

use endpoints_of::{Family, ZONE};
use hints::Preference;
use pack::Group;
use zones::Part;

/// The label that says who keeps a slice, and what it says for ours.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// The label of what belongs to a Service without an address.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// When to look again for the node of a pod that was left out.
const NODE_MISSING: Duration = Duration::from_secs(5);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "endpointslice-controller",
    alias: "endpointslice",
    account: "endpointslice-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let services = wiring.own::<Service>();
        let pods = selecting::wake_by_pods(wiring, services.clone());
        let (known, queue) = (pods.clone(), services.clone());
        let nodes = wiring.watch(move |change: &Change<Node>, keys| {
            if zones::share_of(change.previous()) != zones::share_of(change.current()) {
                let all = queue.all().into_iter();
                let sharing = all.filter(|service| zones::is_asked_for(service));
                keys.extend(sharing.map(|service| service.key()));
            }
            if is_moved(change) {
                let node = &change.latest().metadata.name;
                for pod in known.by_index(crate::kinds::pod::NODE, node) {
                    selecting::services_of(
                        &queue,
                        &pod.metadata.namespace,
                        &pod.metadata.labels,
                        keys,
                    );
                }
            }
        });
        let slices = wiring.watch(|change: &Change<EndpointSlice>, keys| {
            keys.extend(change.current().and_then(service_of));
            keys.extend(change.previous().and_then(service_of));
            keys.dedup();
        });
        let limit = wiring.options.max_endpoints_per_slice.clamp(1, 1000) as usize;
        Some(Work::decide(Slicer {
            services,
            pods,
            nodes,
            slices,
            namespaces: wiring.read::<Namespace>(),
            limit,
        }))
    },
};

/// Whether a node came, went or changed its zone.
fn is_moved(change: &Change<Node>) -> bool {
    let zone = |node: Option<&Arc<Node>>| node.map(|node| node.metadata.labels.get(ZONE).cloned());
    zone(change.previous()) != zone(change.current())
}

/// The Service of a slice that this controller keeps.
fn service_of(slice: &Arc<EndpointSlice>) -> Option<Key> {
    let labels = &slice.metadata.labels;
    let ours = labels.get(MANAGED_BY).is_some_and(|name| name == MANAGER);
    let service = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some(Key::new(&slice.metadata.namespace, service))
}

/// Keeps the slices.
#[derive(Debug)]
struct Slicer {
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    slices: Store<EndpointSlice>,
    namespaces: Store<Namespace>,
    limit: usize,
}

impl Reconcile for Slicer {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let (namespace, name) = (&*input.key.namespace, &*input.key.name);
        let service = self.services.find(input.key);
        // The slices of a Service that is gone go with it: it owns them.
        let Some(service) = service.filter(|service| !service.metadata.is_leaving()) else {
            return plan;
        };
        let leaving = self.namespaces.get("", namespace);
        let Some(labels) = service
            .pod_labels()
            .filter(|_| leaving.is_none_or(|n| n.is_active()))
        else {
            return plan;
        };
        let pods = selecting::pods(&self.pods, namespace, labels);
        let slices = self
            .slices
            .by_index(SERVICE, &format!("{namespace}/{name}"));
        let slices: Vec<_> = slices
            .into_iter()
            .filter(|slice| !slice.metadata.is_leaving() && service_of(slice).is_some())
            .collect();
        let families = endpoints_of::families(&service);
        for family in &families {
            self.plan_family(&mut plan, &service, &pods, &slices, *family);
        }
        let known = |slice: &EndpointSlice| {
            families
                .iter()
                .any(|family| family.name() == slice.address_type)
        };
        for slice in slices.iter().filter(|slice| !known(slice)) {
            plan.write(Write::delete(&**slice));
        }
        plan
    }
}

impl Slicer {
    fn plan_family(
        &self,
        plan: &mut Plan,
        service: &Service,
        pods: &[Arc<Pod>],
        slices: &[Arc<EndpointSlice>],
        family: Family,
    ) {
        let names = pods.iter().map(|pod| &pod.spec.node_name);
        let nodes: HashMap<&str, Arc<Node>> = names
            .filter_map(|name| Some((&**name, self.nodes.get("", name)?)))
            .collect();
        let node = |name: &str| nodes.get(name).map(|node| &**node);
        let wanted = endpoints_of::wanted(service, pods, node, family);
        if !wanted.nodeless.is_empty() {
            plan.requeue_after(NODE_MISSING);
        }
        let of_family = slices
            .iter()
            .filter(|slice| slice.address_type == family.name());
        let (existing, strange): (Vec<_>, Vec<_>) =
            of_family.partition(|slice| is_owned(slice, service));
        for slice in strange {
            plan.write(Write::delete(&**slice));
        }
        let existing: Vec<&EndpointSlice> = existing.into_iter().map(|slice| &**slice).collect();
        let packing = pack::pack(&existing, wanted.groups, self.limit);
        let (labels, gone) = (labels(service), packing.delete.clone());
        let mut slices = Self::slices_of(packing, &existing, &labels);
        self.hint(plan, service, family, &existing, &mut slices);
        for Slice { at, ports, part } in slices.into_iter().filter(|slice| slice.part.touched) {
            let group = (ports, part.endpoints);
            plan.write(match at {
                Some(at) => changed(existing[at], &labels, &group),
                None => made(service, &labels, family, &group),
            });
        }
        for at in gone {
            plan.write(Write::delete(existing[at]));
        }
    }

    /// What slices should hold, hints apart: first those that are there, in their order.
    fn slices_of(
        packing: pack::Packing,
        existing: &[&EndpointSlice],
        labels: &Labels,
    ) -> Vec<Slice> {
        let kept = packing.keep.into_iter().map(|at| {
            let slice = existing[at];
            let touched = slice.metadata.labels != *labels;
            (at, touched, (slice.ports.clone(), slice.endpoints.clone()))
        });
        let updated = packing.update.into_iter();
        let mut there: Vec<_> = kept
            .chain(updated.map(|(at, group)| (at, true, group)))
            .collect();
        there.sort_by_key(|(at, ..)| *at);
        let there = there
            .into_iter()
            .map(|(at, touched, group)| (Some(at), touched, group));
        let new = packing.create.into_iter().map(|group| (None, true, group));
        let slices = there
            .chain(new)
            .map(|(at, touched, (ports, endpoints))| Slice {
                at,
                ports,
                part: Part { endpoints, touched },
            });
        slices.collect()
    }

    fn hint(
        &self,
        plan: &mut Plan,
        service: &Service,
        family: Family,
        existing: &[&EndpointSlice],
        slices: &mut [Slice],
    ) {
        if !zones::is_asked_for(service) {
            let preference = Preference::of(service);
            for Slice { part, .. } in slices {
                part.touched |= preference.apply(&mut part.endpoints);
            }
            return;
        }
        let processors = zones::processors(&self.nodes.all());
        let mut parts: Vec<&mut Part> = slices.iter_mut().map(|slice| &mut slice.part).collect();
        let assigned = zones::assign(processors.as_ref(), &mut parts);
        let mut before = existing.iter().flat_map(|slice| &slice.endpoints);
        let had_hints = before.any(|endpoint| endpoint.hints.is_some());
        let (about, name) = (About::of(service), family.name());
        match assigned {
            Ok(()) if had_hints || !parts.iter().any(|part| part.touched) => {}
            Ok(()) => {
                let message = format!("Endpoints are shared out to zones, addressType: {name}");
                plan.tell(about, "TopologyAwareHintsEnabled", message);
            }
            Err(why) if parts.iter().any(|part| part.touched) => {
                let message = format!("{why}, addressType: {name}");
                plan.warn(about, "TopologyAwareHintsDisabled", message);
            }
            Err(_) => {}
        }
    }
}

/// A slice as it should be.
struct Slice {
    /// Its place among those that are there.
    at: Option<usize>,
    ports: Vec<Port>,
    part: Part,
}

fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    let mut owners = slice.metadata.owner_references.iter();
    owners.any(|owner| owner.uid == service.metadata.uid && &*owner.kind == "Service")
}

/// The labels of a Service's slices: its own, and those by which they are found.
fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.to_string());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if !service.has_address() {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}

fn made(service: &Service, labels: &Labels, family: Family, group: &Group) -> Write {
    let meta = &service.metadata;
    let slice = json!({
        "metadata": {
            "generateName": format!("{}-", meta.name),
            "namespace": meta.namespace,
            "labels": labels,
            "ownerReferences": [managed_by(service)],
        },
        "addressType": family.name(),
        "ports": group.0,
        "endpoints": group.1,
    });
    Write::create(EndpointSlice::RESOURCE, &meta.namespace, slice)
}

fn changed(slice: &EndpointSlice, labels: &Labels, (ports, endpoints): &Group) -> Write {
    let mut changes = json!({"endpoints": endpoints as &Vec<Endpoint>});
    if slice.ports != *ports {
        changes["ports"] = json!(ports);
    }
    let labels = label_changes(&slice.metadata.labels, labels);
    if !labels.is_null() {
        changes["metadata"] = json!({"labels": labels});
    }
    Write::patch(slice, changes)
}

/// A merge patch from some labels to others; null if they are the same.
#[must_use]
pub fn label_changes(from: &Labels, to: &Labels) -> Value {
    if from == to {
        return Value::Null;
    }
    let mut changes = json!(to);
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        changes[key] = Value::Null;
    }
    changes
}

#[cfg(test)]
mod tests;
