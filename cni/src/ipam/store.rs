//! Where leases live. A store is held exclusively: nobody else changes leases while it lives.

use std::net::IpAddr;

use crate::wire::env::Attachment;

/// An address and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub addr: IpAddr,
    /// Whose it is. The interface is empty in leases of very old plugins.
    pub owner: Attachment,
    /// The boot it was made in; absent in leases of other plugins.
    pub boot: Option<String>,
}

impl Lease {
    /// Whether the machine has been rebooted since, so that its container cannot exist any more.
    #[must_use]
    pub fn is_of_earlier_boot(&self, boot: &str) -> bool {
        self.boot.as_deref().is_some_and(|made_in| made_in != boot)
    }

    /// Whether it belongs to this attachment.
    #[must_use]
    pub fn is_of(&self, owner: &Attachment) -> bool {
        self.owner.container == owner.container
            && (self.owner.interface.is_empty() || self.owner.interface == owner.interface)
    }
}

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
#[error("{step} {path}: {source}")]
pub struct StoreError {
    /// What was being done.
    pub step: &'static str,
    /// With which file.
    pub path: String,
    /// Why not.
    pub source: std::io::Error,
}

/// Leases of one network, held exclusively.
pub trait Store {
    /// All leases.
    ///
    /// # Errors
    /// When they cannot be read.
    fn leases(&self) -> Result<Vec<Lease>, StoreError>;

    /// Makes a lease, whole or not at all; false where the address is taken.
    ///
    /// # Errors
    /// When it cannot be written.
    fn reserve(&mut self, lease: &Lease) -> Result<bool, StoreError>;

    /// Ends a lease; nothing happens where there is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn release(&mut self, addr: IpAddr) -> Result<(), StoreError>;

    /// The address handed out last from the set of this number.
    fn last(&self, set: usize) -> Option<IpAddr>;

    /// Remembers the address handed out last.
    fn remember(&mut self, set: usize, addr: IpAddr);
}
