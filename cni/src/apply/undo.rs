//! Remembers how to undo what an ADD has done so far, and does it, last first, when it fails.

use keelson_netlink::route::address::{self, Address};
use keelson_netlink::route::link;
use keelson_netlink::{Cidr, Message};

use super::firewall;
use super::netns::World;
use crate::owner::Owner;
use crate::plan::claim::Table;
use crate::plan::{LinkChange, NetOp, Place};
use crate::wire::error_code::{Failure, Outcome};

/// A way back.
enum Step<'a> {
    DeleteLink(String),
    DeleteBridge(String),
    DeleteAddress(String, Cidr),
    ReleaseClaims(&'a Table, Owner),
    Call(Box<dyn FnOnce() -> Outcome<()> + 'a>),
}

/// The way back from all that was done.
#[derive(Default)]
pub struct Undo<'a>(Vec<Step<'a>>);

impl<'a> Undo<'a> {
    /// Remembers a change that was made.
    pub fn record(&mut self, op: &NetOp) {
        match op {
            NetOp::CreateBridge(bridge) => self.push(Step::DeleteBridge(bridge.name.clone())),
            NetOp::CreateVeth(veth) => self.push(Step::DeleteLink(veth.name.clone())),
            NetOp::Change(Place::Host, link, LinkChange::AddAddress { cidr, .. }) => {
                self.push(Step::DeleteAddress(link.clone(), *cidr));
            }
            _ => {}
        }
    }

    /// Remembers that `owner` holds elements in a table.
    pub fn record_claims(&mut self, table: &'a Table, owner: &Owner) {
        self.push(Step::ReleaseClaims(table, owner.clone()));
    }

    /// Remembers any other way back.
    pub fn record_call(&mut self, undo: impl FnOnce() -> Outcome<()> + 'a) {
        self.push(Step::Call(Box::new(undo)));
    }

    /// Goes the whole way back, whatever fails on it, and returns the failure that made it
    /// necessary with what could not be undone.
    pub fn run(self, world: &mut World, cause: Failure) -> Failure {
        let mut left = cause;
        for step in self.0.into_iter().rev() {
            if let Err(failure) = step.run(world) {
                left = left.with_details(format!("not undone: {}", failure.message));
            }
        }
        left
    }

    fn push(&mut self, step: Step<'a>) {
        self.0.push(step);
    }
}

impl Step<'_> {
    fn run(self, world: &mut World) -> Outcome<()> {
        match self {
            Self::DeleteLink(name) => delete(world, link::delete(&name), &name),
            Self::DeleteBridge(name) => delete_unused_bridge(world, &name),
            Self::DeleteAddress(name, cidr) => delete_address(world, &name, cidr),
            Self::ReleaseClaims(table, owner) => {
                firewall::release(table, |comment| owner.wrote(comment))
            }
            Self::Call(undo) => undo(),
        }
    }
}

fn delete(world: &mut World, message: Message, what: &str) -> Outcome<()> {
    let step = format!("delete {what}");
    match world.socket(Place::Host)?.one(&step, message) {
        Err(error) if !error.is_gone() => Err(error.into()),
        _ => Ok(()),
    }
}

/// A bridge that this ADD made goes again, unless another ADD uses it by now.
fn delete_unused_bridge(world: &mut World, name: &str) -> Outcome<()> {
    let objects = world.socket(Place::Host)?.one("list links", link::list())?;
    let links: Vec<_> = objects.iter().filter_map(link::decode).collect();
    let Some(bridge) = links.iter().find(|link| link.name == name) else {
        return Ok(());
    };
    if links.iter().any(|link| link.master == Some(bridge.index)) {
        return Ok(());
    }
    delete(world, link::delete(name), name)
}

fn delete_address(world: &mut World, name: &str, cidr: Cidr) -> Outcome<()> {
    let objects = match world
        .socket(Place::Host)?
        .one(&format!("find link {name}"), link::query(name))
    {
        Err(error) if error.is_gone() => return Ok(()),
        other => other?,
    };
    let Some(link) = objects.iter().find_map(link::decode) else {
        return Ok(());
    };
    let address = Address {
        index: link.index,
        cidr,
        tentative: false,
    };
    delete(
        world,
        address::delete(&address),
        &format!("{cidr} of {name}"),
    )
}
