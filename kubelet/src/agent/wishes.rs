//! What a source says anew of a pod that is at hand already: an edit, or that it is to end sooner.

use std::sync::Arc;
use std::time::Duration;

use super::pod_loop::PodLoop;
use crate::admit::resize::holding;
use crate::join::api_pods::{differ, gates_differ};
use crate::model::memory::{Life, Termination};
use crate::model::{DesiredPod, PodOrigin, PodUid};
use crate::observe::clock;
use crate::reconcile;

impl PodLoop {
    /// Takes over what changed of pods at hand.
    pub(super) fn follow_wishes(&mut self, wanted: &[Arc<DesiredPod>]) {
        for desired in wanted.iter().filter(|pod| pod.origin == PodOrigin::Api) {
            self.follow_edit(desired);
            if let Some(grace) = desired.leaving() {
                self.hurry(&desired.uid, grace);
            }
        }
    }

    fn follow_edit(&mut self, desired: &DesiredPod) {
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let Some(record) = records.get_mut(&desired.uid) else {
            return;
        };
        let known = record.wish.as_ref().unwrap_or(&record.pod);
        if Arc::ptr_eq(known, &desired.pod) {
            return;
        }
        let gates = gates_differ(known, &desired.pod);
        if !gates && !differ(known, &desired.pod) {
            return;
        }
        match holding(&desired.pod, &record.pod) {
            None => {
                record.take(desired.pod.clone());
                record.wish = None;
                record.memory.resize.pending = None;
            }
            Some(pod) => {
                record.take(Arc::new(pod));
                record.wish = Some(desired.pod.clone());
            }
        }
        // Labels and annotations may be shown in it.
        record.observed.volumes_outdated = Some(clock::mono());
        self.save(&desired.uid, record);
        self.dirty.insert(desired.uid.clone());
    }

    /// A pod on its way out that was given more time has only this much from now on.
    fn hurry(&mut self, uid: &PodUid, grace: Duration) {
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let Some(record) = records.get_mut(uid) else {
            return;
        };
        let Life::Terminating(before) = record.memory.life.clone() else {
            return;
        };
        if before.object_stays || grace >= before.grace {
            return;
        }
        let asked = Termination {
            since: clock::mono(),
            grace,
            failed: None,
            object_stays: false,
        };
        reconcile::terminate(&mut record.memory, asked);
        self.save(uid, record);
        self.dirty.insert(uid.clone());
    }

    /// The grace that came with the wish for a pod's end.
    pub(super) fn asked_grace(&self, uid: &PodUid) -> Option<Duration> {
        let wanted = self.wanted.as_ref()?;
        wanted.iter().find(|pod| pod.uid == *uid)?.leaving()
    }
}
