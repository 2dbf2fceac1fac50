//! The bridge plugin: a veth pair between the container and a bridge of the host.

use std::collections::HashMap;

use keelson_netlink::Cidr;
use keelson_netlink::route::link::{self, Mac};
use rustix::rand::{GetRandomFlags, getrandom};

use super::host_local::HostLocal;
use super::loopback::sandbox;
use super::{Plugin, all, not_available};
use crate::apply::netns::World;
use crate::apply::undo::Undo;
use crate::apply::{Links, apply, firewall};
use crate::ipam::delegate;
use crate::observe;
use crate::owner::{Owner, network_alias, network_key};
use crate::plan::bridge::{Names, ObservedLinks, admit, gateway_name, plan};
use crate::plan::claim::Claim;
use crate::plan::ruleset::{ADDRESSES, FRAMES};
use crate::plan::{Place, check, gateway, masquerade, spoof_check};
use crate::wire::config::Input;
use crate::wire::config::bridge::BridgeConfig;
use crate::wire::env::{Command, Env};
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::{Attached, Interface};

const HOST_LOCAL: &str = "host-local";
const CONTAINER_INTERFACE: usize = 2;

/// Attaches containers to a bridge.
#[derive(Debug)]
pub struct Bridge;

impl Plugin for Bridge {
    fn add(&self, input: &Input, env: &Env) -> Outcome<Attached> {
        let config = BridgeConfig::read(input, env)?;
        let mut world = World::of_container(env)?;
        let names = names(&config, &owner(input, env), env)?;
        let links = observe::before_add(&mut world, &config, &env.attachment.interface)?;
        admit(&config, &links, &names)?;
        let mut undo = Undo::default();
        let adding = Adding {
            input,
            env,
            config: &config,
            names: &names,
            links: &links,
        };
        match adding.attach(&mut world, &mut undo) {
            Ok(attached) => Ok(attached),
            Err(failure) => Err(undo.run(&mut world, failure)),
        }
    }

    fn del(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = BridgeConfig::read(input, env)?;
        let owner = owner(input, env);
        let release = |wanted: bool, table| match wanted {
            true => firewall::release(table, |comment| owner.wrote(comment)),
            false => Ok(()),
        };
        all([
            delete_link(&owner, env),
            ipam(&config, Command::Del, input, env).map(drop),
            release(config.masquerade, &ADDRESSES),
            release(config.mac_spoof_check, &FRAMES),
        ])
    }

    fn check(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = BridgeConfig::read(input, env)?;
        let previous = input.previous()?;
        ipam(&config, Command::Check, input, env)?;
        let interface = &env.attachment.interface;
        let mut world = World::of_container(env)?;
        let observed = observe::attachment(&mut world, &config, previous, interface)?;
        check::verify(&config, previous, interface, &sandbox(env), &observed)?;
        let owner = owner(input, env);
        firewall::check(&ADDRESSES, &masquerade_claims(&config, previous, &owner))?;
        let mac = observed.pod.and_then(|link| link.mac);
        firewall::check(&FRAMES, &spoof_claims(&config, mac, &owner))
    }

    fn gc(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = BridgeConfig::read(input, env)?;
        let owners: Vec<Owner> = input
            .keep()?
            .iter()
            .map(|attachment| Owner::new(&input.network, attachment))
            .collect();
        let prefix = network_key(&input.network);
        let is_dead = |comment: &str| {
            comment.starts_with(&prefix) && !owners.iter().any(|owner| owner.wrote(comment))
        };
        all([
            delete_dead_links(&input.network, &owners),
            ipam(&config, Command::Gc, input, env).map(drop),
            firewall::release(&ADDRESSES, is_dead),
            firewall::release(&FRAMES, is_dead),
        ])
    }

    fn status(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = BridgeConfig::read(input, env)?;
        if config.masquerade || config.mac_spoof_check {
            firewall::available().map_err(|failure| not_available(&failure))?;
        }
        World::host_only().map_err(|failure| not_available(&failure))?;
        ipam(&config, Command::Status, input, env).map(drop)
    }
}

struct Adding<'a> {
    input: &'a Input,
    env: &'a Env,
    config: &'a BridgeConfig,
    names: &'a Names,
    links: &'a ObservedLinks,
}

impl<'a> Adding<'a> {
    fn attach(&self, world: &mut World, undo: &mut Undo<'a>) -> Outcome<Attached> {
        let mut attached = self.addresses(undo)?;
        gateway::complete(&mut attached, self.config, CONTAINER_INTERFACE);
        let ops = plan(self.config, self.links, self.names, &attached)?;
        self.hold_claims(&attached, undo)?;
        let known = self.links.bridge.iter().chain(&self.links.vlan_gateway);
        let known: Links = known
            .map(|link| ((Place::Host, link.name.clone()), link.clone()))
            .collect();
        let links = apply(world, &ops, known, undo)?;
        attached.interfaces = self.interfaces(world, &links)?;
        if !self.input.dns.is_empty() {
            attached.dns = self.input.dns.clone();
        }
        Ok(attached)
    }

    fn addresses(&self, undo: &mut Undo<'a>) -> Outcome<Attached> {
        let (config, input, env) = (self.config, self.input, self.env);
        let Some(given) = ipam(config, Command::Add, input, env)? else {
            return Ok(Attached::default());
        };
        undo.record_call(move || ipam(config, Command::Del, input, env).map(drop));
        if given.ips.is_empty() {
            let what = "ipam: the plugin gave no address";
            return Err(Failure::new(Code::Internal, what));
        }
        Ok(Attached {
            interfaces: Vec::new(),
            ..given
        })
    }

