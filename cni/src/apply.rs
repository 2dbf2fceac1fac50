//! Makes planned changes, several to a system call, and records how to undo each.

pub mod firewall;
pub mod netns;
pub mod sysctl;
pub mod undo;

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use keelson_netlink::route::address::{self, Address};
use keelson_netlink::route::link::{self, Link, NewVeth};
use keelson_netlink::route::path;
use keelson_netlink::route::vlan::{self, PortVlan};
use keelson_netlink::{Errno, Error, Message};

use crate::plan::{LinkChange, NetOp, Place, Veth};
use crate::wire::error_code::{Code, Failure, Outcome};
use netns::World;
use undo::Undo;

const WAIT_STEP: Duration = Duration::from_millis(1);
const WAIT_STEPS: u32 = 3000;

/// Links known by name, as the kernel reported them last.
pub type Links = HashMap<(Place, String), Link>;

/// Makes all changes in order and returns the links that were made or changed.
///
/// # Errors
/// The first change that failed; `undo` then holds those that did not.
pub fn apply(
    world: &mut World,
    ops: &[NetOp],
    known: Links,
    undo: &mut Undo<'_>,
) -> Outcome<Links> {
    let mut applier = Applier {
        world,
        links: known,
        undo,
        place: Place::Host,
        pending: Vec::new(),
    };
    for op in ops {
        applier.take(op)?;
    }
    applier.flush()?;
    Ok(applier.links)
}

struct Applier<'a, 'u> {
    world: &'a mut World,
    links: Links,
    undo: &'a mut Undo<'u>,
    place: Place,
    pending: Vec<(&'a NetOp, Message)>,
}

impl<'a> Applier<'a, '_> {
    fn take(&mut self, op: &'a NetOp) -> Outcome<()> {
        match op {
            NetOp::CreateBridge(bridge) => {
                self.push(Place::Host, op, link::create_bridge(bridge))?;
                self.push(Place::Host, op, link::query(&bridge.name))
            }
            NetOp::CreateVeth(veth) => self.create_veth(op, veth),
            NetOp::Change(place, name, change) => {
                let message = self.change(*place, name, change)?;
                self.push(*place, op, message)
            }
            NetOp::Set(place, setting) => {
                self.flush()?;
                let write = || sysctl::write(setting);
                self.world.run(*place, write)?
            }
            NetOp::AwaitRunning(name) => self.await_running(name),
            NetOp::AwaitAddresses(name) => self.await_addresses(name),
        }
    }

    fn create_veth(&mut self, op: &'a NetOp, veth: &Veth) -> Outcome<()> {
        let master = self.index(Place::Host, &veth.bridge)?;
        let message = link::create_veth(&NewVeth {
            name: veth.name.clone(),
            mac: None,
            master: Some(master),
            mtu: veth.mtu,
            peer_name: veth.peer.clone(),
            peer_mac: veth.peer_mac,
            peer_namespace: match veth.peer_place {
                Place::Host => None,
                Place::Pod => Some(self.world.pod_descriptor()?),
            },
        });
        self.push(Place::Host, op, message)?;
        self.push(Place::Host, op, link::query(&veth.name))
    }

    fn change(&mut self, place: Place, name: &str, change: &LinkChange) -> Outcome<Message> {
        if let LinkChange::Alias(text) = change {
            return Ok(link::set_alias(name, text));
        }
        let index = self.index(place, name)?;
        let address = |cidr| Address {
            index,
            cidr,
            tentative: false,
        };
        Ok(match change {
            LinkChange::Up | LinkChange::Alias(_) => link::set_up(index, true),
            LinkChange::Mac(mac) => link::set_mac(index, *mac),
            LinkChange::Promiscuous => link::set_promiscuous(index, true),
            LinkChange::Port { hairpin, isolated } => link::set_port(index, *hairpin, *isolated),
            LinkChange::JoinVlan { id, native } => vlan::add(&PortVlan {
                index,
                id: *id,
                native: *native,
            }),
            LinkChange::LeaveVlan(id) => vlan::delete(&PortVlan {
                index,
                id: *id,
                native: false,
            }),
            LinkChange::AddAddress {
                cidr,
                detect_duplicates,
            } => address::add(&address(*cidr), *detect_duplicates),
            LinkChange::RemoveAddress(cidr) => address::delete(&address(*cidr)),
            LinkChange::AddRoute(route) => path::add(&path::Route {
                index: Some(index),
                ..*route
            }),
        })
    }

