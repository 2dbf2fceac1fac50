//! Writes to the API what was decided: bindings, conditions, evictions of victims. Decides what is
//! written, and does it; must not know why.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as PodKind;
use keelson_client::request::{DeleteOptions, Patch, Preconditions, WriteOptions};
use keelson_client::{ApiPath, Client, Error, Resource};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::model::{Pod, PodKey};

pub mod claims;

/// The address of a pod.
fn path(key: &PodKey) -> ApiPath {
    Resource::of::<PodKind>().named(key.namespace.text(), key.name.text())
}

/// Binds a pod to a node.
///
/// # Errors
/// The server refused, or was not reached.
pub async fn bind(client: &Client, pod: &Pod, node: &str) -> Result<(), Error> {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {
            "namespace": pod.key.namespace.text(),
            "name": pod.key.name.text(),
            "uid": &*pod.uid,
        },
        "target": {"kind": "Node", "name": node},
    });
    let path = path(&pod.key).subresource("binding");
    client.create::<_, IgnoredAny>(&path, &body).await.map(drop)
}

/// The condition of a pod that no node will do for. The time of transition stays where it was
/// told before.
fn refusal(pod: &Pod, message: &str, node: Option<&str>, now: Timestamp) -> Value {
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    });
    if pod.refused.is_none() {
        condition["lastTransitionTime"] = json!(seconds(now));
    }
    json!({"status": {"conditions": [condition], "nominatedNodeName": node}})
}

fn seconds(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Tells in a pod's status that no node will do, and where room is being made for it.
///
/// # Errors
/// The server refused, or was not reached.
pub async fn tell_refusal(
    client: &Client,
    pod: &Pod,
    message: &str,
    node: Option<&str>,
) -> Result<(), Error> {
    let patch = Patch::Strategic(refusal(pod, message, node, Timestamp::now()));
    patch_status(client, &pod.key, &patch).await
}

/// No room is being made for a pod any more.
///
/// # Errors
/// The server refused, or was not reached.
pub async fn forget_nomination(client: &Client, key: &PodKey) -> Result<(), Error> {
    let patch = Patch::Strategic(json!({"status": {"nominatedNodeName": null}}));
    patch_status(client, key, &patch).await
}

async fn patch_status(client: &Client, key: &PodKey, patch: &Patch) -> Result<(), Error> {
    let path = path(key).subresource("status");
    let options = WriteOptions::default();
    match client.patch::<IgnoredAny>(&path, patch, &options).await {
        Err(error) if error.is_not_found() => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Makes a pod go so that another gets its place: says so in its status, then deletes it with the
/// time to end that it asked for. One that is gone already is fine.
///
/// # Errors
/// The server refused, or was not reached.
pub async fn evict(client: &Client, victim: &Pod, scheduler: &str) -> Result<(), Error> {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "lastTransitionTime": seconds(Timestamp::now()),
    });
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    patch_status(client, &victim.key, &patch).await?;
    let options = DeleteOptions {
        preconditions: Some(Preconditions {
            uid: Some(victim.uid.to_string()),
            resource_version: None,
        }),
        ..DeleteOptions::default()
    };
    match client.delete(&path(&victim.key), &options).await {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time() {
        let pod = Pod::default();
        let first = refusal(&pod, "m", None, Timestamp::UNIX_EPOCH);
        let condition = &first["status"]["conditions"][0];
        assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:00Z");
        assert!(first["status"]["nominatedNodeName"].is_null());
        let told = Pod {
            refused: Some("m".into()),
            ..pod
        };
        let again = refusal(&told, "other", Some("n"), Timestamp::UNIX_EPOCH);
        assert!(
            again["status"]["conditions"][0]
                .get("lastTransitionTime")
                .is_none()
        );
        assert_eq!(again["status"]["nominatedNodeName"], "n");
    }
}