    fn hold_claims(&self, attached: &Attached, undo: &mut Undo<'a>) -> Outcome<()> {
        let owner = owner(self.input, self.env);
        let masquerade = masquerade_claims(self.config, attached, &owner);
        if !masquerade.is_empty() {
            undo.record_claims(&ADDRESSES, &owner);
            firewall::hold(&ADDRESSES, &masquerade)?;
        }
        let spoof = spoof_claims(self.config, self.names.pod_mac, &owner);
        if !spoof.is_empty() {
            undo.record_claims(&FRAMES, &owner);
            firewall::hold(&FRAMES, &spoof)?;
        }
        Ok(())
    }

    fn interfaces(&self, world: &mut World, links: &Links) -> Outcome<Vec<Interface>> {
        let pod = match links.get(&(Place::Pod, self.names.pod.clone())) {
            Some(link) => Some(link.clone()),
            None => observe::links(world, Place::Pod, &[&self.names.pod])?.pop(),
        };
        let describe = |name: &str, link: Option<&link::Link>| Interface {
            name: name.to_owned(),
            mac: link
                .and_then(|link| link.mac)
                .map(|mac| mac.to_string())
                .unwrap_or_default(),
            mtu: link.map(|link| link.mtu).unwrap_or_default(),
            ..Interface::default()
        };
        let host = |name: &str| describe(name, links.get(&(Place::Host, name.to_owned())));
        let mut out = vec![host(&self.config.bridge), host(&self.names.host)];
        out.push(Interface {
            sandbox: sandbox(self.env),
            ..describe(&self.names.pod, pod.as_ref())
        });
        if self.config.vlan.is_some() && self.config.gateway && self.config.ipam.is_some() {
            out.push(host(&gateway_name(self.config)));
        }
        Ok(out)
    }
}

fn owner(input: &Input, env: &Env) -> Owner {
    Owner::new(&input.network, &env.attachment)
}

fn names(config: &BridgeConfig, owner: &Owner, env: &Env) -> Outcome<Names> {
    Ok(Names {
        host: owner.host_interface(),
        pod: env.attachment.interface.clone(),
        alias: owner.alias(),
        bridge_mac: random_mac()?,
        // The check has to be in place before the container can send.
        pod_mac: match (config.mac, config.mac_spoof_check) {
            (None, true) => Some(random_mac()?),
            (mac, _) => mac,
        },
    })
}

/// A locally administered station address.
fn random_mac() -> Outcome<Mac> {
    let mut bytes = [0; 6];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|errno| Failure::new(Code::Internal, format!("read random bytes: {errno}")))?;
    bytes[0] = (bytes[0] & 0xfe) | 0x02;
    Ok(Mac(bytes))
}

fn masquerade_claims(config: &BridgeConfig, attached: &Attached, owner: &Owner) -> Vec<Claim> {
    if !config.masquerade {
        return Vec::new();
    }
    let addresses: Vec<Cidr> = attached.ips.iter().map(|ip| ip.address).collect();
    masquerade::claims(&addresses, owner)
}

fn spoof_claims(config: &BridgeConfig, mac: Option<Mac>, owner: &Owner) -> Vec<Claim> {
    match (config.mac_spoof_check, mac) {
        (true, Some(mac)) => spoof_check::claims(&owner.host_interface(), mac, owner),
        _ => Vec::new(),
    }
}

/// Calls the IPAM plugin of the configuration; only ADD has a result, and only where there is one.
fn ipam(
    config: &BridgeConfig,
    command: Command,
    input: &Input,
    env: &Env,
) -> Outcome<Option<Attached>> {
    match config.ipam.as_deref() {
        None => Ok(None),
        Some(HOST_LOCAL) => match command {
            Command::Add => HostLocal.add(input, env).map(Some),
            Command::Del => HostLocal.del(input, env).map(|()| None),
            Command::Check => HostLocal.check(input, env).map(|()| None),
            Command::Gc => HostLocal.gc(input, env).map(|()| None),
            Command::Status => HostLocal.status(input, env).map(|()| None),
            Command::Version => Ok(None),
        },
        Some(other) => delegate::call(other, command, input, env),
    }
}

/// Removes the pair by the host's end, or by the container's where another plugin made it.
fn delete_link(owner: &Owner, env: &Env) -> Outcome<()> {
    let mut world = World::of_remains(env)?;
    let pod = &env.attachment.interface;
    for (place, name) in [(Place::Host, &owner.host_interface()), (Place::Pod, pod)] {
        if place == Place::Pod && !world.has_pod() {
            break;
        }
        let step = format!("delete link {name}");
        match world.socket(place)?.one(&step, link::delete(name)) {
            Ok(_) => break,
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes pairs of this network that no valid attachment owns.
fn delete_dead_links(network: &str, owners: &[Owner]) -> Outcome<()> {
    let prefix = network_alias(network);
    let alive: HashMap<String, ()> = owners.iter().map(|owner| (owner.alias(), ())).collect();
    let mut world = World::host_only()?;
    let links = observe::host_links(&mut world)?;
    let dead = links
        .iter()
        .filter(|link| link.alias.starts_with(&prefix) && !alive.contains_key(&link.alias));
    let socket = world.socket(Place::Host)?;
    all(dead.map(|link| {
        let step = format!("delete link {}", link.name);
        match socket.one(&step, link::delete(&link.name)) {
            Err(error) if !error.is_gone() => Err(error.into()),
            _ => Ok(()),
        }
    }))
}
