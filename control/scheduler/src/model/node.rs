//! A node as it stands: what it has and what it asks of pods.

use crate::intern::Word;
use crate::model::{Amounts, Labels, Taint};

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its name.
    pub name: Word,
    /// `metadata.resourceVersion`.
    pub version: Box<str>,
    /// Its labels.
    pub labels: Labels,
    /// What keeps pods away.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// What pods may use.
    pub allocatable: Amounts,
    /// How many pods there may be.
    pub pods: i64,
    /// Image names that it holds, with the image's size in bytes.
    pub images: Vec<(Word, i64)>,
}

impl Node {
    /// Whether two states of a node are the same to scheduling.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.taints == other.taints
            && self.unschedulable == other.unschedulable
            && self.allocatable == other.allocatable
            && self.pods == other.pods
            && self.images == other.images
    }

    /// Region and zone as one word; empty where the node has neither.
    #[must_use]
    pub fn zone(&self) -> (Option<&Word>, Option<&Word>) {
        let first = |keys: [&str; 2]| {
            let mut values = keys
                .into_iter()
                .map(|key| self.labels.value(&Word::of(key)));
            values.find_map(|value| value)
        };
        let region = first([
            "topology.kubernetes.io/region",
            "failure-domain.beta.kubernetes.io/region",
        ]);
        let zone = first([
            "topology.kubernetes.io/zone",
            "failure-domain.beta.kubernetes.io/zone",
        ]);
        (region, zone)
    }
}
