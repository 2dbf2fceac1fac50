//! Looks at links, addresses and routes and says what there is; decides nothing.

use keelson_netlink::route::link::{self, Link};
use keelson_netlink::route::{address, path};
use keelson_netlink::{Cidr, Error, Message};

use crate::apply::netns::World;
use crate::plan::Place;
use crate::plan::bridge::{ObservedLinks, gateway_name};
use crate::plan::check::ObservedAttachment;
use crate::wire::config::bridge::BridgeConfig;
use crate::wire::error_code::Outcome;
use crate::wire::result::Attached;

/// The links of one place by name; those that are not there are left out.
///
/// # Errors
/// When the kernel refuses to say.
pub fn links(world: &mut World, place: Place, names: &[&str]) -> Outcome<Vec<Link>> {
    let messages: Vec<Message> = names.iter().map(|name| link::query(name)).collect();
    let outcomes = world.socket(place)?.request(&messages)?;
    let mut found = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome.or_error(&format!("find link {name}")) {
            Ok(objects) => found.extend(objects.iter().filter_map(link::decode)),
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// All links of the host.
///
/// # Errors
/// When the kernel refuses to say.
pub fn host_links(world: &mut World) -> Outcome<Vec<Link>> {
    let objects = world.socket(Place::Host)?.one("list links", link::list())?;
    Ok(objects.iter().filter_map(link::decode).collect())
}

/// The addresses of a link.
///
/// # Errors
/// When the kernel refuses to say.
pub fn addresses(world: &mut World, place: Place, index: u32) -> Outcome<Vec<Cidr>> {
    let objects = world
        .socket(place)?
        .one("list addresses", address::list())?;
    Ok(objects
        .iter()
        .filter_map(address::decode)
        .filter(|address| address.index == index)
        .map(|address| address.cidr)
        .collect())
}

/// What an ADD of the bridge plugin has to know.
///
/// # Errors
/// When the kernel refuses to say.
pub fn before_add(
    world: &mut World,
    config: &BridgeConfig,
    interface: &str,
) -> Outcome<ObservedLinks> {
    let gateway = gateway_name(config);
    let names = match gateway == config.bridge {
        true => vec![config.bridge.as_str()],
        false => vec![config.bridge.as_str(), gateway.as_str()],
    };
    let mut found = links(world, Place::Host, &names)?;
    let carrier = found.iter().find(|link| link.name == gateway).cloned();
    let gateway_addresses = match (&carrier, config.gateway) {
        (Some(link), true) => addresses(world, Place::Host, link.index)?,
        _ => Vec::new(),
    };
    let bridge = found.iter().position(|link| link.name == config.bridge);
    Ok(ObservedLinks {
        bridge: bridge.map(|index| found.swap_remove(index)),
        vlan_gateway: carrier.filter(|_| config.vlan.is_some()),
        gateway_addresses,
        name_taken: !links(world, Place::Pod, &[interface])?.is_empty(),
    })
}

/// What a CHECK of the bridge plugin has to know.
///
/// # Errors
/// When the kernel refuses to say.
pub fn attachment(
    world: &mut World,
    config: &BridgeConfig,
    previous: &Attached,
    interface: &str,
) -> Outcome<ObservedAttachment> {
    let mut names = vec![config.bridge.as_str()];
    let on_host = |i: &&crate::wire::result::Interface| i.sandbox.is_empty();
    let made = previous.interfaces.iter().filter(on_host);
    names.extend(
        made.map(|i| i.name.as_str())
            .filter(|n| *n != config.bridge),
    );
    let host = links(world, Place::Host, &names)?;
    let pod = links(world, Place::Pod, &[interface])?.pop();
    let addresses = match &pod {
        Some(link) => addresses(world, Place::Pod, link.index)?,
        None => Vec::new(),
    };
    let routes = world.socket(Place::Pod)?.one("list routes", path::list())?;
    Ok(ObservedAttachment {
        host,
        pod,
        addresses,
        routes: routes.iter().filter_map(path::decode).collect(),
    })
}

/// Name of the link over which the host reaches an address; `None` where there is no way.
///
/// # Errors
/// When the kernel refuses to say.
pub fn link_towards(world: &mut World, addr: std::net::IpAddr) -> Outcome<Option<String>> {
    let step = format!("find the way to {addr}");
    let found: Result<_, Error> = world.socket(Place::Host)?.one(&step, path::lookup(addr));
    let Ok(objects) = found else { return Ok(None) };
    let Some(index) = objects.iter().find_map(path::decode).and_then(|r| r.index) else {
        return Ok(None);
    };
    let links = host_links(world)?;
    Ok(links
        .into_iter()
        .find(|link| link.index == index)
        .map(|link| link.name))
}
