//! The leases by which nodes say that they live. Other leases are not watched.

use jiff::Timestamp;
use keelson_client::Resource;
use serde::Deserialize;

use super::{Meta, kind};

/// Where nodes keep their leases.
pub const NAMESPACE: &str = "kube-node-lease";

/// A Lease in [`NAMESPACE`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeLease {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: LeaseSpec,
}

/// `spec` of a Lease.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaseSpec {
    /// When the node last renewed it, by its own clock.
    pub renew_time: Option<Timestamp>,
}

kind!(
    NodeLease,
    Resource::fixed("coordination.k8s.io", "v1", "leases", "Lease", true),
    Vec::new(),
    super::Scope {
        namespace: NAMESPACE,
        fields: "",
    }
);
