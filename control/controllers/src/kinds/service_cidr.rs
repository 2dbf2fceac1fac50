//! The ranges that Services have their addresses from, and the addresses.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Condition, Meta, kind};

/// A ServiceCIDR.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidr {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: ServiceCidrSpec,
    /// `status`.
    pub status: ServiceCidrStatus,
}

kind!(
    ServiceCidr,
    Resource::fixed(
        "networking.k8s.io",
        "v1",
        "servicecidrs",
        "ServiceCIDR",
        false
    )
);

/// `spec` of a ServiceCIDR.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrSpec {
    /// One range, or one of each family.
    pub cidrs: Vec<Box<str>>,
}

/// `status` of a ServiceCIDR.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrStatus {
    /// `status.conditions`.
    pub conditions: Vec<Condition>,
}

/// An address that was given out; it is the object's name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IpAddress {
    /// `metadata`.
    pub metadata: Meta,
}

kind!(
    IpAddress,
    Resource::fixed("networking.k8s.io", "v1", "ipaddresses", "IPAddress", false)
);
