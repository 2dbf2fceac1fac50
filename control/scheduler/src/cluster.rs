//! The cluster as scheduling sees it, kept up to date change by change: nobody lists pods for a
//! decision, and nothing is copied for one. Sums per node are kept, never computed anew.
//! Must not know where changes come from.

use std::collections::HashMap;
use std::sync::Arc;

use crate::intern::Word;
use crate::model::{Labels, Node, Pod, PodKey};

pub mod budget;
pub mod host;
pub mod order;
pub mod owners;
pub mod storage;

pub use budget::Budget;
pub use host::Host;

/// Everything that decisions are made on.
#[derive(Debug, Default)]
pub struct Cluster {
    hosts: Vec<Host>,
    by_name: HashMap<Word, usize>,
    placed: HashMap<PodKey, Placed>,
    order: order::Order,
    images: HashMap<Word, usize>,
    namespaces: HashMap<Word, Labels>,
    nominated: HashMap<PodKey, (Word, Arc<Pod>)>,
    required_anti: usize,
    with_terms: usize,
    /// Claims, volumes and what drivers say.
    pub storage: storage::Storage,
    /// Disruption budgets.
    pub budgets: HashMap<PodKey, Budget>,
    /// What selects pods: services and workloads.
    pub owners: owners::Owners,
    generation: u64,
}

#[derive(Debug)]
struct Placed {
    node: Word,
    assumed: bool,
}

