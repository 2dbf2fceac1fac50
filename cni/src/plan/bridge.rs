//! Plans the bridge plugin's ADD. Pure.

use keelson_netlink::Cidr;
use keelson_netlink::route::link::{Link, Mac, NewBridge};
use keelson_netlink::route::path;

use super::gateway::{self, Verdict};
use super::{LinkChange, NetOp, Place, Setting, Veth};
use crate::owner::gateway_port;
use crate::wire::config::bridge::BridgeConfig;
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::Attached;

/// The links that matter, as they are before the ADD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedLinks {
    /// The bridge.
    pub bridge: Option<Link>,
    /// The link that carries the gateway of the VLAN; only looked for where there is a VLAN.
    pub vlan_gateway: Option<Link>,
    /// Addresses of the link that carries the gateway: the bridge, or that of the VLAN.
    pub gateway_addresses: Vec<Cidr>,
    /// Whether the container has an interface of the name already.
    pub name_taken: bool,
}

/// What is decided about an ADD before it: names and hardware addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Name of the host's end.
    pub host: String,
    /// Name of the container's end.
    pub pod: String,
    /// Free text of the host's end.
    pub alias: String,
    /// Hardware address of a bridge that has to be made.
    pub bridge_mac: Mac,
    /// Hardware address of the container's end.
    pub pod_mac: Option<Mac>,
}

/// Refuses what cannot work, before anything is touched or an address is taken.
///
/// # Errors
/// Code 7 for a bridge that is none, 4 for an interface name that is taken.
pub fn admit(config: &BridgeConfig, links: &ObservedLinks, names: &Names) -> Outcome<()> {
    if let Some(link) = &links.bridge {
        if link.kind != "bridge" {
            let why = format!(
                "{} exists and is a {:?}, not a bridge",
                link.name, link.kind
            );
            return Err(Failure::config("bridge", why));
        }
        if config.uses_vlans() && !link.vlan_filtering {
            let why = format!("bridge {} exists without VLAN filtering", link.name);
            return Err(Failure::config("vlan", why));
        }
    }
    if links.name_taken {
        let what = format!(
            "CNI_IFNAME: the container has an interface {} already",
            names.pod
        );
        return Err(Failure::new(Code::InvalidEnvironment, what));
    }
    Ok(())
}

/// The changes that attach a container, in order.
///
/// # Errors
/// Code 7 where the bridge has an address that conflicts and may not be replaced.
pub fn plan(
    config: &BridgeConfig,
    links: &ObservedLinks,
    names: &Names,
    attached: &Attached,
) -> Outcome<Vec<NetOp>> {
    let mut ops = Vec::new();
    bridge(config, links, names, &mut ops);
    port(config, names, &mut ops);
    if config.gateway && !attached.ips.is_empty() {
        gateway_link(config, links, &mut ops);
        gateway_addresses(config, links, attached, &mut ops)?;
    }
    pod(config, names, attached, &mut ops);
    if !config.container_interface_down {
        ops.push(NetOp::AwaitRunning(names.host.clone()));
    }
    Ok(ops)
}

fn bridge(config: &BridgeConfig, links: &ObservedLinks, names: &Names, ops: &mut Vec<NetOp>) {
    let name = &config.bridge;
    match &links.bridge {
        None => {
            ops.push(NetOp::CreateBridge(NewBridge {
                name: name.clone(),
                mac: names.bridge_mac,
                mtu: config.mtu,
                vlan_filtering: config.uses_vlans(),
            }));
            ops.push(no_router_advertisements(name));
        }
        Some(link) if !link.up => ops.push(change(Place::Host, name, LinkChange::Up)),
        Some(_) => {}
    }
    let promiscuous = links.bridge.as_ref().is_some_and(|link| link.promiscuous);
    if config.promiscuous && !promiscuous {
        ops.push(change(Place::Host, name, LinkChange::Promiscuous));
    }
}

fn port(config: &BridgeConfig, names: &Names, ops: &mut Vec<NetOp>) {
    ops.push(NetOp::CreateVeth(Veth {
        name: names.host.clone(),
        bridge: config.bridge.clone(),
        mtu: config.mtu,
        peer: names.pod.clone(),
        peer_mac: names.pod_mac,
        peer_place: Place::Pod,
    }));
    let mut host = |what| ops.push(change(Place::Host, &names.host, what));
    host(LinkChange::Alias(names.alias.clone()));
    if config.hairpin || config.isolated {
        host(LinkChange::Port {
            hairpin: config.hairpin,
            isolated: config.isolated,
        });
    }
    if config.uses_vlans() {
        vlans(config, &names.host, ops);
    }
    ops.push(no_router_advertisements(&names.host));
}

fn vlans(config: &BridgeConfig, port: &str, ops: &mut Vec<NetOp>) {
    let native = config.vlan.unwrap_or(1);
    let mut add = |what| ops.push(change(Place::Host, port, what));
    if !config.preserve_default_vlan && native != 1 {
        add(LinkChange::LeaveVlan(1));
    }
    for id in &config.trunk {
        add(LinkChange::JoinVlan {
            id: *id,
            native: false,
        });
    }
    add(LinkChange::JoinVlan {
        id: native,
        native: true,
    });
}

