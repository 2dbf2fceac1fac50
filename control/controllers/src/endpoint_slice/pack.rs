//! Decides how endpoints are put into slices: as few writes as possible, what stays stays where it
//! is. Must not know where endpoints come from.

use std::collections::{BTreeMap, HashMap};

use super::endpoints_of::sorted;
use crate::kinds::endpoint_slice::{Endpoint, EndpointSlice, Port};

/// Endpoints that share their ports.
pub type Group = (Vec<Port>, Vec<Endpoint>);

/// What is to be done so that slices hold what they should.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// Slices that are missing.
    pub create: Vec<Group>,
    /// What slices should hold that do not: position among the existing ones.
    pub update: BTreeMap<usize, Group>,
    /// Slices that nobody needs: position among the existing ones.
    pub delete: Vec<usize>,
    /// Slices that are right: position among the existing ones.
    pub keep: Vec<usize>,
}

/// Puts groups of endpoints into the existing slices of one address type and into new ones, at
/// most `limit` in each. Where nothing is to be held one slice without anything stays.
#[must_use]
pub fn pack(existing: &[&EndpointSlice], groups: Vec<Group>, limit: usize) -> Packing {
    let mut by_ports: HashMap<Vec<Port>, Vec<usize>> = HashMap::new();
    for (at, slice) in existing.iter().enumerate() {
        by_ports.entry(sorted(&slice.ports)).or_default().push(at);
    }
    let mut packing = Packing::default();
    for (ports, endpoints) in groups {
        let slices = by_ports.remove(&sorted(&ports)).unwrap_or_default();
        pack_group(&mut packing, existing, &slices, (ports, endpoints), limit);
    }
    packing.delete.extend(by_ports.into_values().flatten());
    packing.delete.sort_unstable();
    keep_a_placeholder(&mut packing, existing);
    recycle(&mut packing);
    packing.keep.sort_unstable();
    packing
}

/// A group and the existing slices that have its ports.
fn pack_group(
    packing: &mut Packing,
    existing: &[&EndpointSlice],
    slices: &[usize],
    (ports, endpoints): Group,
    limit: usize,
) {
    let mut wanted: BTreeMap<Identity, Endpoint> = endpoints
        .into_iter()
        .map(|e| (Identity::of(&e), e))
        .collect();
    let mut changed: Vec<(usize, Vec<Endpoint>)> = Vec::new();
    let mut unchanged = Vec::new();
    for at in slices.iter().copied() {
        let (kept, same) = keep_wanted(existing[at], &mut wanted);
        if kept.is_empty() {
            packing.delete.push(at);
        } else if same {
            unchanged.push(at);
        } else {
            changed.push((at, kept));
        }
    }
    // What is written anyway is filled first, the fullest before the others.
    changed.sort_by_key(|(at, kept)| (std::cmp::Reverse(kept.len()), *at));
    for (_, kept) in &mut changed {
        while kept.len() < limit
            && let Some((_, endpoint)) = wanted.pop_first()
        {
            kept.push(endpoint);
        }
    }
    while !wanted.is_empty() {
        let place = (wanted.len() < limit)
            .then(|| best_place(existing, &unchanged, wanted.len(), limit))
            .flatten();
        if let Some(at) = place {
            unchanged.retain(|known| *known != at);
            let mut all = existing[at].endpoints.clone();
            all.extend(std::mem::take(&mut wanted).into_values());
            changed.push((at, all));
        } else {
            let chunk = std::iter::from_fn(|| wanted.pop_first()).take(limit);
            let chunk = chunk.map(|(_, endpoint)| endpoint).collect();
            packing.create.push((ports.clone(), chunk));
        }
    }
    packing.keep.extend(unchanged);
    let written = changed.into_iter();
    packing
        .update
        .extend(written.map(|(at, kept)| (at, (existing[at].ports.clone(), kept))));
}

/// What of a slice is still wanted, in its newest form, and whether that is all and unchanged.
fn keep_wanted(
    slice: &EndpointSlice,
    wanted: &mut BTreeMap<Identity, Endpoint>,
) -> (Vec<Endpoint>, bool) {
    let mut kept = Vec::with_capacity(slice.endpoints.len());
    let mut same = true;
    for old in &slice.endpoints {
        match wanted.remove(&Identity::of(old)) {
            None => same = false,
            Some(new) if is_same(old, &new) => kept.push(old.clone()),
            Some(new) => {
                same = false;
                kept.push(new);
            }
        }
    }
    (kept, same)
}

/// The slice that is closest to full with so many more.
fn best_place(
    existing: &[&EndpointSlice],
    among: &[usize],
    more: usize,
    limit: usize,
) -> Option<usize> {
    let fits = among.iter().copied().filter_map(|at| {
        let room = limit.checked_sub(existing[at].endpoints.len() + more)?;
        Some((room, at))
    });
    fits.min().map(|(_, at)| at)
}

fn keep_a_placeholder(packing: &mut Packing, existing: &[&EndpointSlice]) {
    if packing.delete.len() != existing.len() || !packing.create.is_empty() {
        return;
    }
    let is_empty =
        |at: &usize| existing[*at].ports.is_empty() && existing[*at].endpoints.is_empty();
    match packing.delete.iter().position(is_empty) {
        Some(place) => packing.keep.push(packing.delete.remove(place)),
        None => packing.create.push((Vec::new(), Vec::new())),
    }
}

/// A slice that would go is used for one that would come.
fn recycle(packing: &mut Packing) {
    while !packing.create.is_empty() && !packing.delete.is_empty() {
        let (at, group) = (packing.delete.remove(0), packing.create.remove(0));
        packing.update.insert(at, group);
    }
}

/// What makes an endpoint the same one as before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    addresses: Vec<String>,
    hostname: Option<String>,
    object: Option<(String, String)>,
}

impl Identity {
    fn of(endpoint: &Endpoint) -> Self {
        let mut addresses = endpoint.addresses.clone();
        addresses.sort();
        let target = endpoint.target_ref.as_ref();
        Self {
            addresses,
            hostname: endpoint.hostname.clone(),
            object: target.map(|target| (target.namespace.clone(), target.name.clone())),
        }
    }
}

/// Whether an endpoint says what it should, hints apart.
fn is_same(old: &Endpoint, new: &Endpoint) -> bool {
    old.conditions == new.conditions
        && old.target_ref == new.target_ref
        && old.node_name == new.node_name
        && old.zone == new.zone
}

#[cfg(test)]
mod tests;
