//! The pod network: what the firewall holds for it, and the bridge that carries our name. What the
//! plugins keep in the firewall is theirs to know: the caller hands in how to forget it.

use super::ForgetNetwork;
use crate::configuration::NETWORK;
use crate::layout::Layout;
use keelson_netlink::route::link;
use keelson_netlink::{Errno, Protocol, Socket};

/// Removes the network. The bridge takes nothing but empty ports with it: the pods are gone.
pub(super) fn remove(layout: &Layout, forget: ForgetNetwork) -> Vec<String> {
    let bridge =
        remove_bridge(&layout.bridge).map_err(|error| format!("bridge {}: {error}", layout.bridge));
    let rules = forget(NETWORK)
        .map_err(|failure| format!("firewall rules of network {NETWORK}: {failure}"));
    [bridge, rules]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

fn remove_bridge(name: &str) -> Result<(), keelson_netlink::Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    match socket.one("remove the bridge", link::delete(name)) {
        Err(error) if error.errno == Errno::NODEV => Ok(()),
        other => other.map(drop),
    }
}
