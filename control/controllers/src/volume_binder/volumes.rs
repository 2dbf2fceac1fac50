//! What becomes of a volume: free, bound, let go of, or left to whoever removes it.

use std::sync::Arc;

use serde_json::json;

use super::bind::volume_phase;
use super::{BEHIND, Binder, has_seen};
use crate::controller::{About, Plan};
use crate::kinds::persistent_volume::{BY_CONTROLLER, ClaimRef};
use crate::kinds::{PersistentVolume, PersistentVolumeClaim};
use crate::write::Write;

/// Who made the volume, and removes it.
const MADE_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Who removes a volume that was made by what Kubernetes once had itself.
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";

/// Whose a volume is.
enum Owner {
    /// Its claim is there.
    There(Arc<PersistentVolumeClaim>),
    /// Its claim is gone.
    Gone,
    /// The cache of claims is too old to tell.
    Unknown,
}

impl Binder {
    pub(super) fn see_to_volume(&self, volume: &PersistentVolume, plan: &mut Plan) {
        let claimed = volume.spec.claim_ref.as_ref();
        let Some(owner) = claimed.filter(|owner| !owner.uid.is_empty()) else {
            // Free, or kept for a claim that sees to the rest itself.
            plan.writes.extend(volume_phase(volume, "Available", false));
            return;
        };
        match self.owner(volume, owner) {
            Owner::Unknown => plan.requeue_after(BEHIND),
            Owner::Gone => release(volume, plan),
            // The claim's own turn ties them together.
            Owner::There(claim) if claim.spec.volume_name.is_empty() => {}
            Owner::There(claim) if claim.spec.volume_name == volume.metadata.name => {
                plan.writes.extend(volume_phase(volume, "Bound", false));
            }
            Owner::There(_) => {
                let is_made = volume.has_note(MADE_BY);
                if is_made && &*volume.spec.persistent_volume_reclaim_policy == "Delete" {
                    release(volume, plan);
                } else {
                    untie(volume, plan);
                }
            }
        }
    }

    fn owner(&self, volume: &PersistentVolume, owner: &ClaimRef) -> Owner {
        let claim = self.claims.get(&owner.namespace, &owner.name);
        let claim = claim.filter(|claim| claim.metadata.uid == owner.uid);
        if let Some(claim) = claim {
            return Owner::There(claim);
        }
        // What is released may be wiped: the cache must have everything from before the volume was
        // bound. A volume in these phases was found without its claim already.
        let is_known = matches!(&*volume.status.phase, "Released" | "Failed");
        match is_known || has_seen(&self.claims, &volume.metadata.resource_version) {
            true => Owner::Gone,
            false => Owner::Unknown,
        }
    }
}

/// A volume whose claim is gone.
fn release(volume: &PersistentVolume, plan: &mut Plan) {
    let failure = match &*volume.spec.persistent_volume_reclaim_policy {
        "Retain" => None,
        "Delete" => objection_to_removal(volume),
        "Recycle" => Some(("VolumeFailedRecycle", "nobody recycles volumes here")),
        _ => Some((
            "VolumeUnknownReclaimPolicy",
            "its reclaim policy is unknown",
        )),
    };
    match failure {
        None if &*volume.status.phase == "Failed" => {}
        None => plan.writes.extend(volume_phase(volume, "Released", false)),
        Some((reason, message)) => fail(volume, reason, message, plan),
    }
}

/// Why nobody will remove a volume; nothing if whoever made it does.
fn objection_to_removal(volume: &PersistentVolume) -> Option<(&'static str, &'static str)> {
    let maker = volume.metadata.annotations.get(MADE_BY);
    let is_external = maker.is_some_and(|maker| !maker.starts_with("kubernetes.io/"));
    let text = "no provisioner made it, so none removes it";
    (!is_external && !volume.has_note(MIGRATED_TO)).then_some(("VolumeFailedDelete", text))
}

fn fail(volume: &PersistentVolume, reason: &'static str, message: &str, plan: &mut Plan) {
    if &*volume.status.phase == "Failed" {
        return;
    }
    let status = json!({"phase": "Failed", "message": message, "reason": null});
    plan.write(Write::status(volume, status));
    plan.warn(About::of(volume), reason, message.to_owned());
}

/// Takes a volume from a claim that has another one: what we tied is free again, what a user tied
/// stays kept for the claim's name.
fn untie(volume: &PersistentVolume, plan: &mut Plan) {
    let changes = match volume.has_note(BY_CONTROLLER) {
        true => json!({
            "metadata": {"annotations": {BY_CONTROLLER: null}},
            "spec": {"claimRef": null},
        }),
        false => json!({"spec": {"claimRef": {"uid": null}}}),
    };
    plan.write(Write::patch(volume, changes));
    plan.writes.extend(volume_phase(volume, "Available", true));
}
