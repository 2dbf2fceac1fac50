//! Labels and annotations that tie a sandbox or container in the runtime to its pod: written at
//! creation, read back after a restart of the agent. The names are the kubelet's, so that tools and
//! an upstream kubelet on the same runtime recognise them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

/// `metadata.name` of the pod.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// `metadata.namespace` of the pod.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// `metadata.uid` of the pod.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// `name` of the container.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: hash of the container's definition, in hexadecimal.
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
/// Annotation: the restart count at creation.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: path of the termination message inside of the container.
pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: `terminationMessagePolicy`.
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: `terminationGracePeriodSeconds` of the pod.
pub const POD_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Labels of a sandbox: the pod's own and the three that identify it.
#[must_use]
pub fn sandbox_labels(pod: &Pod) -> BTreeMap<String, String> {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(identity(pod));
    labels
}

/// Labels of a container: the pod's identity and its own name.
#[must_use]
pub fn container_labels(pod: &Pod, name: &str) -> BTreeMap<String, String> {
    let mut labels = identity(pod);
    labels.insert(CONTAINER_NAME.to_owned(), name.to_owned());
    labels
}

/// Annotations of a container: what a restarted agent needs to know of it without its manifest.
#[must_use]
pub fn container_annotations(
    pod: &Pod,
    container: &Container,
    hash: u64,
    attempt: u32,
) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([
        (CONTAINER_HASH.to_owned(), format!("{hash:x}")),
        (RESTART_COUNT.to_owned(), attempt.to_string()),
    ]);
    let mut note = |key: &str, value: Option<String>| {
        value.map(|value| notes.insert(key.to_owned(), value));
    };
    note(TERMINATION_PATH, container.termination_message_path.clone());
    note(
        TERMINATION_POLICY,
        container.termination_message_policy.clone(),
    );
    let grace = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds);
    note(POD_GRACE, grace.map(|seconds| seconds.to_string()));
    notes
}

fn identity(pod: &Pod) -> BTreeMap<String, String> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    BTreeMap::from([
        (POD_NAME.to_owned(), text(&pod.metadata.name)),
        (POD_NAMESPACE.to_owned(), text(&pod.metadata.namespace)),
        (POD_UID.to_owned(), text(&pod.metadata.uid)),
    ])
}
