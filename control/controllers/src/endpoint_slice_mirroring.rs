//! Decides the EndpointSlices that mirror Endpoints which people keep themselves, of Services
//! without a selector. The key is the Endpoints object, which is named like its Service.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use serde_json::json;

use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::endpoint_slice::endpoints_of::{Family, sorted};
use crate::endpoint_slice::pack::{Group, pack};
use crate::endpoint_slice::{MANAGED_BY, label_changes};
use crate::kinds::endpoint_slice::{Conditions, Endpoint, Port, SERVICE, SERVICE_NAME};
use crate::kinds::endpoints::{Address, Subset};
use crate::kinds::{EndpointSlice, Endpoints, Kind as _, Labels, Object as _, Service};
use crate::wiring::Wiring;
use crate::write::{Write, managed_by};

/// What the label says of whose slices these are.
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// The label of Endpoints that are not to be mirrored.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// The annotation of Endpoints that are somebody's lock.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// The annotation that is about the Endpoints object alone.
const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "endpointslice-mirroring-controller",
    alias: "endpointslicemirroring",
    account: "endpointslicemirroring-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let services = wiring.watch(|change: &Change<Service>, keys| {
            let sides = [change.previous(), change.current()];
            if sides
                .into_iter()
                .flatten()
                .any(|service| !has_selector(service))
            {
                keys.push(change.latest().key());
            }
        });
        let slices = wiring.watch(|change: &Change<EndpointSlice>, keys| {
            keys.extend(change.current().and_then(mirrored_by));
            keys.extend(change.previous().and_then(mirrored_by));
            keys.dedup();
        });
        let limit = wiring.options.mirroring_max_endpoints_per_subset;
        Some(Work::decide(Mirror {
            endpoints: wiring.own::<Endpoints>(),
            services,
            slices,
            limit: limit.clamp(1, 1000) as usize,
        }))
    },
};

fn has_selector(service: &Service) -> bool {
    let selector = service.spec.selector.as_ref();
    selector.is_some_and(|labels| !labels.is_empty())
}

/// The Endpoints that a slice of ours mirrors.
fn mirrored_by(slice: &Arc<EndpointSlice>) -> Option<Key> {
    let labels = &slice.metadata.labels;
    let ours = labels.get(MANAGED_BY).is_some_and(|name| name == MANAGER);
    let name = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some(Key::new(&slice.metadata.namespace, name))
}

fn is_to_be_mirrored(endpoints: &Endpoints) -> bool {
    let skip = endpoints.metadata.labels.get(SKIP);
    let skip =
        skip.is_some_and(|text| matches!(&**text, "1" | "t" | "T" | "true" | "TRUE" | "True"));
    !skip && !endpoints.metadata.annotations.contains_key(LEADER)
}

/// Keeps the mirrors.
#[derive(Debug)]
struct Mirror {
    endpoints: Store<Endpoints>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    /// Addresses of a subset that are mirrored, at most.
    limit: usize,
}

impl Reconcile for Mirror {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let word = format!("{}/{}", input.key.namespace, input.key.name);
        let mut slices = self.slices.by_index(SERVICE, &word);
        slices.retain(|slice| !slice.metadata.is_leaving() && mirrored_by(slice).is_some());
        let service = self.services.find(input.key);
        let endpoints = self.endpoints.find(input.key).filter(|endpoints| {
            is_to_be_mirrored(endpoints) && service.is_some_and(|service| !has_selector(&service))
        });
        match endpoints {
            Some(endpoints) => self.mirror(&mut plan, &endpoints, &slices),
            None => slices
                .iter()
                .for_each(|slice| plan.write(Write::delete(&**slice))),
        }
        plan
    }
}

impl Mirror {
    fn mirror(&self, plan: &mut Plan, endpoints: &Endpoints, slices: &[Arc<EndpointSlice>]) {
        let wanted = wanted(&endpoints.subsets, self.limit);
        let about = || About::of(endpoints);
        if wanted.invalid > 0 {
            let count = wanted.invalid;
            let message =
                format!("Skipped {count} invalid IP addresses when mirroring to EndpointSlices");
            plan.warn(about(), "InvalidIPAddress", message);
        }
        if wanted.cut > 0 {
            let (limit, count) = (self.limit, wanted.cut);
            let message = format!(
                "A max of {limit} addresses can be mirrored to EndpointSlices per Endpoints \
                 subset. {count} addresses were skipped"
            );
            plan.warn(about(), "TooManyAddressesToMirror", message);
        }
        let known = [Family::V4, Family::V6];
        let strange = |slice: &EndpointSlice| known.iter().all(|f| f.name() != slice.address_type);
        for slice in slices.iter().filter(|slice| strange(slice)) {
            plan.write(Write::delete(&**slice));
        }
        for (family, groups) in known.into_iter().zip(wanted.groups) {
            let of_family = slices
                .iter()
                .filter(|slice| slice.address_type == family.name());
            let existing: Vec<&EndpointSlice> = of_family.map(|slice| &**slice).collect();
            self.mirror_family(plan, endpoints, &existing, family, groups);
        }
    }

