//! Which clients must not stay with the endpoint they had: it is gone. Pure.
//!
//! Packets fill the maps of clients, so that they are no part of the rules: after a change, what they
//! have for the Services concerned is compared with their endpoints.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::layout::{at, endpoint};
use crate::diff::{RuleDelta, RuleSet};
use crate::model::{Policy, PortRules};

const POLICIES: [Policy; 2] = [Policy::Cluster, Policy::Local];

/// The endpoints that clients may stay with, by policy and by address, protocol and port of the
/// Service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bonds {
    allowed: HashMap<(Policy, Vec<u8>), HashSet<Vec<u8>>>,
    /// Whether Services that are not listed have no clients.
    complete: bool,
}

impl Bonds {
    /// What a change may have broken: Services with affinity that lost endpoints.
    #[must_use]
    pub fn after(delta: &RuleDelta) -> Self {
        let mut bonds = Self::default();
        for (before, after) in delta.services.values() {
            for port in sticky(before.as_deref()) {
                let mut after = sticky(after.as_deref());
                let now = after.find(|now| identity(now) == identity(port));
                for policy in POLICIES {
                    let now = now.map(|now| endpoints(now, policy)).unwrap_or_default();
                    if !endpoints(port, policy).is_subset(&now) {
                        bonds.allowed.insert((policy, identity(port)), now);
                    }
                }
            }
        }
        bonds
    }

    /// All of them.
    #[must_use]
    pub fn of(rules: &RuleSet) -> Self {
        let all = rules.services().flat_map(|(_, rules)| sticky(Some(rules)));
        let each = all.flat_map(|port| POLICIES.map(|policy| (port, policy)));
        Self {
            allowed: each
                .map(|(port, policy)| ((policy, identity(port)), endpoints(port, policy)))
                .collect(),
            complete: true,
        }
    }

    /// Families with something to look at: whether each is IPv6.
    pub fn families(&self) -> impl Iterator<Item = bool> + use<> {
        let mut found: BTreeSet<bool> = self.allowed.keys().map(|(_, key)| is_v6(key)).collect();
        if self.complete {
            found.extend([false, true]);
        }
        found.into_iter()
    }

    /// Whether a client of the kernel's map for this policy has to go.
    #[must_use]
    pub fn is_broken(&self, policy: Policy, key: &[u8], value: &[u8]) -> bool {
        let identity = key.get(..identity_length(key)).unwrap_or_default();
        match self.allowed.get(&(policy, identity.to_vec())) {
            Some(allowed) => !allowed.contains(value),
            None => self.complete,
        }
    }
}

fn sticky(rules: Option<&crate::model::ServiceRules>) -> impl Iterator<Item = &PortRules> {
    let ports = rules.into_iter().flat_map(|rules| &rules.ports);
    ports.filter(|port| port.affinity.is_some())
}

fn identity(port: &PortRules) -> Vec<u8> {
    at(port.cluster_ip, port.protocol, port.port)
}

fn endpoints(port: &PortRules, policy: Policy) -> HashSet<Vec<u8>> {
    port.endpoints(policy).iter().map(endpoint).collect()
}

fn is_v6(identity: &[u8]) -> bool {
    identity.len() == 24
}

/// A key is an identity and a client's address: 12 and 4 bytes, or 24 and 16.
fn identity_length(key: &[u8]) -> usize {
    if key.len() == 16 { 12 } else { 24 }
}
