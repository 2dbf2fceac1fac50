//! `VolumeRestrictions`, `VolumeZone` and `NodeVolumeLimits`: what stands in the way of attaching
//! the pod's volumes to a node.

use std::collections::BTreeSet;

use crate::cluster::storage::claims_of;
use crate::cluster::{Cluster, Host};
use crate::framework::{Cycle, Filter, NodeCheck, Prepared, Reason, Verdict};
use crate::intern::Word;
use crate::model::{Pod, PodKey, VolumeRef};

const DISK_TAKEN: Reason = Reason::Text("node(s) had no available disk");
const ONE_POD: Reason = Reason::Text(
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
);
const OTHER_ZONE: Reason = Reason::Text("node(s) had no available volume zone");
const TOO_MANY: Reason = Reason::Text("node(s) exceed max volume count");
const ZONES: [&str; 4] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// `VolumeRestrictions`.
#[derive(Debug)]
pub struct Restrictions;

impl Filter for Restrictions {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let storage = &cycle.cluster.storage;
        let alone = |key: &PodKey| storage.claims.get(key).is_some_and(|claim| claim.one_pod);
        let alone: Vec<PodKey> = claims_of(cycle.pod).filter(alone).collect();
        let volumes = cycle.pod.class.volumes.iter();
        let disks: Vec<_> = volumes
            .filter_map(|volume| match volume {
                VolumeRef::Disk { identity, shared } => Some((identity, *shared)),
                _ => None,
            })
            .collect();
        if alone.is_empty() && disks.is_empty() {
            return Prepared::Skip;
        }
        let users = alone.iter().map(|key| storage.users(key)).sum();
        Prepared::Check(Box::new(Exclusive {
            disks,
            alone,
            users,
        }))
    }
}

struct Exclusive<'c> {
    disks: Vec<(&'c Word, bool)>,
    alone: Vec<PodKey>,
    /// How many pods use claims that are for one pod only.
    users: usize,
}

impl Exclusive<'_> {
    fn uses(&self, pod: &Pod) -> usize {
        claims_of(pod)
            .filter(|key| self.alone.contains(key))
            .count()
    }
}

impl NodeCheck for Exclusive<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let mut there = host.pods.iter().flat_map(|pod| &pod.class.volumes);
        let clash = !self.disks.is_empty()
            && there.any(|volume| {
                matches!(volume, VolumeRef::Disk { identity, shared }
                    if self.disks.iter().any(|(own, ours)| *own == identity && !(*shared && *ours)))
            });
        if clash {
            why.push(DISK_TAKEN);
            return Verdict::Refused;
        }
        if self.users > 0 {
            why.push(ONE_POD);
            return Verdict::Refused;
        }
        Verdict::Fits
    }

    fn joins(&mut self, pod: &Pod, _: &Host) {
        self.users += self.uses(pod);
    }

    fn leaves(&mut self, pod: &Pod, _: &Host) {
        self.users = self.users.saturating_sub(self.uses(pod));
    }
}

/// `VolumeZone`.
#[derive(Debug)]
pub struct Zone;

impl Filter for Zone {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let storage = &cycle.cluster.storage;
        let mut places = Vec::new();
        for key in claims_of(cycle.pod) {
            let claim = storage.claims.get(&key);
            let volume = claim.and_then(|claim| storage.volumes.get(&claim.volume));
            for zone in ZONES.map(Word::of) {
                if let Some(values) = volume.and_then(|volume| volume.labels.value(&zone)) {
                    let values = values.text().split("__").map(Word::of).collect();
                    places.push((zone, values));
                }
            }
        }
        if places.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Check(Box::new(Places(places)))
    }
}

struct Places(Vec<(Word, Vec<Word>)>);

impl NodeCheck for Places {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let labels = &host.node().labels;
        // A node that says nothing of zones is in a cluster without.
        let says = ZONES
            .iter()
            .any(|zone| labels.value(&Word::of(zone)).is_some());
        let fits = self.0.iter().all(|(zone, values)| {
            labels
                .value(zone)
                .is_some_and(|value| values.contains(value))
        });
        if !says || fits {
            return Verdict::Fits;
        }
        why.push(OTHER_ZONE);
        Verdict::RefusedForGood
    }
}

/// `NodeVolumeLimits`.
#[derive(Debug)]
pub struct Limits;

/// A driver and the identity of one of its volumes.
type Attached = (Word, Word);

fn attached(cluster: &Cluster, pod: &Pod, into: &mut BTreeSet<Attached>) {
    let storage = &cluster.storage;
    for key in claims_of(pod) {
        let Some(claim) = storage.claims.get(&key) else {
            continue;
        };
        if let Some(csi) = storage
            .volumes
            .get(&claim.volume)
            .and_then(|v| v.csi.clone())
        {
            into.insert(csi);
        } else if let Some(class) = claim.class.as_ref().and_then(|c| storage.classes.get(c)) {
            // There will be a volume of its own.
            into.insert((class.provisioner.clone(), Word::of(&key.to_string())));
        }
    }
    for (number, volume) in pod.class.volumes.iter().enumerate() {
        if let VolumeRef::Csi(driver) = volume {
            into.insert((driver.clone(), Word::of(&format!("{}/{number}", pod.key))));
        }
    }
}

impl Filter for Limits {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        if cycle.pod.class.volumes.is_empty() || cycle.cluster.storage.nodes.is_empty() {
            return Prepared::Skip;
        }
        let mut new = BTreeSet::new();
        attached(cycle.cluster, cycle.pod, &mut new);
        if new.is_empty() {
            return Prepared::Skip;
        }
        let cluster = cycle.cluster;
        Prepared::Check(Box::new(Attach { cluster, new }))
    }
}

struct Attach<'c> {
    cluster: &'c Cluster,
    new: BTreeSet<Attached>,
}

impl NodeCheck for Attach<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let Some(node) = self.cluster.storage.nodes.get(&host.node().name) else {
            return Verdict::Fits;
        };
        let limits = node
            .drivers
            .iter()
            .filter_map(|(driver, limit)| Some((driver, (*limit)?)));
        let limits: Vec<_> = limits
            .filter(|(driver, _)| self.new.iter().any(|(of, _)| of == *driver))
            .collect();
        if limits.is_empty() {
            return Verdict::Fits;
        }
        let mut all = BTreeSet::new();
        for pod in &host.pods {
            attached(self.cluster, pod, &mut all);
        }
        let fresh = self.new.difference(&all).cloned().collect::<Vec<_>>();
        for (driver, limit) in limits {
            let of = |volume: &&Attached| volume.0 == *driver;
            let (there, more) = (
                all.iter().filter(of).count(),
                fresh.iter().filter(of).count(),
            );
            let would = i64::try_from(there + more).unwrap_or(i64::MAX);
            if more > 0 && would > limit {
                why.push(TOO_MANY);
                return Verdict::Refused;
            }
        }
        Verdict::Fits
    }
}
