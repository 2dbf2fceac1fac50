//! What to do, decided over what was observed. Pure: no sockets, no files, no clock.

pub mod bridge;
pub mod chain_name;
pub mod check;
pub mod claim;
pub mod gateway;
pub mod masquerade;
pub mod port_map;
pub mod ruleset;
pub mod spoof_check;

use keelson_netlink::Cidr;
use keelson_netlink::route::link::{Mac, NewBridge};
use keelson_netlink::route::path::Route;

/// Which network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The plugin's own.
    Host,
    /// The container's.
    Pod,
}

/// One change to links, addresses, routes or kernel settings. Links are meant by name; their
/// numbers are found when the change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetOp {
    /// Makes the bridge.
    CreateBridge(NewBridge),
    /// Makes a veth pair, the near end on the host.
    CreateVeth(Veth),
    /// Changes a link.
    Change(Place, String, LinkChange),
    /// Writes a kernel setting.
    Set(Place, Setting),
    /// Waits until the kernel forwards over the link.
    AwaitRunning(String),
    /// Waits until duplicate detection on the container's link has ended.
    AwaitAddresses(String),
}

/// A veth pair to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veth {
    /// Name of the near end.
    pub name: String,
    /// The bridge it becomes a port of.
    pub bridge: String,
    /// MTU of both ends.
    pub mtu: Option<u32>,
    /// Name of the far end.
    pub peer: String,
    /// Hardware address of the far end.
    pub peer_mac: Option<Mac>,
    /// Where the far end goes.
    pub peer_place: Place,
}

/// A change to one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Brings it up.
    Up,
    /// Sets its free text.
    Alias(String),
    /// Sets its hardware address.
    Mac(Mac),
    /// Makes it promiscuous.
    Promiscuous,
    /// Sets a port's hairpin and isolation.
    Port {
        /// Frames may go back where they came from.
        hairpin: bool,
        /// No frames to other isolated ports.
        isolated: bool,
    },
    /// Makes a port a member of a VLAN.
    JoinVlan {
        /// VLAN id.
        id: u16,
        /// Untagged frames belong to it.
        native: bool,
    },
    /// Takes a port out of a VLAN.
    LeaveVlan(u16),
    /// Adds an address.
    AddAddress {
        /// The address.
        cidr: Cidr,
        /// With IPv6 duplicate detection.
        detect_duplicates: bool,
    },
    /// Removes an address.
    RemoveAddress(Cidr),
    /// Adds a route over the link.
    AddRoute(Route),
}

/// A kernel setting under /proc/sys/net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Path below /proc/sys/net.
    pub path: String,
    /// The value.
    pub value: &'static str,
    /// Whether failing to write it fails the whole.
    pub required: bool,
}

impl Setting {
    /// A setting that may be missing, as on a kernel without IPv6.
    #[must_use]
    pub fn wanted(path: String, value: &'static str) -> Self {
        Self {
            path,
            value,
            required: false,
        }
    }

    /// A setting that must hold.
    #[must_use]
    pub fn required(path: String, value: &'static str) -> Self {
        Self {
            path,
            value,
            required: true,
        }
    }
}