fn gateway_link(config: &BridgeConfig, links: &ObservedLinks, ops: &mut Vec<NetOp>) {
    let (Some(vlan), None) = (config.vlan, &links.vlan_gateway) else {
        return;
    };
    let name = gateway_name(config);
    let port = gateway_port(&config.bridge, vlan);
    ops.push(NetOp::CreateVeth(Veth {
        name: port.clone(),
        bridge: config.bridge.clone(),
        mtu: config.mtu,
        peer: name.clone(),
        peer_mac: None,
        peer_place: Place::Host,
    }));
    let only_native = BridgeConfig {
        trunk: std::collections::BTreeSet::new(),
        ..config.clone()
    };
    vlans(&only_native, &port, ops);
    ops.push(no_router_advertisements(&name));
    ops.push(change(Place::Host, &name, LinkChange::Up));
}

fn gateway_addresses(
    config: &BridgeConfig,
    links: &ObservedLinks,
    attached: &Attached,
    ops: &mut Vec<NetOp>,
) -> Outcome<()> {
    let name = gateway_name(config);
    let mut add = |what| ops.push(change(Place::Host, &name, what));
    for cidr in gateway::addresses(attached) {
        let conflicts = match gateway::compare(cidr, &links.gateway_addresses) {
            Verdict::Present => continue,
            Verdict::Add => Vec::new(),
            Verdict::Conflicts(conflicts) => conflicts,
        };
        if let (Some(other), false) = (conflicts.first(), config.force_address) {
            let why = format!("{name} has address {other} already, which conflicts with {cidr}");
            return Err(Failure::config("forceAddress", why));
        }
        conflicts
            .into_iter()
            .for_each(|other| add(LinkChange::RemoveAddress(other)));
        add(LinkChange::AddAddress {
            cidr,
            detect_duplicates: false,
        });
        // A bridge that others made would change its address with every port.
        if let (None, Some(mac)) = (config.vlan, links.bridge.as_ref().and_then(|b| b.mac)) {
            add(LinkChange::Mac(mac));
        }
    }
    for (v6, path) in [
        (false, "ipv4/ip_forward"),
        (true, "ipv6/conf/all/forwarding"),
    ] {
        if attached.ips.iter().any(|ip| ip.address.is_v6() == v6) {
            let setting = Setting::required(path.to_owned(), "1");
            ops.push(NetOp::Set(Place::Host, setting));
        }
    }
    Ok(())
}

fn pod(config: &BridgeConfig, names: &Names, attached: &Attached, ops: &mut Vec<NetOp>) {
    if config.container_interface_down {
        return;
    }
    if !attached.ips.is_empty() {
        pod_settings(config, &names.pod, attached, ops);
    }
    let mut add = |what| ops.push(change(Place::Pod, &names.pod, what));
    for ip in &attached.ips {
        add(LinkChange::AddAddress {
            cidr: ip.address,
            detect_duplicates: config.detect_duplicates,
        });
    }
    add(LinkChange::Up);
    if config.detect_duplicates && attached.ips.iter().any(|ip| ip.address.is_v6()) {
        ops.push(NetOp::AwaitAddresses(names.pod.clone()));
    }
    for route in &attached.routes {
        let route = path::Route {
            destination: route.dst,
            gateway: gateway::next_hop(route, attached),
            index: None,
            priority: route.priority,
            table: route.table,
            origin: None,
            scope: route.scope,
            mtu: route.mtu,
            advmss: route.advmss,
        };
        ops.push(change(Place::Pod, &names.pod, LinkChange::AddRoute(route)));
    }
}

fn pod_settings(config: &BridgeConfig, pod: &str, attached: &Attached, ops: &mut Vec<NetOp>) {
    let mut set = |setting| ops.push(NetOp::Set(Place::Pod, setting));
    if attached.ips.iter().any(|ip| ip.address.is_v6()) {
        for link in ["lo", pod] {
            set(Setting::wanted(
                format!("ipv6/conf/{link}/disable_ipv6"),
                "0",
            ));
        }
        let own = |key: &str| format!("ipv6/conf/{pod}/{key}");
        set(Setting::wanted(own("keep_addr_on_down"), "1"));
        if config.detect_duplicates {
            set(Setting::wanted(own("enhanced_dad"), "1"));
            set(Setting::wanted(own("accept_dad"), "1"));
        } else {
            set(Setting::wanted(own("accept_dad"), "0"));
        }
    }
    set(Setting::wanted(format!("ipv4/conf/{pod}/arp_notify"), "1"));
}

/// The link that carries the gateway's addresses: the bridge, or one of its VLAN.
#[must_use]
pub fn gateway_name(config: &BridgeConfig) -> String {
    match config.vlan {
        Some(vlan) => format!("{}.{vlan}", config.bridge),
        None => config.bridge.clone(),
    }
}

fn no_router_advertisements(link: &str) -> NetOp {
    let path = format!("ipv6/conf/{link}/accept_ra");
    NetOp::Set(Place::Host, Setting::wanted(path, "0"))
}

fn change(place: Place, link: &str, what: LinkChange) -> NetOp {
    NetOp::Change(place, link.to_owned(), what)
}

#[cfg(test)]
mod tests;
