//! A store in memory that can be killed after the nth change, for tests.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::store::{Lease, Store, StoreError};

/// Leases in memory. What it holds is what a disk would hold after SIGKILL.
#[derive(Debug, Default)]
pub struct FakeStore {
    /// The leases.
    pub leases: BTreeMap<IpAddr, Lease>,
    /// The address handed out last, by set.
    pub last: BTreeMap<usize, IpAddr>,
    /// Changes until the process dies; `None` never.
    pub changes_left: Option<u32>,
}

impl FakeStore {
    fn change(&mut self, path: IpAddr) -> Result<(), StoreError> {
        match &mut self.changes_left {
            Some(0) => Err(StoreError {
                step: "killed at",
                path: path.to_string(),
                source: std::io::ErrorKind::Interrupted.into(),
            }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Store for FakeStore {
    fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        Ok(self.leases.values().cloned().collect())
    }

    fn reserve(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        self.change(lease.addr)?;
        if self.leases.contains_key(&lease.addr) {
            return Ok(false);
        }
        self.leases.insert(lease.addr, lease.clone());
        Ok(true)
    }

    fn release(&mut self, addr: IpAddr) -> Result<(), StoreError> {
        self.change(addr)?;
        self.leases.remove(&addr);
        Ok(())
    }

    fn last(&self, set: usize) -> Option<IpAddr> {
        self.last.get(&set).copied()
    }

    fn remember(&mut self, set: usize, addr: IpAddr) {
        if self.change(addr).is_ok() {
            self.last.insert(set, addr);
        }
    }
}
