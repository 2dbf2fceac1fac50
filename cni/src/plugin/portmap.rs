//! The portmap plugin: ports of the host that lead to the container.

use keelson_netlink::conntrack::{self, UDP};
use keelson_netlink::{Protocol, Socket};

use super::{Plugin, all, not_available};
use crate::apply::netns::World;
use crate::apply::{firewall, sysctl};
use crate::observe;
use crate::owner::{Owner, network_key, port_network};
use crate::plan::ruleset::ADDRESSES;
use crate::plan::{Setting, port_map};
use crate::wire::config::Input;
use crate::wire::config::portmap::PortMapConfig;
use crate::wire::env::Env;
use crate::wire::error_code::{Failure, Outcome};
use crate::wire::result::Attached;

/// Maps ports.
#[derive(Debug)]
pub struct PortMap;

impl Plugin for PortMap {
    fn add(&self, input: &Input, env: &Env) -> Outcome<Attached> {
        let config = PortMapConfig::read(input)?;
        let previous = input.previous.clone().ok_or_else(|| {
            Failure::config("prevResult", "missing: portmap runs after another plugin")
        })?;
        if config.mappings.is_empty() {
            return Ok(previous);
        }
        let owner = owner(input, env);
        let addresses = port_map::container_addresses(&previous, &env.attachment.interface);
        let claims = port_map::claims(&config, &addresses, &owner);
        firewall::hold(&ADDRESSES, &claims)?;
        if let Err(failure) = open_localhost(&config, &addresses) {
            let undone = firewall::release(&ADDRESSES, |comment| owner.wrote(comment));
            return all([Err(failure), undone]).map(|()| previous);
        }
        forget_flows(&port_map::udp_ports(&config, &addresses));
        Ok(previous)
    }

    fn del(&self, input: &Input, env: &Env) -> Outcome<()> {
        let owner = owner(input, env);
        firewall::release(&ADDRESSES, |comment| owner.wrote(comment))?;
        if let (Ok(config), Some(previous)) = (PortMapConfig::read(input), &input.previous) {
            let addresses = port_map::container_addresses(previous, &env.attachment.interface);
            forget_flows(&port_map::udp_ports(&config, &addresses));
        }
        Ok(())
    }

    fn check(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = PortMapConfig::read(input)?;
        let previous = input.previous()?;
        if config.mappings.is_empty() {
            return Ok(());
        }
        let addresses = port_map::container_addresses(previous, &env.attachment.interface);
        let claims = port_map::claims(&config, &addresses, &owner(input, env));
        firewall::check(&ADDRESSES, &claims)
    }

    fn gc(&self, input: &Input, _: &Env) -> Outcome<()> {
        collect(input)
    }

    fn status(&self, _: &Input, _: &Env) -> Outcome<()> {
        firewall::available().map_err(|failure| not_available(&failure))
    }
}

/// Releases the elements that no valid attachment of this plugin in this network owns.
fn collect(input: &Input) -> Outcome<()> {
    let network = port_network(&input.network);
    let prefix = network_key(&network);
    let owners: Vec<Owner> = input
        .keep()?
        .iter()
        .map(|attachment| Owner::new(&network, attachment))
        .collect();
    firewall::release(&ADDRESSES, |comment| {
        comment.starts_with(&prefix) && !owners.iter().any(|owner| owner.wrote(comment))
    })
}

fn owner(input: &Input, env: &Env) -> Owner {
    Owner::new(&port_network(&input.network), &env.attachment)
}

/// Lets 127.0.0.1 reach the container: its packets may leave by the container's bridge.
fn open_localhost(config: &PortMapConfig, addresses: &[std::net::IpAddr]) -> Outcome<()> {
    let Some(addr) = addresses.iter().find(|addr| addr.is_ipv4() && config.snat) else {
        return Ok(());
    };
    let mut world = World::host_only()?;
    match observe::link_towards(&mut world, *addr)? {
        Some(link) => {
            let path = format!("ipv4/conf/{link}/route_localnet");
            sysctl::write(&Setting::required(path, "1"))
        }
        None => Ok(()),
    }
}

/// Makes the kernel forget UDP flows to these ports, which would go on to where they went before.
/// They time out by themselves too: a failure is told, not returned.
fn forget_flows(ports: &[(bool, u16)]) {
    if ports.is_empty() {
        return;
    }
    if let Err(error) = try_forget_flows(ports) {
        eprintln!("portmap: stale UDP flows were not removed: {error}");
    }
}

fn try_forget_flows(ports: &[(bool, u16)]) -> keelson_netlink::Result<()> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    for (v6, port) in ports {
        let step = format!("list UDP flows to port {port}");
        let objects = socket.one(&step, conntrack::list_to_port(*v6, UDP, *port))?;
        let flows = objects.iter().filter_map(conntrack::decode);
        for flow in flows {
            if flow.original.protocol != UDP || flow.original.destination_port != *port {
                continue;
            }
            let step = format!("forget UDP flow to port {port}");
            match socket.one(&step, conntrack::delete(&flow)) {
                Err(error) if !error.is_gone() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
