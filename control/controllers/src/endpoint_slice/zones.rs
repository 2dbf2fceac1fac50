//! Decides which zones endpoints are meant for where a Service asks for shares by processors
//! (`service.kubernetes.io/topology-mode: Auto`): each zone is given about as many endpoints as it
//! has processors, so that none is overloaded by more than a fifth.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use keelson_api::quantity::Quantity;

use super::endpoints_of::ZONE;
use crate::kinds::endpoint_slice::{Endpoint, Hint, Hints};
use crate::kinds::{Node, Service};

/// The annotations that ask for it: today's, and the one of before.
const MODES: [&str; 2] = [
    "service.kubernetes.io/topology-mode",
    "service.kubernetes.io/topology-aware-hints",
];
/// Nodes with these labels serve no clients.
const EXCLUDED: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// Whether a Service asks for it.
#[must_use]
pub fn is_asked_for(service: &Service) -> bool {
    let annotations = &service.metadata.annotations;
    let mode = MODES.iter().find_map(|name| annotations.get(*name));
    mode.is_some_and(|mode| matches!(mode.as_str(), "Auto" | "auto"))
}

/// What of a node matters: its zone and its thousandths of processors, if it serves clients.
#[must_use]
pub fn share(node: &Node) -> Option<(String, i64)> {
    let excluded = |name: &&str| node.metadata.labels.contains_key(*name);
    let ready = crate::kinds::condition::find(&node.status.conditions, "Ready");
    if EXCLUDED.iter().any(excluded) || !ready.is_some_and(|ready| ready.holds()) {
        return None;
    }
    let cpu = Quantity::parse(&node.status.allocatable.cpu).map_or(0, |cpu| cpu.milli_value());
    let zone = node.metadata.labels.get(ZONE).cloned();
    Some((zone.unwrap_or_default(), cpu))
}

/// The same, of a node that may not be there.
#[must_use]
pub fn share_of(node: Option<&Arc<Node>>) -> Option<(String, i64)> {
    node.and_then(|node| share(node))
}

/// Processors by zone. None if a node doesn't say what it has and where it is, or all are in one
/// zone.
#[must_use]
pub fn processors(nodes: &[Arc<Node>]) -> Option<BTreeMap<String, i64>> {
    let mut zones = BTreeMap::new();
    for (zone, cpu) in nodes.iter().filter_map(|node| share(node)) {
        if zone.is_empty() || cpu <= 0 {
            return None;
        }
        *zones.entry(zone).or_insert(0) += cpu;
    }
    (zones.len() > 1).then_some(zones)
}

/// Why no endpoint is meant for a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unable {
    /// Nodes don't say enough, or there is one zone.
    Nodes,
    /// Fewer endpoints than zones.
    Endpoints {
        /// Those that are ready.
        ready: i64,
        /// Zones with nodes.
        zones: usize,
    },
    /// Some zone would be overloaded.
    Overload {
        /// Those that are ready.
        ready: i64,
        /// Zones with nodes.
        zones: usize,
    },
    /// An endpoint is nowhere.
    NoZone,
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes => f.write_str(
                "Insufficient node information: some node has no zone or allocatable CPU, or all \
                 are in one zone",
            ),
            Self::Endpoints { ready, zones } => {
                write!(f, "Too few endpoints ({ready} endpoints, {zones} zones)")
            }
            Self::Overload { ready, zones } => write!(
                f,
                "Some zone would be overloaded ({ready} endpoints, {zones} zones)"
            ),
            Self::NoZone => f.write_str("Some endpoint has no zone"),
        }
    }
}

/// The endpoints of a slice.
#[derive(Debug)]
pub struct Part {
    /// What it holds.
    pub endpoints: Vec<Endpoint>,
    /// Whether it is written anyway; set where hints change.
    pub touched: bool,
}

/// What a zone should have.
#[derive(Debug)]
struct Allocation {
    fewest: i64,
    most: i64,
    /// In parts of one endpoint, of which there are as many as all processors have thousandths.
    desired: i128,
}

/// Sets the hints of all endpoints of a Service and family. As few slices as possible are touched.
///
/// # Errors
/// It can't be done: then no endpoint has a hint.
pub fn assign(
    zones: Option<&BTreeMap<String, i64>>,
    parts: &mut [&mut Part],
) -> Result<(), Unable> {
    let touched: Vec<bool> = parts.iter().map(|part| part.touched).collect();
    let assigned = try_assign(zones, parts);
    if assigned.is_err() {
        for (part, touched) in parts.iter_mut().zip(touched) {
            part.touched = touched;
            for endpoint in &mut part.endpoints {
                part.touched |= endpoint.hints.take().is_some();
            }
        }
    }
    assigned
}

