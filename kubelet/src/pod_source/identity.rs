//! The identity of static pods: uid, name, namespace and the annotations that tell their source.
//!
//! Pure. A uid is made of node, source and content, so that an edit is another pod; a comment or
//! another order of fields is not an edit.

use keelson_api::core::{Pod, Toleration};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::manifest::Reading;
use super::{PodOrigin, PodUid};

/// Which source a pod comes from: `file` or `http`.
pub(super) const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// The content's hash.
pub(super) const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// When the content was first read.
pub(super) const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

const SYSTEM_NODE_CRITICAL: (&str, i32) = ("system-node-critical", 2_000_001_000);
const SYSTEM_CLUSTER_CRITICAL: (&str, i32) = ("system-cluster-critical", 2_000_000_000);

/// Gives a pod its identity; `content` is the object as its author wrote it.
pub(super) fn assign(pod: &mut Pod, reading: &Reading<'_>, content: &Value) -> PodUid {
    let uid = uid(reading, content);
    let meta = &mut pod.metadata;
    meta.uid = Some(uid.clone());
    let node = reading.node_name.to_lowercase();
    let name = meta.name.take().unwrap_or_default();
    meta.name = Some(format!("{name}-{node}"));
    if meta.namespace.as_deref().unwrap_or_default().is_empty() {
        meta.namespace = Some("default".to_owned());
    }
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(CONFIG_SOURCE.to_owned(), source(reading.origin).to_owned());
    annotations.insert(CONFIG_HASH.to_owned(), uid.clone());
    annotations.insert(CONFIG_SEEN.to_owned(), reading.seen.to_owned());
    if let Some(spec) = &mut pod.spec {
        spec.node_name = Some(reading.node_name.to_owned());
        tolerate_everything(spec.tolerations.get_or_insert_default());
        spec.priority = spec.priority.or(match spec.priority_class_name.as_deref() {
            Some(name) if name == SYSTEM_NODE_CRITICAL.0 => Some(SYSTEM_NODE_CRITICAL.1),
            Some(name) if name == SYSTEM_CLUSTER_CRITICAL.0 => Some(SYSTEM_CLUSTER_CRITICAL.1),
            _ => None,
        });
    }
    pod.status = None;
    PodUid::from(uid.as_str())
}

fn source(origin: &PodOrigin) -> &'static str {
    match origin {
        PodOrigin::File(_) => "file",
        PodOrigin::Http(_) => "http",
        PodOrigin::Api => "api",
    }
}

fn uid(reading: &Reading<'_>, content: &Value) -> String {
    let mut hash = Sha256::new();
    let mut add = |name: &str, value: &[u8]| {
        hash.update(name.as_bytes());
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    };
    add("host", reading.node_name.as_bytes());
    match reading.origin {
        PodOrigin::File(path) => add("file", path.as_os_str().as_encoded_bytes()),
        PodOrigin::Http(url) => add("url", url.as_bytes()),
        PodOrigin::Api => add("api", b""),
    }
    // Keys of a JSON object come out sorted, whatever order they were written in.
    add("content", content.to_string().as_bytes());
    hex::encode(&hash.finalize()[..16])
}

/// Static pods run whatever taints say.
fn tolerate_everything(tolerations: &mut Vec<Toleration>) {
    let all = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    if !tolerations.contains(&all) {
        tolerations.push(all);
    }
}
