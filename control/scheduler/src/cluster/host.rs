//! One node with the pods on it and their sums.

use std::sync::Arc;

use crate::model::{Amounts, Node, Pod, PodKey};

/// A node and what is on it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The Node object; `None` while pods are bound to a node that is not there.
    pub node: Option<Arc<Node>>,
    /// The pods on it, assumed ones too.
    pub pods: Vec<Arc<Pod>>,
    /// What they request together.
    pub requested: Amounts,
    /// Their thousandths of a core and bytes as scores count them.
    pub scored: (i64, i64),
    /// How many of them take ports of the host.
    pub with_ports: usize,
    /// How many of them have terms of pod affinity or anti-affinity.
    pub with_terms: usize,
    /// How many of them have required anti-affinity.
    pub with_anti: usize,
}

impl Host {
    /// The Node object of a host that is looked at. Hosts without one are not.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.node
            .as_deref()
            .expect("only hosts with a node are looked at")
    }

    /// A pod comes.
    pub fn add(&mut self, pod: Arc<Pod>) {
        self.count(&pod, 1);
        self.pods.push(pod);
    }

    /// A pod goes.
    pub fn remove(&mut self, key: &PodKey) -> Option<Arc<Pod>> {
        let at = self.pods.iter().position(|pod| pod.key == *key)?;
        let pod = self.pods.swap_remove(at);
        self.count(&pod, -1);
        Some(pod)
    }

    fn count(&mut self, pod: &Pod, times: i64) {
        let class = &pod.class;
        self.requested.add(&class.requests, times);
        self.scored.0 += class.scored.0 * times;
        self.scored.1 += class.scored.1 * times;
        let change = |count: &mut usize, counts: bool| {
            if counts {
                *count = count.saturating_add_signed(if times > 0 { 1 } else { -1 });
            }
        };
        change(&mut self.with_ports, !class.ports.is_empty());
        change(&mut self.with_terms, class.has_pod_terms());
        change(&mut self.with_anti, !class.apart.is_empty());
    }

    /// How many more pods there may be.
    #[must_use]
    pub fn room_for_pods(&self) -> i64 {
        let there = i64::try_from(self.pods.len()).unwrap_or(i64::MAX);
        self.node().pods - there
    }
}
