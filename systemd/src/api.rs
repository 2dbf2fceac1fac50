//! The API server, asked as the cluster's administrator. Reads only the fields that it shows.

use crate::layout::Layout;
use keelson_client::kubeconfig::{Config, KubeconfigError};
use keelson_client::request::{DeleteOptions, ListOptions, Patch, Selection, WriteOptions};
use keelson_client::{Client, Error, Resource};
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A client with the administrator's kubeconfig.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn admin(layout: &Layout) -> Result<Client, KubeconfigError> {
    client(&layout.kubeconfig("admin"))
}

/// A client with this kubeconfig.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn client(path: &Path) -> Result<Client, KubeconfigError> {
    let config = Config::from_file(path)?;
    Ok(Client::new(&config, "up")?.with_limit(LIMIT))
}

/// A Node object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name.
    pub metadata: Meta,
    /// What it is given.
    pub spec: NodeSpec,
    /// What it says of itself.
    pub status: NodeStatus,
}

/// `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// `name`.
    pub name: String,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSpec {
    /// `podCIDR`: its part of the pods' addresses.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// `podCIDRs`: the same, one for each family.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
}

impl NodeSpec {
    /// Its ranges of pods' addresses.
    #[must_use]
    pub fn pod_ranges(&self) -> Vec<&str> {
        let all = self.pod_cidrs.iter().map(String::as_str);
        let all: Vec<_> = all.filter(|range| !range.is_empty()).collect();
        match all.as_slice() {
            [] if !self.pod_cidr.is_empty() => vec![&self.pod_cidr],
            _ => all,
        }
    }
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// `conditions`.
    pub conditions: Vec<Condition>,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `status`: `True`, `False` or `Unknown`.
    pub status: String,
    /// `message`, for people.
    pub message: String,
}

impl Node {
    fn ready(&self) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|one| one.kind == "Ready")
    }

    /// Whether pods can run on it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready().is_some_and(|one| one.status == "True")
    }

    /// What it has too little of for new pods: `DiskPressure: ...`; empty where it has enough.
    #[must_use]
    pub fn pressure(&self) -> String {
        let pressing = |one: &&Condition| one.kind.ends_with("Pressure") && one.status == "True";
        let all = self.status.conditions.iter().filter(pressing);
        let all = all.map(|one| format!("{}: {}", one.kind, one.message));
        all.collect::<Vec<_>>().join(", ")
    }

    /// Why they cannot.
    #[must_use]
    pub fn waits_for(&self) -> String {
        match self.ready() {
            Some(condition) => condition.message.clone(),
            None => "it has not said yet whether it is ready".to_owned(),
        }
    }
}

const NODES: Resource = Resource::fixed("", "v1", "nodes", "Node", false);

/// All nodes.
///
/// # Errors
/// When the server does not answer.
pub async fn nodes(client: &Client) -> Result<Vec<Node>, Error> {
    let list = client.list(&NODES.all(), &ListOptions::default()).await?;
    Ok(list.items)
}

/// One node.
///
/// # Errors
/// When the server does not answer or there is no such node.
pub async fn node(client: &Client, name: &str) -> Result<Node, Error> {
    client.get(&NODES.named("", name)).await
}

/// Has an object be as given: what others added to it stays.
///
/// # Errors
/// When the server does not answer or refuses it.
pub async fn apply(client: &Client, kind: &Resource, object: Value) -> Result<Value, Error> {
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let path = kind.named(&text("namespace"), &text("name"));
    let options = WriteOptions {
        field_manager: "keelson-up".to_owned(),
        force: true,
        ..WriteOptions::default()
    };
    client.patch(&path, &Patch::Apply(object), &options).await
}

const PODS: Resource = Resource::fixed("", "v1", "pods", "Pod", true);
const SERVICES: Resource = Resource::fixed("", "v1", "services", "Service", true);

/// The namespace that the demo is in.
const NAMESPACE: &str = "default";

/// A pod that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// The node that runs it.
    pub node: String,
}

/// The ready pods of namespace `default` with these labels, those that are being deleted aside.
///
/// # Errors
/// When the server does not answer.
pub async fn ready_pods(client: &Client, labels: &str) -> Result<Vec<Answering>, Error> {
    let options = ListOptions {
        selection: Selection {
            labels: labels.to_owned(),
            ..Selection::default()
        },
        ..ListOptions::default()
    };
    let list = client.list(&PODS.within(NAMESPACE), &options).await?;
    Ok(list.items.iter().filter_map(answering).collect())
}

fn answering(pod: &Value) -> Option<Answering> {
    let (meta, status) = (&pod["metadata"], &pod["status"]);
    let is_ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
    let ready = status["conditions"].as_array()?.iter().any(is_ready);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (ready && meta["deletionTimestamp"].is_null()).then(|| Answering {
        name: text(&meta["name"]),
        ip: text(&status["podIP"]),
        node: text(&pod["spec"]["nodeName"]),
    })
}

/// The address of a service of namespace `default`.
///
/// # Errors
/// When the server does not answer or there is no such service.
pub async fn cluster_ip(client: &Client, name: &str) -> Result<Option<IpAddr>, Error> {
    let service: Value = client.get(&SERVICES.named(NAMESPACE, name)).await?;
    let address = service["spec"]["clusterIP"].as_str();
    Ok(address.and_then(|text| text.parse().ok()))
}

/// Deletes a pod of namespace `default`.
///
/// # Errors
/// When the server does not answer or there is no such pod.
pub async fn delete_pod(client: &Client, name: &str) -> Result<(), Error> {
    let path = PODS.named(NAMESPACE, name);
    client.delete(&path, &DeleteOptions::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_is_going_answers_no_more() {
        let mut pod = json!({
            "metadata": { "name": "a" },
            "spec": { "nodeName": "n" },
            "status": { "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        assert_eq!(answering(&pod).unwrap().ip, "10.0.0.1");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(answering(&pod), None);
    }

    #[test]
    fn a_node_says_whether_it_is_ready() {
        let check = |text: &str, ready, waits: &str| {
            let node: Node = serde_json::from_str(text).unwrap();
            assert_eq!((node.is_ready(), node.waits_for().as_str()), (ready, waits));
        };
        check("{}", false, "it has not said yet whether it is ready");
        let conditions = |status: &str| {
            format!(
                r#"{{"metadata":{{"name":"a"}},"status":{{"conditions":[{{"type":"Ready","status":"{status}","message":"m"}}]}}}}"#
            )
        };
        check(&conditions("False"), false, "m");
        check(&conditions("True"), true, "m");
        let full = r#"{"status":{"conditions":[
            {"type":"MemoryPressure","status":"False","message":"enough"},
            {"type":"DiskPressure","status":"True","message":"kubelet has disk pressure"}]}}"#;
        let full: Node = serde_json::from_str(full).unwrap();
        assert_eq!(full.pressure(), "DiskPressure: kubelet has disk pressure");
    }
}
