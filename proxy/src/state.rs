//! What is known of the API's objects, and the rules that follow. Pure.
//!
//! Changes are collected by Service; [`State::commit`] compiles the Services concerned and says what
//! that changes. What concerns every Service (the node's zone) compiles them all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::compile::compile;
use crate::diff::{RuleDelta, RuleSet};
use crate::model::{EndpointSlice, NodeRules, NodeView, Service, ServiceKey};

/// Objects and rules.
#[derive(Debug, Default)]
pub struct State {
    services: HashMap<ServiceKey, Arc<Service>>,
    slices: HashMap<ServiceKey, BTreeMap<ServiceKey, Arc<EndpointSlice>>>,
    view: NodeView,
    node: NodeRules,
    changed: BTreeSet<ServiceKey>,
    rules: RuleSet,
    /// When what each changed slice tells of happened.
    triggers: BTreeMap<ServiceKey, Timestamp>,
    /// How many objects changed since the last commit.
    pub pending: Pending,
}

/// Changes of objects that no rule has seen yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Of Services.
    pub services: u64,
    /// Of EndpointSlices.
    pub slices: u64,
}

impl State {
    /// Nothing known yet, and these rules of the node.
    #[must_use]
    pub fn new(node: NodeRules) -> Self {
        Self {
            rules: RuleSet::new(node.clone()),
            node,
            ..Self::default()
        }
    }

    /// The rules as of the last commit.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Whether a commit would have something to look at.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty() || self.node != *self.rules.node()
    }

    /// A Service as it is now; `None` where it is gone, or no concern of a proxy.
    pub fn set_service(&mut self, key: &ServiceKey, service: Option<Arc<Service>>) {
        let same = match &service {
            Some(new) => self.services.get(key) == Some(new),
            None => !self.services.contains_key(key),
        };
        if same {
            return;
        }
        match service {
            Some(service) => self.services.insert(key.clone(), service),
            None => self.services.remove(key),
        };
        self.pending.services += 1;
        self.changed.insert(key.clone());
    }

    /// A slice before and after; either may be of no concern.
    pub fn set_slice(
        &mut self,
        name: &ServiceKey,
        before: Option<&EndpointSlice>,
        after: Option<Arc<EndpointSlice>>,
    ) {
        if before == after.as_deref() {
            return;
        }
        self.pending.slices += 1;
        if let Some(before) = before
            && let Some(own) = self.slices.get_mut(&before.service)
        {
            own.remove(name);
            if own.is_empty() {
                self.slices.remove(&before.service);
            }
            self.changed.insert(before.service.clone());
        }
        if after.is_none() {
            self.triggers.remove(name);
        }
        if let Some(after) = after {
            self.changed.insert(after.service.clone());
            let own = self.slices.entry(after.service.clone()).or_default();
            own.insert(name.clone(), after);
        }
    }

    /// When what a slice tells of happened; of several times before a commit, the first counts.
    pub fn note_trigger(&mut self, slice: &ServiceKey, at: Timestamp) {
        self.triggers.entry(slice.clone()).or_insert(at);
    }

    /// Those times, once the rules are in place.
    pub fn take_triggers(&mut self) -> Vec<Timestamp> {
        std::mem::take(&mut self.triggers).into_values().collect()
    }

    /// What the choice of endpoints has to know of the node.
    pub fn set_view(&mut self, view: NodeView) {
        if self.view != view {
            self.view = view;
            self.changed.extend(self.services.keys().cloned());
        }
    }

    /// The node's rules.
    pub fn set_node(&mut self, node: NodeRules) {
        if self.node.node_ips != node.node_ips {
            self.changed.extend(self.services.keys().cloned());
        }
        self.node = node;
    }

    /// Brings the rules up to date; what that changes.
    pub fn commit(&mut self) -> RuleDelta {
        let mut delta = RuleDelta::default();
        self.rules.set_node(self.node.clone(), &mut delta);
        for key in std::mem::take(&mut self.changed) {
            let rules = self.services.get(&key).map(|service| {
                let own = self.slices.get(&key);
                let slices: Vec<&EndpointSlice> = own
                    .into_iter()
                    .flat_map(BTreeMap::values)
                    .map(AsRef::as_ref)
                    .collect();
                compile(service, &slices, &self.view, &self.node)
            });
            self.rules.set(&key, rules, &mut delta);
        }
        self.pending = Pending::default();
        delta
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ServiceObject, SliceObject};
    use serde_json::json;

    fn service(name: &str) -> (ServiceKey, Arc<Service>) {
        let object = json!({"metadata": {"namespace": "ns", "name": name},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}});
        let object: ServiceObject = serde_json::from_value(object).unwrap();
        (object.key(), Arc::new(object.into_service().unwrap()))
    }

    fn slice(of: &str, address: &str, zone: &str) -> Arc<EndpointSlice> {
        let object = json!({"metadata": {"namespace": "ns", "name": "x",
            "labels": {"kubernetes.io/service-name": of}}, "ports": [{"port": 80}],
            "endpoints": [{"addresses": [address], "hints": {"forZones": [{"name": zone}]}}]});
        let object: SliceObject = serde_json::from_value(object).unwrap();
        Arc::new(object.into_slice("here").unwrap())
    }

    fn endpoints(state: &State, key: &ServiceKey) -> usize {
        state
            .rules()
            .service(key)
            .map_or(0, |rules| rules.ports[0].cluster.len())
    }

    #[test]
    fn a_slice_may_come_first_move_and_go() {
        let mut state = State::new(NodeRules::default());
        let (one, two) = (service("one"), service("two"));
        let name = ServiceKey::new("ns", "x");
        let first = slice("one", "10.1.0.1", "z");
        state.set_slice(&name, None, Some(first.clone()));
        assert!(state.commit().is_empty(), "nobody's endpoints");
        state.set_service(&one.0, Some(one.1.clone()));
        assert_eq!(state.pending.services, 1);
        assert_eq!(state.commit().services.len(), 1);
        assert_eq!(endpoints(&state, &one.0), 1);
        state.set_service(&one.0, Some(one.1.clone()));
        assert!(!state.is_changed(), "the same again is no change");
        let mut other = Service::clone(&two.1);
        other.cluster_ips = vec![[10, 0, 0, 2].into()];
        state.set_service(&two.0, Some(Arc::new(other)));
        state.set_slice(&name, Some(&first), Some(slice("two", "10.1.0.1", "z")));
        assert_eq!(state.commit().services.len(), 2);
        assert_eq!(
            (endpoints(&state, &one.0), endpoints(&state, &two.0)),
            (0, 1)
        );
        state.set_service(&two.0, None);
        state.set_service(&one.0, None);
        state.commit();
        assert!(state.rules().is_empty());
    }

    #[test]
    fn the_zone_concerns_everybody() {
        let mut state = State::new(NodeRules::default());
        let (key, object) = service("one");
        state.set_service(&key, Some(object));
        state.set_slice(
            &ServiceKey::new("ns", "a"),
            None,
            Some(slice("one", "10.1.0.1", "z1")),
        );
        state.set_slice(
            &ServiceKey::new("ns", "b"),
            None,
            Some(slice("one", "10.1.0.2", "z2")),
        );
        state.commit();
        assert_eq!(endpoints(&state, &key), 2);
        state.set_view(NodeView {
            zone: Some("z2".into()),
        });
        assert_eq!(state.commit().services.len(), 1);
        assert_eq!(endpoints(&state, &key), 1);
    }
}
