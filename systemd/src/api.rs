//! The API server, asked as the cluster's administrator. Reads only the fields that it shows.

use crate::layout::Layout;
use keelson_client::kubeconfig::{Config, KubeconfigError};
use keelson_client::request::ListOptions;
use keelson_client::{Client, Error, Resource};
use serde::Deserialize;
use std::time::Duration;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A client with the administrator's kubeconfig.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn admin(layout: &Layout) -> Result<Client, KubeconfigError> {
    let config = Config::from_file(&layout.kubeconfig("admin"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