    fn mirror_family(
        &self,
        plan: &mut Plan,
        endpoints: &Endpoints,
        existing: &[&EndpointSlice],
        family: Family,
        groups: BTreeMap<Vec<Port>, Vec<Endpoint>>,
    ) {
        if groups.is_empty() {
            existing
                .iter()
                .for_each(|slice| plan.write(Write::delete(*slice)));
            return;
        }
        let groups: Vec<Group> = groups.into_iter().collect();
        let packing = pack(existing, groups, self.limit);
        for (ports, found) in packing
            .create
            .into_iter()
            .filter(|_| !endpoints.metadata.is_leaving())
        {
            plan.write(made(endpoints, family, &ports, &found));
        }
        for at in packing.keep {
            plan.writes.extend(changed(endpoints, existing[at], None));
        }
        for (at, group) in packing.update {
            plan.writes
                .extend(changed(endpoints, existing[at], Some(&group)));
        }
        for at in packing.delete {
            plan.write(Write::delete(existing[at]));
        }
    }
}

/// What Endpoints say, by family and ports.
#[derive(Default)]
struct Wanted {
    /// Of IPv4 and IPv6.
    groups: [BTreeMap<Vec<Port>, Vec<Endpoint>>; 2],
    /// Addresses that are none.
    invalid: usize,
    /// Addresses beyond the limit.
    cut: usize,
}

fn wanted(subsets: &[Subset], limit: usize) -> Wanted {
    let mut wanted = Wanted::default();
    for subset in subsets {
        let ports = sorted(&subset.ports);
        let ready = subset.addresses.iter().map(|address| (address, true));
        let others = subset
            .not_ready_addresses
            .iter()
            .map(|address| (address, false));
        let mut mirrored = 0;
        for (address, ready) in ready.chain(others) {
            if mirrored == limit {
                wanted.cut += 1;
                continue;
            }
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                wanted.invalid += 1;
                continue;
            };
            mirrored += 1;
            let group = wanted.groups[usize::from(ip.is_ipv6())].entry(ports.clone());
            group.or_default().push(endpoint(address, ready));
        }
    }
    wanted
}

fn endpoint(address: &Address, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Conditions {
            ready: Some(ready),
            ..Conditions::default()
        },
        hostname: Some(address.hostname.clone()).filter(|name| !name.is_empty()),
        target_ref: address.target_ref.clone(),
        node_name: address.node_name.clone(),
        ..Endpoint::default()
    }
}

fn labels(endpoints: &Endpoints) -> Labels {
    let mut labels = endpoints.metadata.labels.clone();
    labels.insert(SERVICE_NAME.to_owned(), endpoints.metadata.name.to_string());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn annotations(endpoints: &Endpoints) -> Labels {
    let mut annotations = endpoints.metadata.annotations.clone();
    annotations.remove(TRIGGERED);
    annotations
}

fn made(endpoints: &Endpoints, family: Family, ports: &[Port], found: &[Endpoint]) -> Write {
    let meta = &endpoints.metadata;
    let slice = json!({
        "metadata": {
            "generateName": format!("{}-", meta.name),
            "namespace": meta.namespace,
            "labels": labels(endpoints),
            "annotations": annotations(endpoints),
            "ownerReferences": [managed_by(endpoints)],
        },
        "addressType": family.name(),
        "ports": ports,
        "endpoints": found,
    });
    Write::create(EndpointSlice::RESOURCE, &meta.namespace, slice)
}

fn changed(endpoints: &Endpoints, slice: &EndpointSlice, group: Option<&Group>) -> Option<Write> {
    let mut changes = json!({});
    if let Some((ports, found)) = group {
        changes["endpoints"] = json!(found);
        if slice.ports != *ports {
            changes["ports"] = json!(ports);
        }
    }
    let relabelled = label_changes(&slice.metadata.labels, &labels(endpoints));
    if !relabelled.is_null() {
        changes["metadata"]["labels"] = relabelled;
    }
    let annotated = label_changes(&slice.metadata.annotations, &annotations(endpoints));
    if !annotated.is_null() {
        changes["metadata"]["annotations"] = annotated;
    }
    let any = changes.as_object().is_some_and(|fields| !fields.is_empty());
    any.then(|| Write::patch(slice, changes))
}

#[cfg(test)]
mod tests;
