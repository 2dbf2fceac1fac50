//! A machine that is a whole cluster: what identifies it, which credentials its parts hold and the
//! static pods that they run as. Decides; `up` writes and starts what is decided here.

pub mod credentials;
pub mod issue;
pub mod kubeconfig;
pub mod static_pods;
pub mod welcome;

use crate::layout::Layout;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The port of the API server.
pub const PORT: u16 = 6443;

/// The name of the cluster's domain.
pub const DOMAIN: &str = "cluster.local";

/// What this machine is to its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// It has the control plane, and is a node too.
    ControlPlane,
    /// It is a node of a control plane elsewhere.
    Worker {
        /// The URL of the API server.
        server: String,
    },
}

/// What one cluster is called and where its parts are. Kept on disk, so that the next `up` goes on
/// with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// What this machine is to it.
    pub role: Role,
    /// The node's name, in lower case.
    pub node: String,
    /// The address that others reach this machine at.
    pub address: IpAddr,
    /// Addresses of services.
    pub services: Range,
    /// Addresses of pods, of which each node has a part: one range for each family.
    pub pods: Vec<Range>,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    /// Its first address.
    first: IpAddr,
    /// How many leading bits all its addresses share.
    length: u8,
}

/// The text is no range of addresses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of addresses: write ADDRESS/BITS, such as 10.96.0.0/12")]
pub struct RangeError(String);

impl std::str::FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let refused = || RangeError(text.to_owned());
        let (first, length) = text.split_once('/').ok_or_else(refused)?;
        let first: IpAddr = first.parse().map_err(|_| refused())?;
        let length: u8 = length.parse().map_err(|_| refused())?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        if length == 0 || length > bits {
            return Err(refused());
        }
        let first = cleared(first, length);
        Ok(Self { first, length })
    }
}

impl TryFrom<String> for Range {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl Range {
    /// A range of IPv4: its first address and how many leading bits all share.
    #[must_use]
    pub fn v4(first: [u8; 4], length: u8) -> Self {
        Self {
            first: first.into(),
            length,
        }
    }

    /// A range of IPv6: its first address and how many leading bits all share.
    #[must_use]
    pub fn v6(first: [u16; 8], length: u8) -> Self {
        Self {
            first: first.into(),
            length,
        }
    }

    /// The `n`th address, counted from the first, which is 0; the last one of its family where
    /// there are not so many.
    #[must_use]
    pub fn address(&self, n: u32) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::from(u32::from(first).saturating_add(n).to_be_bytes()),
            IpAddr::V6(first) => {
                IpAddr::from(u128::from(first).saturating_add(n.into()).to_be_bytes())
            }
        }
    }
}

/// The address with all but the first `length` bits zero.
fn cleared(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::from((u32::from(ip) & mask).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::from((u128::from(ip) & mask).to_be_bytes())
        }
    }
}

impl Cluster {
    /// Where others reach the API server.
    #[must_use]
    pub fn server(&self) -> String {
        match (&self.role, self.address) {
            (Role::Worker { server }, _) => server.clone(),
            (Role::ControlPlane, IpAddr::V4(ip)) => format!("https://{ip}:{PORT}"),
            (Role::ControlPlane, IpAddr::V6(ip)) => format!("https://[{ip}]:{PORT}"),
        }
    }

    /// Where this machine's own parts reach it: on the control plane's machine the same whatever
    /// happens to the machine's address.
    #[must_use]
    pub fn local_server(&self) -> String {
        match &self.role {
            Role::ControlPlane => format!("https://127.0.0.1:{PORT}"),
            Role::Worker { server } => server.clone(),
        }
    }

    /// Whether the control plane is here.
    #[must_use]
    pub fn has_control_plane(&self) -> bool {
        self.role == Role::ControlPlane
    }

    /// The kubeconfig of whoever may look at this node's object.
    #[must_use]
    pub fn observer(&self, layout: &Layout) -> std::path::PathBuf {
        layout.kubeconfig(if self.has_control_plane() {
            "admin"
        } else {
            "kubelet"
        })
    }

    /// The pods' ranges, with a comma between.
    #[must_use]
    pub fn pod_ranges(&self) -> String {
        let all: Vec<_> = self.pods.iter().map(Range::to_string).collect();
        all.join(",")
    }

    /// The address that pods ask for names.
    #[must_use]
    pub fn dns(&self) -> IpAddr {
        self.services.address(10)
    }
}

/// A cluster for tests of this crate.
#[cfg(test)]
pub(crate) fn example() -> Cluster {
    Cluster {
        node: "one".to_owned(),
        address: IpAddr::from([192, 0, 2, 7]),
        role: Role::ControlPlane,
        services: "10.96.0.0/12".parse().unwrap(),
        pods: vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd00:10:244::/48".parse().unwrap(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_counted() {
        let check = |text: &str, expected: &str, tenth: &str| {
            let range: Range = text.parse().unwrap();
            assert_eq!(range.to_string(), expected);
            assert_eq!(range.address(10).to_string(), tenth);
        };
        check("10.96.0.0/12", "10.96.0.0/12", "10.96.0.10");
        check("10.111.3.4/12", "10.96.0.0/12", "10.96.0.10");
        check("fd00:1::5/108", "fd00:1::/108", "fd00:1::a");
        for text in ["", "10.96.0.0", "10.96.0.0/33", "x/8", "10.96.0.0/0"] {
            let told = text.parse::<Range>().unwrap_err().to_string();
            assert!(told.contains("10.96.0.0/12"), "{told}");
        }
    }

    #[test]
    fn the_server_is_reached_from_outside_and_from_within() {
        let mut cluster = example();
        assert_eq!(cluster.server(), "https://192.0.2.7:6443");
        cluster.address = "2001:db8::1".parse().unwrap();
        assert_eq!(cluster.server(), "https://[2001:db8::1]:6443");
        assert_eq!(cluster.local_server(), "https://127.0.0.1:6443");
        let server = "https://192.0.2.1:6443".to_owned();
        cluster.role = Role::Worker {
            server: server.clone(),
        };
        assert_eq!(
            (cluster.server(), cluster.local_server()),
            (server.clone(), server)
        );
        let kept = serde_json::to_string(&cluster).unwrap();
        assert_eq!(serde_json::from_str::<Cluster>(&kept).unwrap(), cluster);
    }
}
