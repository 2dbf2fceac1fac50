//! Disruption budgets, as preemption asks for them.

use crate::intern::Word;
use crate::model::{Pod, Selector};

/// A `PodDisruptionBudget`.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its namespace.
    pub namespace: Word,
    /// Which pods it guards.
    pub selector: Selector,
    /// How many of them may be disrupted now.
    pub allowed: i32,
    /// Pods that were disrupted already and count no more.
    pub disrupted: Vec<Word>,
}

impl Budget {
    /// Whether it guards this pod.
    #[must_use]
    pub fn guards(&self, pod: &Pod) -> bool {
        self.namespace == *pod.namespace()
            && !pod.labels().pairs().is_empty()
            && self.selector.matches(pod.labels())
            && !self.disrupted.contains(&pod.key.name)
    }
}
