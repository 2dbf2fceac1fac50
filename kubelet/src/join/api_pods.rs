//! Pods as the API has them: which of them this node is to run. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use keelson_client::Object;
use serde::{Deserialize, Deserializer};

use crate::model::{DesiredPod, PodOrigin, PodUid};
use crate::pod_source::SourceSnapshot;

/// Marks the API's picture of a static pod; its value is the static pod's hash.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod of the API, shared with what is made of it.
#[derive(Clone, Debug)]
pub struct ApiPod(pub Arc<Pod>);

impl<'de> Deserialize<'de> for ApiPod {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut pod = Pod::deserialize(from)?;
        // Often half of an object, and nobody here reads it.
        pod.metadata.managed_fields = None;
        Ok(Self(Arc::new(pod)))
    }
}

impl Object for ApiPod {
    fn namespace(&self) -> &str {
        self.0.metadata.namespace.as_deref().unwrap_or("")
    }

    fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or("")
    }

    fn resource_version(&self) -> &str {
        self.0.metadata.resource_version.as_deref().unwrap_or("")
    }
}

impl ApiPod {
    /// The pod's uid.
    #[must_use]
    pub fn uid(&self) -> PodUid {
        PodUid::from(self.0.metadata.uid.as_deref().unwrap_or(""))
    }

    /// The hash of the static pod that it is a picture of.
    #[must_use]
    pub fn mirror_of(&self) -> Option<&str> {
        let annotations = self.0.metadata.annotations.as_ref()?;
        annotations.get(MIRROR).map(String::as_str)
    }

    /// Whether somebody has asked for its end.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.0.metadata.deletion_timestamp.is_some()
    }
}

/// What the API wants of this node. Pictures of static pods are not wanted, they are reported.
#[must_use]
pub fn snapshot(pods: &[Arc<ApiPod>]) -> SourceSnapshot {
    let wanted = pods.iter().filter(|pod| pod.mirror_of().is_none());
    let mut wanted: Vec<Arc<DesiredPod>> = wanted
        .map(|pod| {
            Arc::new(DesiredPod {
                uid: pod.uid(),
                pod: pod.0.clone(),
                origin: PodOrigin::Api,
            })
        })
        .collect();
    // Oldest first, as they are admitted.
    wanted.sort_by(|a, b| order(&a.pod).cmp(&order(&b.pod)));
    SourceSnapshot {
        ready: true,
        pods: wanted,
        problems: Vec::new(),
    }
}

fn order(pod: &Pod) -> (Option<jiff::Timestamp>, &str) {
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, pod.metadata.name.as_deref().unwrap_or(""))
}

/// Whether the two differ in what a kubelet acts on. Statuses, versions and owners do not count.
#[must_use]
pub fn differ(known: &Pod, new: &Pod) -> bool {
    let (a, b) = (&known.metadata, &new.metadata);
    known.spec != new.spec
        || a.labels != b.labels
        || a.annotations != b.annotations
        || a.generation != b.generation
}

/// Whether a readiness gate of the pod opened or closed between the two.
#[must_use]
pub fn gates_differ(known: &Pod, new: &Pod) -> bool {
    let gates = new.spec.iter().flat_map(|spec| &spec.readiness_gates);
    let state = |pod: &Pod, type_: &str| {
        let conditions = pod.status.iter().flat_map(|status| &status.conditions);
        let mut named = conditions.flatten().filter(|found| found.type_ == type_);
        named.next().map(|found| found.status.clone())
    };
    gates.flatten().any(|gate| {
        let type_ = &gate.condition_type;
        state(known, type_) != state(new, type_)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(value: Value) -> Arc<ApiPod> {
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn wants_all_but_mirrors_oldest_first() {
        let young = json!({"metadata": {"uid": "1", "name": "a",
            "creationTimestamp": "2026-01-02T00:00:00Z", "managedFields": [{"manager": "x"}]}});
        let old = json!({"metadata": {"uid": "2", "name": "b",
            "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let mirror = json!({"metadata": {"uid": "3", "name": "c", "annotations": {MIRROR: "h"}}});
        let snapshot = snapshot(&[pod(young), pod(old), pod(mirror)]);
        let uids: Vec<_> = snapshot
            .pods
            .iter()
            .map(|pod| pod.uid.to_string())
            .collect();
        assert_eq!(uids, ["2", "1"]);
        assert!(snapshot.pods[1].pod.metadata.managed_fields.is_none());
    }

    #[test]
    fn what_ended_or_leaves_is_not_begun() {
        let check = |value: Value, expected: bool| {
            let desired = DesiredPod {
                uid: "u".into(),
                pod: pod(value.clone()).0.clone(),
                origin: PodOrigin::Api,
            };
            assert_eq!(desired.may_begin(), expected, "{value}");
        };
        check(json!({"status": {"phase": "Pending"}}), true);
        check(json!({}), true);
        check(json!({"status": {"phase": "Failed"}}), false);
        check(
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            false,
        );
    }

    #[test]
    fn a_readiness_gate_is_heard_of() {
        let with = |status: &str| {
            pod(
                json!({"spec": {"containers": [], "readinessGates": [{"conditionType": "g"}]},
                "status": {"conditions": [{"type": "g", "status": status},
                    {"type": "Ready", "status": status}]}}),
            )
        };
        let without = pod(json!({"spec": {"containers": []},
            "status": {"conditions": [{"type": "g", "status": "True"}]}}));
        assert!(gates_differ(&with("False").0, &with("True").0));
        assert!(!gates_differ(&with("True").0, &with("True").0));
        assert!(!gates_differ(&with("False").0, &without.0));
    }

    #[test]
    fn a_new_status_is_no_new_wish() {
        let before = pod(json!({"metadata": {"resourceVersion": "1"}, "spec": {"containers": []}}));
        let after = pod(
            json!({"metadata": {"resourceVersion": "2"}, "spec": {"containers": []},
            "status": {"phase": "Running"}}),
        );
        let edited = pod(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}));
        assert!(!differ(&before.0, &after.0));
        assert!(differ(&before.0, &edited.0));
    }
}