    fn push(&mut self, place: Place, op: &'a NetOp, message: Message) -> Outcome<()> {
        if place != self.place {
            self.flush()?;
            self.place = place;
        }
        self.pending.push((op, message));
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let place = self.place;
        let (ops, messages): (Vec<_>, Vec<_>) = self.pending.drain(..).unzip();
        let outcomes = self.world.socket(place)?.request(&messages)?;
        let mut failed = None;
        for (op, outcome) in ops.into_iter().zip(outcomes) {
            for link in outcome.objects.iter().filter_map(link::decode) {
                self.links.insert((place, link.name.clone()), link);
            }
            match outcome.errno {
                None => self.undo.record(op),
                Some(errno) if tolerated(op, errno) => {}
                Some(errno) if failed.is_none() => failed = Some(Error::new(describe(op), errno)),
                Some(_) => {}
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn index(&mut self, place: Place, name: &str) -> Outcome<u32> {
        let key = (place, name.to_owned());
        if let Some(link) = self.links.get(&key) {
            return Ok(link.index);
        }
        self.flush()?;
        if let Some(link) = self.links.get(&key) {
            return Ok(link.index);
        }
        Ok(self.refresh(place, name)?.index)
    }

    fn refresh(&mut self, place: Place, name: &str) -> Outcome<&Link> {
        let step = format!("find link {name}");
        let objects = self.world.socket(place)?.one(&step, link::query(name))?;
        let link = objects
            .iter()
            .find_map(link::decode)
            .ok_or_else(|| Error::new(step, Errno::BADMSG))?;
        let entry = self.links.entry((place, name.to_owned()));
        Ok(entry.insert_entry(link).into_mut())
    }

    fn await_running(&mut self, name: &str) -> Outcome<()> {
        self.flush()?;
        for _ in 0..WAIT_STEPS {
            if self.refresh(Place::Host, name)?.running {
                return Ok(());
            }
            sleep(WAIT_STEP);
        }
        let what = format!("port {name} of the bridge does not come up");
        Err(Failure::new(Code::Internal, what))
    }

    fn await_addresses(&mut self, name: &str) -> Outcome<()> {
        let index = self.index(Place::Pod, name)?;
        self.flush()?;
        for _ in 0..WAIT_STEPS {
            let objects = self
                .world
                .socket(Place::Pod)?
                .one("list addresses", address::list())?;
            let mut own = objects.iter().filter_map(address::decode);
            if !own.any(|a| a.index == index && a.tentative) {
                return Ok(());
            }
            sleep(WAIT_STEP);
        }
        let what = format!("duplicate detection on {name} does not end");
        Err(Failure::new(Code::Internal, what))
    }
}

/// What another ADD did at the same moment is as good as done by this one.
fn tolerated(op: &NetOp, errno: Errno) -> bool {
    match op {
        NetOp::CreateBridge(_) => errno == Errno::EXIST,
        NetOp::CreateVeth(veth) => errno == Errno::EXIST && veth.peer_place == Place::Host,
        NetOp::Change(Place::Host, _, LinkChange::AddAddress { .. }) => errno == Errno::EXIST,
        NetOp::Change(Place::Host, _, LinkChange::RemoveAddress(_) | LinkChange::LeaveVlan(_)) => {
            Error::new(String::new(), errno).is_gone()
        }
        _ => false,
    }
}

fn describe(op: &NetOp) -> String {
    match op {
        NetOp::CreateBridge(bridge) if bridge.vlan_filtering => {
            format!("create bridge {} with VLAN filtering", bridge.name)
        }
        NetOp::CreateBridge(bridge) => format!("create bridge {}", bridge.name),
        NetOp::CreateVeth(veth) => format!("create veth {} and {}", veth.name, veth.peer),
        NetOp::Change(_, link, change) => match change {
            LinkChange::Up => format!("bring {link} up"),
            LinkChange::Alias(_) => format!("set the alias of {link}"),
            LinkChange::Mac(mac) => format!("set the hardware address of {link} to {mac}"),
            LinkChange::Promiscuous => format!("make {link} promiscuous"),
            LinkChange::Port { .. } => format!("set hairpin and isolation of {link}"),
            LinkChange::JoinVlan { id, .. } => format!("add VLAN {id} to {link}"),
            LinkChange::LeaveVlan(id) => format!("remove VLAN {id} from {link}"),
            LinkChange::AddAddress { cidr, .. } => format!("add address {cidr} to {link}"),
            LinkChange::RemoveAddress(cidr) => format!("remove address {cidr} from {link}"),
            LinkChange::AddRoute(route) => match route.gateway {
                Some(hop) => format!("add route {} via {hop} to {link}", route.destination),
                None => format!("add route {} to {link}", route.destination),
            },
        },
        NetOp::Set(_, setting) => format!("set net/{} to {}", setting.path, setting.value),
        NetOp::AwaitRunning(link) | NetOp::AwaitAddresses(link) => format!("wait for {link}"),
    }
}
