//! Finds the pods of a Service and the Services of a pod. Must not know what is made of them.

use std::sync::Arc;

use keelson_client::Store;
use keelson_client::cache::{Change, Key};

use crate::kinds::{Labels, NAMESPACE, Pod, Service};
use crate::wiring::Wiring;

/// The pods of a namespace that have all these labels, by name.
#[must_use]
pub fn pods(pods: &Store<Pod>, namespace: &str, labels: &Labels) -> Vec<Arc<Pod>> {
    let mut found: Vec<_> = pods
        .by_index(NAMESPACE, namespace)
        .into_iter()
        .filter(|pod| has_all(&pod.metadata.labels, labels))
        .collect();
    found.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    found
}

/// Whether labels include all of those that are wanted.
#[must_use]
pub fn has_all(labels: &Labels, wanted: &Labels) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Adds the keys of the Services that select these labels.
pub fn services_of(
    services: &Store<Service>,
    namespace: &str,
    labels: &Labels,
    keys: &mut Vec<Key>,
) {
    for service in services.by_index(NAMESPACE, namespace) {
        let selects = service
            .pod_labels()
            .is_some_and(|wanted| has_all(labels, wanted));
        let key = Key::new(namespace, &service.metadata.name);
        if selects && !keys.contains(&key) {
            keys.push(key);
        }
    }
}

/// Watches pods: a change that endpoints show is about the Services that select the pod, before or
/// after.
pub fn wake_by_pods(wiring: &mut Wiring<'_>, services: Store<Service>) -> Store<Pod> {
    wiring.watch(move |change: &Change<Pod>, keys| {
        if !shows(change) {
            return;
        }
        for pod in [change.previous(), change.current()].into_iter().flatten() {
            services_of(
                &services,
                &pod.metadata.namespace,
                &pod.metadata.labels,
                keys,
            );
        }
    })
}

/// Whether anything changed that endpoints are made of.
fn shows(change: &Change<Pod>) -> bool {
    let (Some(old), Some(new)) = (change.previous(), change.current()) else {
        return true;
    };
    let ips = |pod: &Pod| -> Vec<Box<str>> {
        pod.status.pod_ips.iter().map(|ip| ip.ip.clone()).collect()
    };
    old.metadata.labels != new.metadata.labels
        || old.metadata.uid != new.metadata.uid
        || old.metadata.is_leaving() != new.metadata.is_leaving()
        || old.is_ready() != new.is_ready()
        || old.is_finished() != new.is_finished()
        || old.spec.node_name != new.spec.node_name
        || old.status.pod_ip != new.status.pod_ip
        || ips(old) != ips(new)
}
