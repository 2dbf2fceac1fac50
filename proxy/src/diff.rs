//! Keeps the rules of all Services and says what changed. Pure.
//!
//! Guarantees: a change costs the Services it touches, whatever the number of Services. No two
//! Services ever hold one address and port: of several that ask for it, the first by name gets it,
//! and the next when that one lets go. So a backend never sees a conflict.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{NodeRules, PortRules, Protocol, ServiceKey, ServiceRules};

/// Something that only one Service can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Claim {
    Address(IpAddr, Protocol, u16),
    NodePort { v6: bool, at: (Protocol, u16) },
}

/// The rules of all Services, without conflicts.
#[derive(Debug, Default)]
pub struct RuleSet {
    node: NodeRules,
    asked: BTreeMap<ServiceKey, Arc<ServiceRules>>,
    /// Only for Services that do not get all they ask for.
    granted: BTreeMap<ServiceKey, Arc<ServiceRules>>,
    /// Who has a claim.
    held: HashMap<Claim, ServiceKey>,
    /// Who would like to, beside the one that has it.
    waiting: BTreeMap<Claim, BTreeSet<ServiceKey>>,
}

/// A Service before and after.
pub type Change = (Option<Arc<ServiceRules>>, Option<Arc<ServiceRules>>);

/// What changed between two states of the rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RuleDelta {
    /// The node's rules before and after, where they differ.
    pub node: Option<(NodeRules, NodeRules)>,
    /// Services whose rules differ.
    pub services: BTreeMap<ServiceKey, Change>,
}

impl RuleDelta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.node.is_none() && self.services.is_empty()
    }

    fn record(
        &mut self,
        key: &ServiceKey,
        before: Option<Arc<ServiceRules>>,
        after: Option<Arc<ServiceRules>>,
    ) {
        let known = self.services.remove(key);
        let before = known.map_or(before, |(before, _)| before);
        if before != after {
            self.services.insert(key.clone(), (before, after));
        }
    }
}

impl RuleSet {
    /// No Services yet, and these rules of the node.
    #[must_use]
    pub fn new(node: NodeRules) -> Self {
        Self {
            node,
            ..Self::default()
        }
    }

    /// The node's rules.
    #[must_use]
    pub fn node(&self) -> &NodeRules {
        &self.node
    }

    /// Every Service with the rules it has, in order.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<ServiceRules>)> {
        self.asked
            .iter()
            .map(|(key, asked)| (key, self.granted.get(key).unwrap_or(asked)))
    }

    /// How many Services have rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether no Service has rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The rules a Service has.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<ServiceRules>> {
        self.granted.get(key).or_else(|| self.asked.get(key))
    }

    /// Sets the node's rules.
    pub fn set_node(&mut self, node: NodeRules, delta: &mut RuleDelta) {
        let before = match delta.node.take() {
            Some((before, _)) => before,
            None => self.node.clone(),
        };
        self.node = node;
        if before != self.node {
            delta.node = Some((before, self.node.clone()));
        }
    }

    /// Sets the rules of a Service, or takes them away, and records what that changes, for this
    /// Service and for those that wait for its addresses.
    pub fn set(&mut self, key: &ServiceKey, rules: Option<ServiceRules>, delta: &mut RuleDelta) {
        let rules = rules.filter(|rules| !rules.is_empty());
        let before = self.service(key).cloned();
        let old = self
            .asked
            .get(key)
            .map(|rules| claims(rules))
            .unwrap_or_default();
        let new = rules.as_ref().map(claims).unwrap_or_default();
        match rules {
            Some(rules) => {
                self.asked.insert(key.clone(), Arc::new(rules));
            }
            None => {
                self.asked.remove(key);
            }
        }
        let mut affected = BTreeSet::new();
        for claim in old.difference(&new) {
            affected.extend(self.release(*claim, key));
        }
        for claim in new.difference(&old) {
            affected.extend(self.claim(*claim, key));
        }
        affected.remove(key);
        self.grant(key);
        delta.record(key, before, self.service(key).cloned());
        for other in affected {
            let before = self.service(&other).cloned();
            self.grant(&other);
            delta.record(&other, before, self.service(&other).cloned());
        }
    }

    /// Gives up a claim; whoever gets it now.
    fn release(&mut self, claim: Claim, key: &ServiceKey) -> Option<ServiceKey> {
        let mut others = self.waiting.remove(&claim).unwrap_or_default();
        if self.held.get(&claim) != Some(key) {
            others.remove(key);
            self.wait(claim, others);
            return None;
        }
        let Some(next) = others.pop_first() else {
            self.held.remove(&claim);
            return None;
        };
        self.held.insert(claim, next.clone());
        self.wait(claim, others);
        Some(next)
    }

    /// Asks for a claim; whoever loses it.
    fn claim(&mut self, claim: Claim, key: &ServiceKey) -> Option<ServiceKey> {
        let (waits, loser) = match self.held.entry(claim) {
            Entry::Vacant(free) => {
                free.insert(key.clone());
                return None;
            }
            Entry::Occupied(mut taken) if key < taken.get() => {
                let loser = taken.insert(key.clone());
                (loser.clone(), Some(loser))
            }
            Entry::Occupied(_) => (key.clone(), None),
        };
        self.waiting.entry(claim).or_default().insert(waits);
        loser
    }

    fn wait(&mut self, claim: Claim, others: BTreeSet<ServiceKey>) {
        if !others.is_empty() {
            self.waiting.insert(claim, others);
        }
    }

    /// Works out what a Service gets of what it asks for.
    fn grant(&mut self, key: &ServiceKey) {
        self.granted.remove(key);
        let Some(asked) = self.asked.get(key) else {
            return;
        };
        let has = |claim: Claim| self.held.get(&claim) == Some(key);
        if self.waiting.is_empty() || claims(asked).into_iter().all(has) {
            return;
        }
        let mut rules = ServiceRules::clone(asked);
        rules.ports.retain_mut(|port| {
            let at = |ip| Claim::Address(ip, port.protocol, port.port);
            port.entrances.retain(|entrance| has(at(entrance.ip)));
            port.node_port = port
                .node_port
                .filter(|number| has(node_port(port, *number)));
            has(at(port.cluster_ip))
        });
        self.granted.insert(key.clone(), Arc::new(rules));
    }
}

fn claims(rules: &ServiceRules) -> BTreeSet<Claim> {
    let mut found = BTreeSet::new();
    for port in &rules.ports {
        let at = |ip| Claim::Address(ip, port.protocol, port.port);
        found.insert(at(port.cluster_ip));
        found.extend(port.entrances.iter().map(|entrance| at(entrance.ip)));
        found.extend(port.node_port.map(|number| node_port(port, number)));
    }
    found
}

fn node_port(port: &PortRules, number: u16) -> Claim {
    Claim::NodePort {
        v6: port.is_v6(),
        at: (port.protocol, number),
    }
}

#[cfg(test)]
mod tests;