impl Cluster {
    /// The hosts that have a Node object, in the order in which they are looked at: zone by zone
    /// in turn.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        self.order.hosts()
    }

    /// A host by its place.
    #[must_use]
    pub fn host(&self, at: usize) -> &Host {
        &self.hosts[at]
    }

    /// All hosts with a Node object.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.order().iter().map(|at| &self.hosts[*at])
    }

    /// A host's place by its node's name.
    #[must_use]
    pub fn find(&self, node: &Word) -> Option<usize> {
        let at = *self.by_name.get(node)?;
        self.hosts[at].node.is_some().then_some(at)
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order().len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order().is_empty()
    }

    /// A number that changes whenever anything changed that a decision may depend on.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Notes that something outside of nodes and pods changed.
    pub fn touch(&mut self) {
        self.generation += 1;
    }

    /// On how many nodes an image is.
    #[must_use]
    pub fn nodes_with_image(&self, name: &Word) -> usize {
        self.images.get(name).copied().unwrap_or(0)
    }

    /// How many placed pods have required anti-affinity.
    #[must_use]
    pub fn pods_with_required_anti(&self) -> usize {
        self.required_anti
    }

    /// How many placed pods have terms of pod affinity or anti-affinity.
    #[must_use]
    pub fn pods_with_terms(&self) -> usize {
        self.with_terms
    }

    /// The labels of a namespace.
    #[must_use]
    pub fn namespace(&self, name: &Word) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// A namespace has these labels, or is gone.
    pub fn set_namespace(&mut self, name: &Word, labels: Option<Labels>) {
        self.touch();
        match labels {
            Some(labels) => self.namespaces.insert(name.clone(), labels),
            None => self.namespaces.remove(name),
        };
    }

    /// A node is there, new or changed. Returns its earlier state.
    pub fn set_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let at = self.place(&node.name);
        let old = self.hosts[at].node.replace(node.clone());
        if old.as_ref().is_some_and(|old| old.is_same(&node)) {
            return old;
        }
        self.touch();
        self.count_images(old.as_deref(), Some(&node));
        match &old {
            None => self.order.add(at, &node),
            Some(old) if old.zone() != node.zone() => {
                self.order.remove(at);
                self.order.add(at, &node);
            }
            Some(_) => {}
        }
        old
    }

    /// A node is gone. Pods that are still bound to it are kept until they are gone, too.
    pub fn remove_node(&mut self, name: &Word) -> Option<Arc<Node>> {
        let at = *self.by_name.get(name)?;
        let old = self.hosts[at].node.take()?;
        self.touch();
        self.count_images(Some(&old), None);
        self.order.remove(at);
        self.drop_if_empty(at);
        Some(old)
    }

    fn count_images(&mut self, old: Option<&Node>, new: Option<&Node>) {
        for (name, _) in new.into_iter().flat_map(|node| &node.images) {
            *self.images.entry(name.clone()).or_default() += 1;
        }
        for (name, _) in old.into_iter().flat_map(|node| &node.images) {
            if let Some(count) = self.images.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.images.remove(name);
                }
            }
        }
    }

    /// The host of this name, made where there is none.
    fn place(&mut self, name: &Word) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let at = self.hosts.len();
        self.hosts.push(Host::default());
        self.by_name.insert(name.clone(), at);
        at
    }

    fn drop_if_empty(&mut self, at: usize) {
        let host = &self.hosts[at];
        if host.node.is_some() || !host.pods.is_empty() {
            return;
        }
        self.hosts.swap_remove(at);
        let last = self.hosts.len();
        self.by_name.retain(|_, known| *known != at);
        if at == last {
            return;
        }
        // The last one took its place.
        for known in self.by_name.values_mut() {
            if *known == last {
                *known = at;
            }
        }
        self.order.rename(last, at);
    }

    /// A pod is bound to a node, or assumed to be. It may have been there before, elsewhere or in
    /// another state.
    pub fn put_pod(&mut self, pod: Arc<Pod>, node: &Word, assumed: bool) {
        if self.replace(&pod, node, assumed) {
            return;
        }
        self.take_pod(&pod.key);
        self.touch();
        let at = self.place(node);
        let placed = Placed {
            node: node.clone(),
            assumed,
        };
        self.placed.insert(pod.key.clone(), placed);
        self.required_anti += usize::from(!pod.class.apart.is_empty());
        self.with_terms += usize::from(pod.class.has_pod_terms());
        self.storage.count(&pod, 1);
        self.nominated.remove(&pod.key);
        self.hosts[at].add(pod);
    }

    /// A pod that stays as it is to scheduling, such as one whose binding was assumed and is seen
    /// now, changes nothing.
    fn replace(&mut self, pod: &Arc<Pod>, node: &Word, assumed: bool) -> bool {
        let Some(placed) = self.placed.get_mut(&pod.key) else {
            return false;
        };
        let Some(host) = self
            .by_name
            .get(&placed.node)
            .map(|at| &mut self.hosts[*at])
        else {
            return false;
        };
        let known = host.pods.iter_mut().find(|known| known.key == pod.key);
        let Some(known) = known.filter(|known| {
            placed.node == *node
                && Arc::ptr_eq(&known.class, &pod.class)
                && known.deleting == pod.deleting
                && known.uid == pod.uid
        }) else {
            return false;
        };
        *known = pod.clone();
        placed.assumed = assumed;
        true
    }

    /// Whether room is being made for any pod.
    #[must_use]
    pub fn has_nominations(&self) -> bool {
        !self.nominated.is_empty()
    }

    /// A pod is gone from its node. Returns it, if it was anywhere.
    pub fn take_pod(&mut self, key: &PodKey) -> Option<Arc<Pod>> {
        let placed = self.placed.remove(key)?;
        self.touch();
        let at = *self.by_name.get(&placed.node)?;
        let pod = self.hosts[at].remove(key)?;
        self.required_anti -= usize::from(!pod.class.apart.is_empty());
        self.with_terms -= usize::from(pod.class.has_pod_terms());
        self.storage.count(&pod, -1);
        self.drop_if_empty(at);
        Some(pod)
    }

    /// Where a pod is, and whether that is only assumed.
    #[must_use]
    pub fn whereabouts(&self, key: &PodKey) -> Option<(&Word, bool)> {
        let placed = self.placed.get(key)?;
        Some((&placed.node, placed.assumed))
    }

    /// A pod that is placed.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<&Arc<Pod>> {
        let placed = self.placed.get(key)?;
        let host = &self.hosts[*self.by_name.get(&placed.node)?];
        host.pods.iter().find(|pod| pod.key == *key)
    }

    /// How many pods are placed.
    #[must_use]
    pub fn placed(&self) -> usize {
        self.placed.len()
    }

    /// Room is being made for a pod on a node, or no longer.
    pub fn nominate(&mut self, pod: &Arc<Pod>, node: Option<&Word>) {
        let key = &pod.key;
        let known = self.nominated.get(key);
        if known.map(|(node, _)| node) == node && known.is_none_or(|(_, old)| Arc::ptr_eq(old, pod))
        {
            return;
        }
        self.touch();
        match node {
            Some(node) => {
                let entry = (node.clone(), pod.clone());
                self.nominated.insert(key.clone(), entry);
            }
            None => {
                self.nominated.remove(key);
            }
        }
    }

    /// The pod is no longer waited for.
    pub fn forget_nomination(&mut self, key: &PodKey) {
        if self.nominated.remove(key).is_some() {
            self.touch();
        }
    }

    /// Where room is being made for a pod.
    #[must_use]
    pub fn nomination(&self, key: &PodKey) -> Option<&Word> {
        self.nominated.get(key).map(|(node, _)| node)
    }

    /// Pods other than `but` that room is being made for, of at least this priority, with their
    /// nodes.
    pub fn nominated<'a>(
        &'a self,
        but: &'a PodKey,
        priority: i32,
    ) -> impl Iterator<Item = (&'a Word, &'a Arc<Pod>)> {
        let others = self.nominated.iter().filter(move |(key, _)| *key != but);
        others
            .map(|(_, (node, pod))| (node, pod))
            .filter(move |(_, pod)| pod.class.priority >= priority)
    }
}

#[cfg(test)]
mod tests;
