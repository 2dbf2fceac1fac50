//! Decides which claim has which volume, and what becomes of a volume whose claim is gone. Keys with
//! a namespace are claims, those without are volumes. Volumes are made and removed by provisioners
//! of their own, which this one asks by annotations; must not know how.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use parking_lot::Mutex;

use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::persistent_volume::{self as volume, claim_word};
use crate::kinds::persistent_volume_claim::{self as claim, CLASSLESS, waiting_for};
use crate::kinds::{Object as _, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass};
use crate::wiring::Wiring;

pub mod bind;
pub mod claims;
pub mod matching;
pub mod volumes;

/// The wait for a cache that is behind another.
const BEHIND: Duration = Duration::from_secs(2);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "persistentvolume-binder-controller",
    alias: "persistentvolume-binder",
    account: "persistent-volume-binder",
    by_default: true,
    at_once: 8,
    build: |wiring: &mut Wiring<'_>| {
        let claims = wiring.read::<PersistentVolumeClaim>();
        let volumes = wiring.read::<PersistentVolume>();
        let (known, all) = (volumes.clone(), claims.clone());
        wiring.watch(move |change, keys| of_claim(change, &known, keys));
        wiring.watch(move |change, keys| of_volume(change, &all, keys));
        let all = claims.clone();
        let classes = wiring.watch(move |change, keys| of_class(change, &all, keys));
        Some(Work::decide(Binder {
            claims,
            volumes,
            classes,
            pods: wiring.read::<Pod>(),
            period: wiring.options.pvclaimbinder_sync_period,
            chosen: Mutex::default(),
        }))
    },
};

/// What a changed claim is about: itself, the volume that it has and those that are for it.
fn of_claim(
    change: &Change<PersistentVolumeClaim>,
    volumes: &Store<PersistentVolume>,
    keys: &mut Vec<Key>,
) {
    let meta = &change.latest().metadata;
    keys.push(change.latest().key());
    let sides = [change.previous(), change.current()].into_iter().flatten();
    let named = sides.map(|claim| &claim.spec.volume_name);
    keys.extend(
        named
            .filter(|name| !name.is_empty())
            .map(|name| Key::new("", name)),
    );
    let meant = volumes.by_index(volume::CLAIM, &claim_word(&meta.namespace, &meta.name));
    keys.extend(meant.iter().map(|volume| volume.key()));
}

/// What a changed volume is about: itself, the claims that it is for or that name it, and, where
/// it is free, those that wait for one like it.
fn of_volume(
    change: &Change<PersistentVolume>,
    claims: &Store<PersistentVolumeClaim>,
    keys: &mut Vec<Key>,
) {
    keys.push(change.latest().key());
    let sides = [change.previous(), change.current()].into_iter().flatten();
    let meant = sides.filter_map(|volume| volume.spec.claim_ref.as_ref());
    keys.extend(meant.map(|to| Key::new(&to.namespace, &to.name)));
    let mut wake = |index, word: &str| {
        let found = claims.by_index(index, word);
        keys.extend(found.iter().map(|claim| claim.key()));
    };
    wake(claim::VOLUME, &change.latest().metadata.name);
    let free = change.current().filter(|volume| matching::is_free(volume));
    if let Some(volume) = free {
        wake(claim::WAITING, &waiting_for(volume.class()));
    }
}

fn of_class(
    change: &Change<StorageClass>,
    claims: &Store<PersistentVolumeClaim>,
    keys: &mut Vec<Key>,
) {
    let class = change.latest();
    let own = waiting_for(&class.metadata.name);
    let words = [own.as_str(), CLASSLESS];
    for word in &words[..if class.is_default() { 2 } else { 1 }] {
        let found = claims.by_index(claim::WAITING, word);
        keys.extend(found.iter().map(|claim| claim.key()));
    }
}

/// Binds claims and volumes.
#[derive(Debug)]
struct Binder {
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    classes: Store<StorageClass>,
    pods: Store<Pod>,
    /// After this time a claim that waits is looked at again.
    period: Duration,
    /// For whom volumes were chosen, and of which version they were: as long as the cache has that
    /// version, nobody else gets them.
    chosen: Mutex<HashMap<Box<str>, Chosen>>,
}

#[derive(Debug)]
struct Chosen {
    version: Box<str>,
    claim: Box<str>,
}

impl Reconcile for Binder {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        if input.key.namespace.is_empty() {
            if let Some(volume) = self.volumes.find(input.key) {
                self.see_to_volume(&volume, &mut plan);
            }
        } else if let Some(claim) = self.claims.find(input.key) {
            self.see_to_claim(&claim, &mut plan);
        }
        plan
    }
}

impl Binder {
    /// Whether the volume was chosen for another claim, and the cache doesn't show it yet.
    fn is_promised(&self, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
        let mut all = self.chosen.lock();
        let meta = &volume.metadata;
        let Some(chosen) = all.get(&meta.name) else {
            return false;
        };
        if chosen.version != meta.resource_version {
            all.remove(&meta.name);
            return false;
        }
        chosen.claim != claim.metadata.uid
    }

    fn promise(&self, volume: &PersistentVolume, claim: &PersistentVolumeClaim) {
        let chosen = Chosen {
            version: volume.metadata.resource_version.clone(),
            claim: claim.metadata.uid.clone(),
        };
        let name = volume.metadata.name.clone();
        self.chosen.lock().insert(name, chosen);
    }

    /// The class that claims get which name none: the newest one, if there are several.
    fn default_class(&self) -> Option<Arc<StorageClass>> {
        let all = self.classes.all().into_iter();
        let defaults = all.filter(|class| class.is_default());
        defaults.min_by(|one, other| {
            let (one, other) = (&one.metadata, &other.metadata);
            let newest = other.creation_timestamp.cmp(&one.creation_timestamp);
            newest.then_with(|| one.name.cmp(&other.name))
        })
    }
}

/// Whether a store has seen everything that was written before this version. Versions that are no
/// numbers can't be compared, and have to be trusted.
fn has_seen<K: crate::kinds::Kind>(store: &Store<K>, version: &str) -> bool {
    version
        .parse()
        .is_ok_and(|version: u64| store.version() >= version)
        || version.parse::<u64>().is_err()
}

fn about(object: &PersistentVolumeClaim) -> About {
    About::of(object)
}

#[cfg(test)]
mod tests;
