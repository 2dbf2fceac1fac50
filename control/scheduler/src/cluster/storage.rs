//! What is known of storage, and which claims placed pods use.

use std::collections::HashMap;

use crate::intern::Word;
use crate::model::storage::{Capacity, Choice, Claim, CsiNode, StorageClass, Volume};
use crate::model::{Pod, PodKey, VolumeRef};

/// Claims, volumes, classes, drivers and their room.
#[derive(Debug, Default)]
pub struct Storage {
    /// Claims by namespace and name.
    pub claims: HashMap<PodKey, Claim>,
    /// Volumes by name.
    pub volumes: HashMap<Word, Volume>,
    /// Classes by name.
    pub classes: HashMap<Word, StorageClass>,
    /// What drivers say of nodes, by node.
    pub nodes: HashMap<Word, CsiNode>,
    /// Drivers by name: whether they tell how much room they have.
    pub drivers: HashMap<Word, bool>,
    /// How much room they have, by object.
    pub capacities: HashMap<PodKey, Capacity>,
    users: HashMap<PodKey, usize>,
}

impl Storage {
    /// A pod comes (1) or goes (-1).
    pub(super) fn count(&mut self, pod: &Pod, change: isize) {
        for claim in claims_of(pod) {
            let users = self.users.entry(claim.clone()).or_default();
            *users = users.saturating_add_signed(change);
            if *users == 0 {
                self.users.remove(&claim);
            }
        }
    }

    /// A claim will have this volume, or one that is made where this node reaches it.
    pub fn assume(&mut self, choice: &Choice, node: &Word) {
        let PodKey { namespace, name } = &choice.claim;
        match choice
            .volume
            .as_ref()
            .and_then(|volume| self.volumes.get_mut(volume))
        {
            Some(volume) if volume.claim.is_none() => {
                volume.claim = Some((namespace.clone(), name.clone(), Word::empty()));
            }
            Some(_) => {}
            None => {
                if let Some(claim) = self.claims.get_mut(&choice.claim) {
                    claim.selected_node = node.clone();
                }
            }
        }
    }

    /// It will not.
    pub fn release(&mut self, choice: &Choice) {
        let PodKey { namespace, name } = &choice.claim;
        let assumed = Some((namespace.clone(), name.clone(), Word::empty()));
        match choice
            .volume
            .as_ref()
            .and_then(|volume| self.volumes.get_mut(volume))
        {
            Some(volume) if volume.claim == assumed => volume.claim = None,
            Some(_) => {}
            None => {
                if let Some(claim) = self.claims.get_mut(&choice.claim) {
                    claim.selected_node = Word::empty();
                }
            }
        }
    }

    /// How many placed pods use a claim.
    #[must_use]
    pub fn users(&self, claim: &PodKey) -> usize {
        self.users.get(claim).copied().unwrap_or(0)
    }
}

/// The claims that a pod uses.
pub fn claims_of(pod: &Pod) -> impl Iterator<Item = PodKey> {
    pod.class.volumes.iter().filter_map(|volume| {
        let name = match volume {
            VolumeRef::Claim(name) => name.clone(),
            VolumeRef::Ephemeral(volume) => Word::of(&format!("{}-{volume}", pod.key.name)),
            VolumeRef::Disk { .. } | VolumeRef::Csi(_) => return None,
        };
        Some(PodKey {
            namespace: pod.key.namespace.clone(),
            name,
        })
    })
}
