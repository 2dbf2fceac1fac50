//! Compares an attachment with the result of its ADD. Pure.

use keelson_netlink::Cidr;
use keelson_netlink::route::link::Link;
use keelson_netlink::route::path;

use super::gateway;
use crate::wire::config::bridge::BridgeConfig;
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::{Attached, Interface};

/// What there is of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedAttachment {
    /// Links of the host that the result names.
    pub host: Vec<Link>,
    /// The container's interface.
    pub pod: Option<Link>,
    /// Its addresses.
    pub addresses: Vec<Cidr>,
    /// All routes of the container's namespace.
    pub routes: Vec<path::Route>,
}

/// Finds the first difference.
///
/// # Errors
/// What differs, with the interface, address or route.
pub fn verify(
    config: &BridgeConfig,
    previous: &Attached,
    interface: &str,
    sandbox: &str,
    observed: &ObservedAttachment,
) -> Outcome<()> {
    let bridge = bridge(config, previous, observed)?;
    let expected = previous
        .interfaces
        .iter()
        .find(|i| i.name == interface && !i.sandbox.is_empty())
        .ok_or_else(|| damaged(format!("prevResult has no container interface {interface}")))?;
    if expected.sandbox != sandbox {
        let what = format!(
            "interface {interface} was made in {}, not in {sandbox}",
            expected.sandbox
        );
        return Err(damaged(what));
    }
    let pod = observed
        .pod
        .as_ref()
        .ok_or_else(|| damaged(format!("container interface {interface} is gone")))?;
    same_mac(expected, pod)?;
    port(previous, observed, bridge, pod)?;
    addresses(previous, observed)?;
    routes(previous, observed)
}

fn bridge<'a>(
    config: &BridgeConfig,
    previous: &Attached,
    observed: &'a ObservedAttachment,
) -> Outcome<&'a Link> {
    let name = &config.bridge;
    let link = observed
        .host
        .iter()
        .find(|link| link.name == *name && link.kind == "bridge")
        .ok_or_else(|| damaged(format!("bridge {name} is gone")))?;
    if let Some(expected) = previous.interfaces.iter().find(|i| i.name == *name) {
        same_mac(expected, link)?;
    }
    if link.promiscuous != config.promiscuous {
        return Err(damaged(format!(
            "bridge {name} has promiscuous mode {}",
            if link.promiscuous { "on" } else { "off" }
        )));
    }
    Ok(link)
}

fn port(
    previous: &Attached,
    observed: &ObservedAttachment,
    bridge: &Link,
    pod: &Link,
) -> Outcome<()> {
    let joins = |link: &&Link| pod.peer == Some(link.index) && link.peer == Some(pod.index);
    let link = observed
        .host
        .iter()
        .find(joins)
        .ok_or_else(|| damaged(format!("the host's end of {} is gone", pod.name)))?;
    if link.master != Some(bridge.index) {
        let what = format!("{} is no port of bridge {}", link.name, bridge.name);
        return Err(damaged(what));
    }
    match previous.interfaces.iter().find(|i| i.name == link.name) {
        Some(expected) => same_mac(expected, link),
        None => Ok(()),
    }
}

fn addresses(previous: &Attached, observed: &ObservedAttachment) -> Outcome<()> {
    let gone = |ip: &&crate::wire::result::IpConfig| !observed.addresses.contains(&ip.address);
    match previous.ips.iter().find(gone) {
        Some(ip) => Err(damaged(format!("address {} is gone", ip.address))),
        None => Ok(()),
    }
}

fn routes(previous: &Attached, observed: &ObservedAttachment) -> Outcome<()> {
    for route in &previous.routes {
        let hop = gateway::next_hop(route, previous);
        let found = observed.routes.iter().any(|other| {
            other.destination == route.dst.network()
                && (route.gw.is_none() || other.gateway == hop)
                && (route.priority == 0 || other.priority == route.priority)
        });
        if !found {
            return Err(damaged(format!("route to {} is gone", route.dst)));
        }
    }
    Ok(())
}

fn same_mac(expected: &Interface, link: &Link) -> Outcome<()> {
    let actual = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    if expected.mac.is_empty() || expected.mac.eq_ignore_ascii_case(&actual) {
        return Ok(());
    }
    Err(damaged(format!(
        "{} has hardware address {actual}, not {}",
        link.name, expected.mac
    )))
}

/// Something is not as ADD left it.
pub fn damaged(what: impl Into<String>) -> Failure {
    Failure::new(Code::Internal, what)
}