fn try_assign(
    zones: Option<&BTreeMap<String, i64>>,
    parts: &mut [&mut Part],
) -> Result<(), Unable> {
    let zones = zones.ok_or(Unable::Nodes)?;
    let all = parts.iter().flat_map(|part| &part.endpoints);
    let ready = i64::try_from(all.filter(|one| is_ready(one)).count()).unwrap_or(i64::MAX);
    let total: i64 = zones.values().sum();
    let allocations = allocate(zones, total, ready)?;
    let mut given: BTreeMap<String, i64> = BTreeMap::new();
    for part in parts.iter_mut().filter(|part| !part.touched) {
        match as_they_are(&part.endpoints, &given, &allocations) {
            None => part.touched = true,
            Some(hints) => {
                for (zone, count) in hints {
                    *given.entry(zone).or_insert(0) += count;
                }
            }
        }
    }
    let touched = || parts.iter().filter(|part| part.touched);
    let mut endpoints = touched().flat_map(|part| &part.endpoints);
    if endpoints.any(|one| is_ready(one) && zone_of(one).is_empty()) {
        return Err(Unable::NoZone);
    }
    for endpoint in touched_endpoints(parts) {
        endpoint.hints = is_ready(endpoint).then(|| meant_for(zone_of(endpoint)));
        if is_ready(endpoint) {
            *given.entry(zone_of(endpoint).to_owned()).or_insert(0) += 1;
        }
    }
    let (mut giving, mut receiving) = moves(&allocations, &given, i128::from(total));
    for endpoint in touched_endpoints(parts).filter(|one| is_ready(one)) {
        let Some(left) = giving.get_mut(zone_of(endpoint)).filter(|left| **left > 0) else {
            continue;
        };
        if let Some((zone, room)) = receiving.iter_mut().find(|(_, room)| **room > 0) {
            (*left, *room) = (*left - 1, *room - 1);
            endpoint.hints = Some(meant_for(zone));
        }
    }
    Ok(())
}

fn touched_endpoints<'a>(parts: &'a mut [&mut Part]) -> impl Iterator<Item = &'a mut Endpoint> {
    let touched = parts.iter_mut().filter(|part| part.touched);
    touched.flat_map(|part| &mut part.endpoints)
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready == Some(true)
}

fn zone_of(endpoint: &Endpoint) -> &str {
    endpoint.zone.as_deref().unwrap_or_default()
}

fn meant_for(zone: &str) -> Hints {
    Hints {
        for_zones: Hint::only(zone),
        for_nodes: Vec::new(),
    }
}

fn allocate(
    zones: &BTreeMap<String, i64>,
    total: i64,
    ready: i64,
) -> Result<BTreeMap<&str, Allocation>, Unable> {
    let count = zones.len();
    if i64::try_from(count).is_ok_and(|zones| zones > ready) {
        let zones = count;
        return Err(Unable::Endpoints { ready, zones });
    }
    let whole = i128::from(total);
    let mut allocations = BTreeMap::new();
    for (zone, cpu) in zones {
        let desired = i128::from(*cpu) * i128::from(ready);
        // Its share over six fifths, rounded up.
        let fewest = (desired * 5 + whole * 6 - 1) / (whole * 6);
        let allocation = Allocation {
            fewest: i64::try_from(fewest).unwrap_or(i64::MAX),
            most: 0,
            desired: desired.max(fewest * whole),
        };
        allocations.insert(zone.as_str(), allocation);
    }
    let fewest: i64 = allocations.values().map(|one| one.fewest).sum();
    let spare = ready - fewest;
    if spare < 0 {
        let zones = count;
        return Err(Unable::Overload { ready, zones });
    }
    for allocation in allocations.values_mut() {
        allocation.most = allocation.fewest + spare;
    }
    Ok(allocations)
}

/// For which zones the endpoints of a slice are meant, if that may stay as it is.
fn as_they_are(
    endpoints: &[Endpoint],
    given: &BTreeMap<String, i64>,
    allocations: &BTreeMap<&str, Allocation>,
) -> Option<BTreeMap<String, i64>> {
    let mut hints = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|one| is_ready(one)) {
        let zones = endpoint.hints.as_ref().map(|hints| &hints.for_zones)?;
        if zones.is_empty() {
            return None;
        }
        for zone in zones {
            *hints.entry(zone.name.clone()).or_insert(0) += 1;
        }
    }
    let fits = |(zone, count): (&String, &i64)| {
        let before = given.get(zone).copied().unwrap_or(0);
        let allocation = allocations.get(zone.as_str());
        allocation.is_some_and(|allocation| before + count <= allocation.most)
    };
    hints.iter().all(fits).then_some(hints)
}

type Counts<'a> = BTreeMap<&'a str, i64>;

/// How many endpoints each zone should give to others, and receive from others.
fn moves<'a>(
    allocations: &BTreeMap<&'a str, Allocation>,
    given: &BTreeMap<String, i64>,
    whole: i128,
) -> (Counts<'a>, Counts<'a>) {
    let (mut much, mut little) = (BTreeMap::new(), BTreeMap::new());
    for (zone, allocation) in allocations {
        let has = given.get(*zone).copied().unwrap_or(0);
        let over = i128::from(has) * whole - allocation.desired;
        if over > 0 {
            much.insert(*zone, over);
        } else if over < 0 {
            little.insert(*zone, -over);
        }
    }
    let (mut giving, mut receiving) = (Counts::new(), Counts::new());
    while let (Some(from), Some(to)) = (largest(&much), largest(&little)) {
        let neither = from.1 < whole && to.1 < whole;
        if neither || from.1 * 2 < whole || to.1 * 2 < whole {
            break;
        }
        *giving.entry(from.0).or_insert(0) += 1;
        *receiving.entry(to.0).or_insert(0) += 1;
        much.insert(from.0, from.1 - whole);
        little.insert(to.0, to.1 - whole);
    }
    (giving, receiving)
}

fn largest<'a>(zones: &BTreeMap<&'a str, i128>) -> Option<(&'a str, i128)> {
    let found = zones.iter().max_by_key(|(_, amount)| **amount)?;
    (*found.1 > 0).then_some((*found.0, *found.1))
}

#[cfg(test)]
mod tests;
