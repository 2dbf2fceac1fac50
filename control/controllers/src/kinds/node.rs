//! Nodes.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Condition, Meta, kind};

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: NodeSpec,
    /// `status`.
    pub status: NodeStatus,
}

kind!(Node, Resource::fixed("", "v1", "nodes", "Node", false));

/// `spec` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSpec {
    /// Whether new pods are kept away.
    pub unschedulable: bool,
    /// What pods have to tolerate.
    pub taints: Vec<keelson_api::core::Taint>,
    /// The ranges of its pods' addresses.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<Box<str>>,
    /// What the cloud calls it.
    #[serde(rename = "providerID")]
    pub provider_id: Box<str>,
}

/// `status` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    /// `status.conditions`.
    pub conditions: Vec<Condition>,
    /// `status.allocatable`.
    pub allocatable: Allocatable,
}

/// What pods may use in all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Allocatable {
    /// Processors.
    pub cpu: Box<str>,
}
