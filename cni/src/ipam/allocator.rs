//! Choosing, taking and giving back addresses. Decides over a store it is given; knows no files.
//!
//! Addresses go round: the search begins after the one handed out last, so that a container that
//! crashes in a loop does not get the same one again and again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keelson_netlink::cidr::{from_number, to_number};

use super::range::{Range, RangeSet};
use super::store::{Lease, Store, StoreError};
use crate::wire::env::Attachment;
use crate::wire::result::IpConfig;

/// Why no address was handed out.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// Every address of the set is taken.
    #[error("no addresses left in {0}")]
    Exhausted(String),
    /// The container has one already.
    #[error("{addr} is already leased to container {container}, ADD may not run twice")]
    Duplicate {
        /// The address it has.
        addr: IpAddr,
        /// The container.
        container: String,
    },
    /// An address asked for is in no set.
    #[error("requested address {0} is in none of the ranges")]
    RequestedOutside(IpAddr),
    /// An address asked for is the gateway.
    #[error("requested address {0} is the gateway of its subnet")]
    RequestedGateway(IpAddr),
    /// An address asked for is taken.
    #[error("requested address {0} is taken")]
    RequestedTaken(IpAddr),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes one address of each set for `owner`; on failure what was taken is given back.
///
/// # Errors
/// Why there is none.
pub fn allocate(
    store: &mut impl Store,
    sets: &[RangeSet],
    requested: &[IpAddr],
    owner: &Attachment,
    boot: &str,
) -> Result<Vec<IpConfig>, AllocateError> {
    let leases = reclaim(store, |lease| lease.is_of_earlier_boot(boot))?;
    refuse_duplicates(&leases, sets, owner)?;
    let wanted = assign(sets, requested)?;
    let mut taken: BTreeSet<IpAddr> = leases.iter().map(|lease| lease.addr).collect();
    let mut given = Vec::new();
    for (index, (set, wanted)) in sets.iter().zip(wanted).enumerate() {
        match take(store, index, set, wanted, &mut taken, owner, boot) {
            Ok(ip) => given.push(ip),
            Err(error) => {
                give_back(store, &given);
                return Err(error);
            }
        }
    }
    Ok(given)
}

/// Ends the leases that `is_dead` and returns the others.
///
/// # Errors
/// When the store fails.
pub fn reclaim(
    store: &mut impl Store,
    is_dead: impl Fn(&Lease) -> bool,
) -> Result<Vec<Lease>, StoreError> {
    let (dead, alive): (Vec<_>, Vec<_>) = store.leases()?.into_iter().partition(is_dead);
    for lease in dead {
        store.release(lease.addr)?;
    }
    Ok(alive)
}

/// The address to hand out next, or none where all are taken.
#[must_use]
pub fn choose<'a>(
    set: &'a RangeSet,
    taken: &BTreeSet<IpAddr>,
    last: Option<IpAddr>,
) -> Option<(&'a Range, IpAddr)> {
    let ranges = set.ranges();
    let at = last.and_then(|addr| {
        let index = ranges.iter().position(|range| range.contains(addr))?;
        Some((index, addr))
    });
    let (start, after) = at.map_or((0, None), |(index, addr)| (index, Some(addr)));
    let rest = after.and_then(|addr| first_free(&ranges[start], successor(addr)?, taken));
    if let Some(addr) = rest {
        return Some((&ranges[start], addr));
    }
    let skip = start + usize::from(after.is_some());
    (0..ranges.len())
        .map(|step| &ranges[(skip + step) % ranges.len()])
        .find_map(|range| first_free(range, range.first, taken).map(|addr| (range, addr)))
}

fn first_free(range: &Range, from: IpAddr, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let mut next = from;
    while range.contains(next) {
        if next != range.gateway && !taken.contains(&next) {
            return Some(next);
        }
        next = successor(next)?;
    }
    None
}

fn successor(addr: IpAddr) -> Option<IpAddr> {
    let number = to_number(addr).checked_add(1)?;
    (addr.is_ipv6() || u32::try_from(number).is_ok()).then(|| from_number(number, addr.is_ipv6()))
}

fn refuse_duplicates(
    leases: &[Lease],
    sets: &[RangeSet],
    owner: &Attachment,
) -> Result<(), AllocateError> {
    let duplicate = leases
        .iter()
        .find(|lease| lease.is_of(owner) && sets.iter().any(|s| s.range_of(lease.addr).is_some()));
    match duplicate {
        None => Ok(()),
        Some(lease) => Err(AllocateError::Duplicate {
            addr: lease.addr,
            container: owner.container.clone(),
        }),
    }
}

/// For each set the address asked for, if one is.
fn assign(sets: &[RangeSet], requested: &[IpAddr]) -> Result<Vec<Option<IpAddr>>, AllocateError> {
    let mut wanted = vec![None; sets.len()];
    for addr in requested {
        let free = sets
            .iter()
            .zip(&mut wanted)
            .find(|(set, slot)| slot.is_none() && set.range_of(*addr).is_some());
        let Some((set, slot)) = free else {
            return Err(AllocateError::RequestedOutside(*addr));
        };
        if set
            .range_of(*addr)
            .is_some_and(|range| range.gateway == *addr)
        {
            return Err(AllocateError::RequestedGateway(*addr));
        }
        *slot = Some(*addr);
    }
    Ok(wanted)
}

fn take(
    store: &mut impl Store,
    index: usize,
    set: &RangeSet,
    wanted: Option<IpAddr>,
    taken: &mut BTreeSet<IpAddr>,
    owner: &Attachment,
    boot: &str,
) -> Result<IpConfig, AllocateError> {
    let last = store.last(index);
    loop {
        let (range, addr) = match wanted {
            Some(addr) => {
                let range = set.range_of(addr);
                let range = range.ok_or(AllocateError::RequestedOutside(addr))?;
                (range, addr)
            }
            None => {
                choose(set, taken, last).ok_or_else(|| AllocateError::Exhausted(set.describe()))?
            }
        };
        let lease = Lease {
            addr,
            owner: owner.clone(),
            boot: Some(boot.to_owned()),
        };
        if !taken.contains(&addr) && store.reserve(&lease)? {
            taken.insert(addr);
            store.remember(index, addr);
            return Ok(IpConfig {
                interface: None,
                address: range.cidr(addr),
                gateway: Some(range.gateway),
            });
        }
        if wanted.is_some() {
            return Err(AllocateError::RequestedTaken(addr));
        }
        taken.insert(addr);
    }
}

fn give_back(store: &mut impl Store, given: &[IpConfig]) {
    for ip in given {
        // The failure that led here is the one to report; GC takes what stays.
        let _ = store.release(ip.address.addr);
    }
}

#[cfg(test)]
mod tests;
