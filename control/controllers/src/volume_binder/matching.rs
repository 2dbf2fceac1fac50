//! Which volume suits a claim best.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelson_api::selector::Selector;

use crate::kinds::{PersistentVolume, PersistentVolumeClaim};

/// Whether any claim may have it.
#[must_use]
pub fn is_free(volume: &PersistentVolume) -> bool {
    volume.spec.claim_ref.is_none()
        && &*volume.status.phase == "Available"
        && !volume.metadata.is_leaving()
}

/// The volume among these that is meant for a claim and will do.
#[must_use]
pub fn meant(
    claim: &PersistentVolumeClaim,
    volumes: Vec<Arc<PersistentVolume>>,
) -> Option<Arc<PersistentVolume>> {
    let suiting = volumes.into_iter().filter(|volume| {
        volume.is_for(claim) && !volume.metadata.is_leaving() && fits(volume, claim)
    });
    suiting.min_by_key(|volume| rank(volume))
}

/// The volume among these that suits a claim best: one that can little more than is asked for, and
/// the smallest of those.
#[must_use]
pub fn best(
    claim: &PersistentVolumeClaim,
    volumes: Vec<Arc<PersistentVolume>>,
) -> Option<Arc<PersistentVolume>> {
    let selector = claim.spec.selector.as_deref();
    let selector = selector.map(Selector::of_object);
    let suiting = volumes.into_iter().filter(|volume| {
        is_free(volume)
            && volume.class() == claim.class()
            && fits(volume, claim)
            && selector.as_ref().is_none_or(|selector| {
                let labels = &volume.metadata.labels;
                selector
                    .as_ref()
                    .is_some_and(|wanted| wanted.matches(labels))
            })
    });
    suiting.min_by_key(|volume| rank(volume))
}

/// Why a volume that a claim names can't be its own.
#[must_use]
pub fn objection(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    if volume.size() < claim.size() {
        Some("it is too small")
    } else if volume.class() != claim.class() {
        Some("it is of another storage class")
    } else if mode(volume.spec.volume_mode.as_deref()) != mode(claim.spec.volume_mode.as_deref()) {
        Some("its volumeMode is another")
    } else if !has_modes(volume, claim) {
        Some("it lacks an access mode")
    } else {
        None
    }
}

fn rank(volume: &PersistentVolume) -> (usize, keelson_api::quantity::Quantity, Box<str>) {
    let modes: BTreeSet<_> = volume.spec.access_modes.iter().collect();
    (modes.len(), volume.size(), volume.metadata.name.clone())
}

/// Whether size, mode and access modes will do.
fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.size() >= claim.size()
        && mode(volume.spec.volume_mode.as_deref()) == mode(claim.spec.volume_mode.as_deref())
        && has_modes(volume, claim)
}

fn has_modes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let mut wanted = claim.spec.access_modes.iter();
    wanted.all(|mode| volume.spec.access_modes.contains(mode))
}

fn mode(given: Option<&str>) -> &str {
    given.unwrap_or("Filesystem")
}
