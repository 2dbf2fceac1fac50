//! Which changes of a pod's memory are written down, and which of them before anybody is told.
//! Pure.

use crate::model::{Mono, PodMemory, Resources};

/// What others act on as soon as they are told, so that the next agent must not unsay it: whether
/// the pod is ready, what its probes found, and what its containers have while that changes.
pub(super) fn promises(memory: &PodMemory) -> (bool, Vec<bool>, Vec<Option<Resources>>) {
    let ready = memory
        .conditions
        .get("Ready")
        .is_some_and(|(holds, _)| *holds);
    let probes = memory.containers.values().flat_map(|c| c.probes.values());
    let containers = memory.containers.values();
    // A container that is restarted for its resources is restarted once.
    let given = containers.filter(|_| memory.resize.progress.is_some());
    (
        ready,
        probes.filter_map(|probe| probe.verdict).collect(),
        given.map(|c| c.given).collect(),
    )
}

/// The part of a memory whose change is worth a write: not the moving due time of a probe.
pub(super) struct Remembered(PodMemory);

impl Remembered {
    pub(super) fn of(memory: &PodMemory) -> Self {
        let mut copy = memory.clone();
        copy.in_flight.clear();
        for probe in copy
            .containers
            .values_mut()
            .flat_map(|c| c.probes.values_mut())
        {
            probe.due = Mono::default();
        }
        Self(copy)
    }

    pub(super) fn differs_from(&self, after: &PodMemory) -> bool {
        self.0 != Self::of(after).0
    }
}
