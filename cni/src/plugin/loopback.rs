//! The loopback plugin: brings lo up and says what it has.

use std::collections::HashMap;

use super::Plugin;
use crate::apply::apply;
use crate::apply::netns::World;
use crate::apply::undo::Undo;
use crate::observe;
use crate::plan::{LinkChange, NetOp, Place};
use crate::wire::config::Input;
use crate::wire::env::Env;
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::{Attached, Interface, IpConfig};

const LO: &str = "lo";

/// Brings the container's loopback up.
#[derive(Debug)]
pub struct Loopback;

impl Plugin for Loopback {
    fn add(&self, input: &Input, env: &Env) -> Outcome<Attached> {
        let mut world = World::of_container(env)?;
        let ops = [NetOp::Change(Place::Pod, LO.into(), LinkChange::Up)];
        let links = apply(&mut world, &ops, HashMap::new(), &mut Undo::default())?;
        if let Some(previous) = &input.previous {
            return Ok(previous.clone());
        }
        let index = links.get(&(Place::Pod, LO.to_owned())).map(|lo| lo.index);
        let addresses = observe::addresses(&mut world, Place::Pod, index.unwrap_or_default())?;
        let ip = |address| IpConfig {
            interface: Some(0),
            address,
            gateway: None,
        };
        Ok(Attached {
            interfaces: vec![Interface {
                name: LO.into(),
                mac: "00:00:00:00:00:00".into(),
                sandbox: sandbox(env),
                ..Interface::default()
            }],
            ips: addresses.into_iter().map(ip).collect(),
            ..Attached::default()
        })
    }

    /// The namespace goes as a whole; lo stays up for a container that comes again.
    fn del(&self, _: &Input, _: &Env) -> Outcome<()> {
        Ok(())
    }

    fn check(&self, _: &Input, env: &Env) -> Outcome<()> {
        let mut world = World::of_container(env)?;
        let lo = observe::links(&mut world, Place::Pod, &[LO])?;
        if lo.iter().any(|link| link.up) {
            return Ok(());
        }
        Err(Failure::new(
            Code::Internal,
            "loopback interface lo is down",
        ))
    }

    fn gc(&self, _: &Input, _: &Env) -> Outcome<()> {
        Ok(())
    }

    fn status(&self, _: &Input, _: &Env) -> Outcome<()> {
        Ok(())
    }
}

/// The container's namespace as results name it.
pub(super) fn sandbox(env: &Env) -> String {
    env.namespace
        .as_deref()
        .map(|path| path.display().to_string())
        .unwrap_or_default()
}
