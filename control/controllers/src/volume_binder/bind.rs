//! What is written to tie a claim and a volume together: the volume first, so that it is nobody
//! else's, then the claim. Whatever is left undone is done by the next decision.

use serde_json::{Value, json};

use crate::controller::Plan;
use crate::kinds::persistent_volume::BY_CONTROLLER;
use crate::kinds::persistent_volume_claim::{COMPLETED, storage};
use crate::kinds::{PersistentVolume, PersistentVolumeClaim};
use crate::write::Write;

/// Set by whoever resizes a volume before its claim is bound.
const SIZE_BEFORE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

/// Ties a volume and a claim together, as far as they are not yet.
pub fn bind(volume: &PersistentVolume, claim: &PersistentVolumeClaim, plan: &mut Plan) {
    let changes = volume_changes(volume, claim);
    let is_tied = changes.is_none();
    plan.writes
        .extend(changes.map(|changes| Write::patch(volume, changes)));
    plan.writes.extend(volume_phase(volume, "Bound", !is_tied));
    let changes = claim_changes(volume, claim);
    let is_tied = changes.is_none();
    plan.writes
        .extend(changes.map(|changes| Write::patch(claim, changes)));
    let status = claim_status(claim, "Bound", Some(volume), !is_tied);
    plan.writes.extend(status);
}

/// Says in which phase a volume is; `written` if the plan changes it before that.
#[must_use]
pub fn volume_phase(volume: &PersistentVolume, phase: &str, written: bool) -> Option<Write> {
    if &*volume.status.phase == phase {
        return None;
    }
    let status = json!({"phase": phase, "message": null, "reason": null});
    Some(after(Write::status(volume, status), written))
}

/// Says in which phase a claim is, and what its volume is like; `written` if the plan changes it
/// before that.
#[must_use]
pub fn claim_status(
    claim: &PersistentVolumeClaim,
    phase: &str,
    volume: Option<&PersistentVolume>,
    written: bool,
) -> Option<Write> {
    let old = &claim.status;
    let enters = &*old.phase != phase;
    let mut status = json!({});
    if enters {
        status["phase"] = json!(phase);
    }
    match volume {
        None => {
            if !old.access_modes.is_empty() {
                status["accessModes"] = Value::Null;
            }
            if !old.capacity.is_empty() {
                status["capacity"] = Value::Null;
            }
        }
        Some(volume) => {
            if old.access_modes != volume.spec.access_modes {
                status["accessModes"] = json!(volume.spec.access_modes);
            }
            // Later the claim's size may differ for a reason: its file system grows after it.
            if enters && storage(&old.capacity) != volume.size() {
                let before = volume.metadata.annotations.get(SIZE_BEFORE);
                let size = before.map(|size| json!({"storage": size}));
                status["capacity"] = size.unwrap_or_else(|| json!(volume.spec.capacity));
            }
            let class = volume.spec.volume_attributes_class_name.as_deref();
            if enters && old.current_volume_attributes_class_name.is_none() && class.is_some() {
                status["currentVolumeAttributesClassName"] = json!(class);
            }
        }
    }
    let changes = status.as_object().is_some_and(|fields| !fields.is_empty());
    changes.then(|| after(Write::status(claim, status), written))
}

fn after(write: Write, written: bool) -> Write {
    if written { write.any_version() } else { write }
}

fn volume_changes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let meta = &claim.metadata;
    let mut changes = json!({});
    let mut is_tied = true;
    let known = volume.spec.claim_ref.as_ref();
    if !volume.is_for(claim) || known.is_none_or(|known| known.uid != meta.uid) {
        is_tied = false;
        changes["spec"]["claimRef"] = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        });
    }
    if !volume.is_for(claim) && !volume.has_note(BY_CONTROLLER) {
        is_tied = false;
        changes["metadata"]["annotations"][BY_CONTROLLER] = json!("yes");
    }
    (!is_tied).then_some(changes)
}

fn claim_changes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Value> {
    let mut changes = json!({});
    let chosen = claim.spec.volume_name != volume.metadata.name;
    if chosen {
        changes["spec"]["volumeName"] = json!(volume.metadata.name);
        if !claim.has_note(BY_CONTROLLER) {
            changes["metadata"]["annotations"][BY_CONTROLLER] = json!("yes");
        }
    }
    if !claim.is_complete() {
        changes["metadata"]["annotations"][COMPLETED] = json!("yes");
    }
    (chosen || !claim.is_complete()).then_some(changes)
}
