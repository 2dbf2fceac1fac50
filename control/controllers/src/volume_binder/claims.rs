//! What a claim gets: a volume that is there, one that is made for it, or word why it waits.

use std::sync::Arc;

use serde_json::json;

use super::bind::{bind, claim_status};
use super::{BEHIND, Binder, about, has_seen, matching};
use crate::controller::Plan;
use crate::kinds::persistent_volume::{self as volume, BY_CONTROLLER, claim_word};
use crate::kinds::{PersistentVolume, PersistentVolumeClaim, StorageClass, pod};
use crate::write::Write;

/// Who has to make a volume for the claim.
const PROVISIONER: [&str; 2] = [
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
];
/// Provisioners of this prefix were part of Kubernetes once.
const BUILT_IN: &str = "kubernetes.io/";

impl Binder {
    pub(super) fn see_to_claim(&self, claim: &PersistentVolumeClaim, plan: &mut Plan) {
        if claim.is_complete() {
            self.keep_bound(claim, plan);
        } else if claim.spec.volume_name.is_empty() {
            self.find_volume(claim, plan);
        } else {
            self.take_named(claim, plan);
        }
    }

    fn find_volume(&self, claim: &PersistentVolumeClaim, plan: &mut Plan) {
        let class = self.classes.get("", claim.class());
        let waits = class.as_ref().is_some_and(|class| class.waits());
        if let Some(volume) = self.suiting(claim, waits) {
            self.promise(&volume, claim);
            bind(&volume, claim, plan);
            return;
        }
        plan.requeue_after(self.period);
        if let Some(class) = self.default_class().filter(|_| !claim.names_class()) {
            let name = &class.metadata.name;
            let changes = json!({"spec": {"storageClassName": name}});
            return plan.write(Write::patch(claim, changes));
        }
        if waits && !claim.has_node() {
            self.tell_waiting(claim, plan);
        } else if !claim.class().is_empty() {
            return provision(claim, class.as_deref(), plan);
        } else {
            let text = "no free volume suits the claim, and it has no storage class to make one";
            plan.tell(about(claim), "FailedBinding", text.to_owned());
        }
        pending(claim, plan);
    }

    /// The volume that a claim should have. Where the scheduler chooses, only one that is meant for
    /// the claim.
    fn suiting(&self, claim: &PersistentVolumeClaim, waits: bool) -> Option<Arc<PersistentVolume>> {
        let meta = &claim.metadata;
        let word = claim_word(&meta.namespace, &meta.name);
        let meant = matching::meant(claim, self.volumes.by_index(volume::CLAIM, &word));
        meant.or_else(|| {
            let mut free = match waits {
                true => Vec::new(),
                false => self.volumes.by_index(volume::FREE, claim.class()),
            };
            free.retain(|volume| !self.is_promised(volume, claim));
            matching::best(claim, free)
        })
    }

    fn tell_waiting(&self, claim: &PersistentVolumeClaim, plan: &mut Plan) {
        let meta = &claim.metadata;
        let users = self
            .pods
            .by_index(pod::CLAIM, &claim_word(&meta.namespace, &meta.name));
        let waiting = users
            .iter()
            .filter(|pod| pod.is_active() && pod.spec.node_name.is_empty());
        let names: Vec<&str> = waiting.map(|pod| &*pod.metadata.name).collect();
        let (reason, text) = match &names[..] {
            [] => (
                "WaitForFirstConsumer",
                "waiting for a pod that uses the claim".to_owned(),
            ),
            names => (
                "WaitForPodScheduled",
                format!("waiting for a node for {}", names.join(", ")),
            ),
        };
        plan.tell(about(claim), reason, text);
    }

    /// A claim that asks for a certain volume.
    fn take_named(&self, claim: &PersistentVolumeClaim, plan: &mut Plan) {
        let name = &claim.spec.volume_name;
        let Some(volume) = self.volumes.get("", name) else {
            plan.requeue_after(self.period);
            return pending(claim, plan);
        };
        if volume.is_for(claim) {
            return bind(&volume, claim, plan);
        }
        plan.requeue_after(self.period);
        if volume.spec.claim_ref.is_some() {
            if !claim.has_note(BY_CONTROLLER) {
                let text = format!("volume {name:?} is another claim's");
                plan.warn(about(claim), "FailedBinding", text);
            }
            return pending(claim, plan);
        }
        match matching::objection(&volume, claim) {
            Some(why) => {
                let text = format!("volume {name:?} can't be had: {why}");
                plan.warn(about(claim), "VolumeMismatch", text);
                pending(claim, plan);
            }
            None if self.is_promised(&volume, claim) => {}
            None => {
                self.promise(&volume, claim);
                bind(&volume, claim, plan);
            }
        }
    }

    /// A claim that was bound once.
    fn keep_bound(&self, claim: &PersistentVolumeClaim, plan: &mut Plan) {
        let name = &claim.spec.volume_name;
        if name.is_empty() {
            let text = "the claim no longer names its volume, what is on it is lost to the claim";
            return lost(claim, "ClaimLost", text, plan);
        }
        let Some(volume) = self.volumes.get("", name) else {
            if !has_seen(&self.volumes, &claim.metadata.resource_version)
                && &*claim.status.phase != "Lost"
            {
                return plan.requeue_after(BEHIND);
            }
            let text = "the volume of the claim is gone, and what was on it with it";
            return lost(claim, "ClaimLost", text, plan);
        };
        let owner = volume.spec.claim_ref.as_ref().map(|owner| &owner.uid);
        if owner
            .is_none_or(|uid| *uid == claim.metadata.uid || uid.is_empty() && volume.is_for(claim))
        {
            bind(&volume, claim, plan);
        } else {
            let text = "the volume of the claim is bound to another claim";
            lost(claim, "ClaimMisbound", text, plan);
        }
    }
}

fn pending(claim: &PersistentVolumeClaim, plan: &mut Plan) {
    plan.writes
        .extend(claim_status(claim, "Pending", None, false));
}

fn lost(claim: &PersistentVolumeClaim, reason: &'static str, text: &str, plan: &mut Plan) {
    if &*claim.status.phase != "Lost" {
        plan.warn(about(claim), reason, text.to_owned());
    }
    plan.writes.extend(claim_status(claim, "Lost", None, false));
}

/// Asks the provisioner of a class for a volume.
fn provision(claim: &PersistentVolumeClaim, class: Option<&StorageClass>, plan: &mut Plan) {
    let Some(class) = class else {
        let text = format!("there is no storage class {:?}", claim.class());
        return plan.warn(about(claim), "ProvisioningFailed", text);
    };
    let provisioner = &*class.provisioner;
    if provisioner.starts_with(BUILT_IN) {
        let text = format!("nobody makes volumes for {provisioner:?}");
        return plan.warn(about(claim), "ProvisioningFailed", text);
    }
    let annotations = &claim.metadata.annotations;
    let asked = |name: &&'static str| annotations.get(*name).is_some_and(|who| who == provisioner);
    if !PROVISIONER.iter().all(asked) {
        let notes = PROVISIONER.map(|name| (name.to_owned(), json!(provisioner)));
        let notes = serde_json::Map::from_iter(notes);
        plan.write(Write::patch(
            claim,
            json!({"metadata": {"annotations": notes}}),
        ));
    }
    let text = format!("waiting for the provisioner {provisioner:?} to make a volume");
    plan.tell(about(claim), "ExternalProvisioning", text);
}
