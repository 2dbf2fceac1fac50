//! The API's pictures of static pods: which to create, which to remove. Pure.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::api_pods::{ApiPod, MIRROR};
use crate::model::PodUid;

/// The hash of a static pod's content, which its source writes.
const HASH: &str = "kubernetes.io/config.hash";

/// What to do about one static pod's picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is as it should be.
    Keep,
    /// There is none.
    Create(Box<Pod>),
    /// This one shows something else, or is to go; the next look creates a new one.
    Remove(PodUid),
    /// The name is taken by a pod that is no picture.
    Blocked,
}

/// Compares a static pod with the pod of the same name in the API. The node's uid makes it the
/// picture's owner.
#[must_use]
pub fn step(static_pod: &Pod, api: Option<&ApiPod>, node: &str, node_uid: &str) -> Step {
    let Some(api) = api else {
        return Step::Create(Box::new(picture(static_pod, node, node_uid)));
    };
    match api.mirror_of() {
        None => Step::Blocked,
        Some(shown) if shown == hash(static_pod) && !api.is_leaving() => Step::Keep,
        Some(_) => Step::Remove(api.uid()),
    }
}

fn hash(pod: &Pod) -> &str {
    let annotations = pod.metadata.annotations.as_ref();
    let found = annotations.and_then(|map| map.get(HASH));
    found.map_or("", String::as_str)
}

/// What the API is shown of a static pod.
fn picture(pod: &Pod, node: &str, node_uid: &str) -> Pod {
    let mut annotations = pod.metadata.annotations.clone().unwrap_or_default();
    annotations.insert(MIRROR.to_owned(), hash(pod).to_owned());
    Pod {
        metadata: ObjectMeta {
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            labels: pod.metadata.labels.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: node.to_owned(),
                uid: node_uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: pod.spec.clone(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn static_pod() -> Pod {
        serde_json::from_value(
            json!({"metadata": {"name": "p-n", "namespace": "kube-system",
            "uid": "hash1", "annotations": {HASH: "hash1"}}, "spec": {"containers": []}}),
        )
        .unwrap()
    }

    fn api(metadata: Value) -> ApiPod {
        ApiPod(Arc::new(
            serde_json::from_value(json!({"metadata": metadata})).unwrap(),
        ))
    }

    #[test]
    fn a_missing_picture_is_made() {
        let Step::Create(made) = step(&static_pod(), None, "n", "node-uid") else {
            panic!("it is created");
        };
        let made = made.metadata;
        assert_eq!(made.uid, None, "the API gives its own");
        assert_eq!(made.annotations.unwrap()[MIRROR], "hash1");
        let owner = &made.owner_references.unwrap()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str()),
            ("Node", "node-uid")
        );
    }

    #[test]
    fn a_wrong_picture_goes() {
        let check = |metadata: Value, expected: Step| {
            let found = step(&static_pod(), Some(&api(metadata)), "n", "u");
            assert_eq!(found, expected);
        };
        check(json!({"annotations": {MIRROR: "hash1"}}), Step::Keep);
        check(
            json!({"uid": "x", "annotations": {MIRROR: "old"}}),
            Step::Remove("x".into()),
        );
        check(
            json!({"uid": "x", "annotations": {MIRROR: "hash1"},
                "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            Step::Remove("x".into()),
        );
        check(json!({"uid": "x"}), Step::Blocked);
    }
}
