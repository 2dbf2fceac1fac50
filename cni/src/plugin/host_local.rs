//! The host-local plugin, also called in process by bridge.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use super::{Plugin, not_available};
use crate::ipam::allocator::{self, AllocateError};
use crate::ipam::disk_store::DiskStore;
use crate::ipam::resolv_conf;
use crate::ipam::store::{Store, StoreError};
use crate::wire::config::Input;
use crate::wire::config::host_local::HostLocalConfig;
use crate::wire::env::Env;
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::{Attached, Dns};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Hands out addresses from ranges on this host.
#[derive(Debug)]
pub struct HostLocal;

impl Plugin for HostLocal {
    fn add(&self, input: &Input, env: &Env) -> Outcome<Attached> {
        let config = HostLocalConfig::read(input, env)?;
        let dns = name_resolution(&config)?;
        let boot = boot()?;
        let mut store = DiskStore::open(&config.folder)?;
        let ips = allocator::allocate(
            &mut store,
            &config.sets,
            &config.requested,
            &env.attachment,
            &boot,
        )?;
        Ok(Attached {
            ips,
            routes: config.routes,
            dns,
            ..Attached::default()
        })
    }

    fn del(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = HostLocalConfig::read(input, env)?;
        let Some(mut store) = existing(&config)? else {
            return Ok(());
        };
        allocator::reclaim(&mut store, |lease| lease.is_of(&env.attachment))?;
        Ok(())
    }

    fn check(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = HostLocalConfig::read(input, env)?;
        let leases = match existing(&config)? {
            Some(store) => store.leases()?,
            None => Vec::new(),
        };
        if leases.iter().any(|lease| lease.is_of(&env.attachment)) {
            return Ok(());
        }
        let what = format!("container {} has no lease", env.attachment.container);
        Err(Failure::new(Code::Internal, what))
    }

    fn gc(&self, input: &Input, env: &Env) -> Outcome<()> {
        let keep = input.keep()?;
        let config = HostLocalConfig::read(input, env)?;
        let Some(mut store) = existing(&config)? else {
            return Ok(());
        };
        let boot = boot()?;
        allocator::reclaim(&mut store, |lease| {
            lease.is_of_earlier_boot(&boot) || !keep.iter().any(|owner| lease.is_of(owner))
        })?;
        Ok(())
    }

    fn status(&self, input: &Input, env: &Env) -> Outcome<()> {
        let config = HostLocalConfig::read(input, env)?;
        free_addresses(&config).map_err(|failure| not_available(&failure))
    }
}

/// Whether each set has an address left.
fn free_addresses(config: &HostLocalConfig) -> Outcome<()> {
    let boot = boot()?;
    let leases = match existing(config)? {
        Some(store) => store.leases()?,
        None => Vec::new(),
    };
    let taken: BTreeSet<_> = leases
        .iter()
        .filter(|lease| !lease.is_of_earlier_boot(&boot))
        .map(|lease| lease.addr)
        .collect();
    let full = |set: &&_| allocator::choose(set, &taken, None).is_none();
    match config.sets.iter().find(full) {
        Some(set) => Err(AllocateError::Exhausted(set.describe()).into()),
        None => Ok(()),
    }
}

fn existing(config: &HostLocalConfig) -> Outcome<Option<DiskStore>> {
    match DiskStore::open_existing(&config.folder) {
        Ok(store) => Ok(Some(store)),
        Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn name_resolution(config: &HostLocalConfig) -> Outcome<Dns> {
    let Some(path) = &config.resolv_conf else {
        return Ok(Dns::default());
    };
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::config(
            "ipam.resolvConf",
            format!("read {}: {error}", path.display()),
        )
    })?;
    Ok(resolv_conf::parse(&text))
}

fn boot() -> Outcome<String> {
    match fs::read_to_string(BOOT_ID) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(Failure::new(Code::Io, format!("read {BOOT_ID}: {error}"))),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}

impl From<AllocateError> for Failure {
    fn from(error: AllocateError) -> Self {
        let code = match &error {
            AllocateError::Store(_) => Code::Io,
            AllocateError::Exhausted(_) => Code::TryAgain,
            AllocateError::RequestedOutside(_) | AllocateError::RequestedGateway(_) => {
                Code::InvalidConfig
            }
            AllocateError::Duplicate { .. } | AllocateError::RequestedTaken(_) => Code::Internal,
        };
        Self::new(code, format!("host-local: {error}"))
    }
}
