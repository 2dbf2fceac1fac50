//! The backends: each renders rules into what its part of the kernel understands (pure), and
//! applies that. Here is the choice between them.

pub mod iptables;
pub mod ipvs;
pub mod nftables;

use crate::diff::{RuleDelta, RuleSet};
use iptables::{Iptables, IptablesError, Variant};
use ipvs::{Ipvs, IpvsError, Settings};
use nftables::{Nftables, NftablesError};

/// The address families that are managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Default for Families {
    fn default() -> Self {
        Self { v4: true, v6: true }
    }
}

impl Families {
    /// Whether a family is managed.
    #[must_use]
    pub fn has(&self, v6: bool) -> bool {
        if v6 { self.v6 } else { self.v4 }
    }

    /// The managed ones, IPv4 first: whether each is IPv6.
    pub fn each(self) -> impl Iterator<Item = bool> {
        [false, true].into_iter().filter(move |v6| self.has(*v6))
    }
}

/// What applying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Messages or lines sent: 0 where there was nothing to write.
    pub messages: usize,
    /// Whether everything was looked at or built.
    pub full: bool,
}

/// Which backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// nf_tables over netlink.
    Nftables,
    /// `iptables-restore`.
    Iptables(Variant),
    /// IPVS, with nf_tables beside it.
    Ipvs,
}

impl Mode {
    /// The mode as `/proxyMode` and the configuration name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables(_) => "iptables",
            Self::Ipvs => "ipvs",
        }
    }
}

/// Why rules are not in place.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The nftables backend.
    #[error(transparent)]
    Nftables(#[from] NftablesError),
    /// The iptables backend.
    #[error(transparent)]
    Iptables(#[from] IptablesError),
    /// The IPVS backend.
    #[error(transparent)]
    Ipvs(#[from] IpvsError),
}

/// The backend in use.
#[derive(Debug)]
pub enum Backend {
    /// nf_tables over netlink.
    Nftables(Box<Nftables>),
    /// `iptables-restore`.
    Iptables(Iptables),
    /// IPVS, with nf_tables beside it.
    Ipvs(Box<Ipvs>),
}

impl Backend {
    /// Opens what the mode needs, in the calling thread's network namespace. `ipvs` counts in that mode.
    ///
    /// # Errors
    /// When the kernel or the host does not have it.
    pub fn open(mode: Mode, ipvs: &Settings) -> Result<Self, BackendError> {
        let families = Families::default();
        Ok(match mode {
            Mode::Nftables => Self::Nftables(Box::new(Nftables::open(families)?)),
            Mode::Iptables(variant) => Self::Iptables(Iptables::open(families, variant)?),
            Mode::Ipvs => Self::Ipvs(Box::new(Ipvs::open(families, ipvs.clone())?)),
        })
    }

    /// Applies a change; `rules` is the state after it. What is in the kernel is looked at first
    /// where it is not known.
    ///
    /// # Errors
    /// When the kernel or a program refuses.
    pub fn apply(&mut self, rules: &RuleSet, delta: &RuleDelta) -> Result<Applied, BackendError> {
        Ok(match self {
            Self::Nftables(kernel) => kernel.apply(rules, delta)?,
            Self::Iptables(programs) => programs.apply(rules, delta)?,
            Self::Ipvs(balancer) => balancer.apply(rules, delta)?,
        })
    }

    /// Makes what is in the kernel what `rules` say, whoever wrote to it.
    ///
    /// # Errors
    /// When the kernel or a program refuses.
    pub fn adopt(&mut self, rules: &RuleSet) -> Result<Applied, BackendError> {
        Ok(match self {
            Self::Nftables(kernel) => kernel.adopt(rules)?,
            Self::Iptables(programs) => programs.adopt(rules)?,
            Self::Ipvs(balancer) => balancer.adopt(rules)?,
        })
    }

    /// Whether somebody else wrote.
    ///
    /// # Errors
    /// When the kernel or a program does not say.
    pub fn is_in_doubt(&mut self) -> Result<bool, BackendError> {
        Ok(match self {
            Self::Nftables(kernel) => kernel.is_in_doubt()?,
            Self::Iptables(programs) => programs.is_in_doubt()?,
            Self::Ipvs(balancer) => balancer.is_in_doubt()?,
        })
    }

    /// Removes its rules.
    ///
    /// # Errors
    /// When the kernel or a program refuses; that there are none is no error.
    pub fn remove(&mut self) -> Result<(), BackendError> {
        match self {
            Self::Nftables(kernel) => kernel.remove()?,
            Self::Iptables(programs) => programs.remove()?,
            Self::Ipvs(balancer) => balancer.remove()?,
        }
        Ok(())
    }
}

/// Removes what a proxy in another mode left, once the rules of this one stand; without a mode, what
/// one of any mode left. `ipvs` says which virtual servers are somebody else's. A backend that this host does not have left nothing.
///
/// # Errors
/// When the kernel or a program refuses.
pub fn remove_others(mode: Option<Mode>, ipvs: &Settings) -> Result<(), BackendError> {
    if mode != Some(Mode::Ipvs) {
        ipvs::apply::remove_left(ipvs)?;
    }
    // The table is of one name in both modes that have one, and was built anew for this one.
    if !matches!(mode, Some(Mode::Nftables | Mode::Ipvs))
        && let Ok(mut kernel) = Nftables::open(Families::default())
    {
        kernel.remove()?;
    }
    let own = match mode {
        Some(Mode::Iptables(variant)) => Some(variant),
        _ => None,
    };
    for variant in [Variant::Legacy, Variant::NfTables] {
        // The host's choice is one of the two: what is in use is not removed.
        let used = own.is_some_and(|own| own == Variant::Host || own == variant);
        if !used && let Ok(mut programs) = Iptables::open(Families::default(), variant) {
            programs.remove()?;
        }
    }
    Ok(())
}
