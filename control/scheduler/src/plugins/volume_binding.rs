//! `VolumeBinding`: nodes that reach the pod's volumes, or on which volumes can be had for claims
//! that wait for their first consumer. [`plan`] says which volume each of these gets.

use crate::cluster::Cluster;
use crate::cluster::Host;
use crate::cluster::storage::claims_of;
use crate::framework::{
    Cycle, Errand, Filter, Held, NodeCheck, PreBind, Prepared, Reason, Reserve, Verdict,
};
use crate::intern::Word;
use crate::model::storage::{Choice, Claim, StorageClass, Volume};
use crate::model::{Pod, PodKey, VolumeRef};

const NOT_BOUND: Reason = Reason::Text("pod has unbound immediate PersistentVolumeClaims");
const OUT_OF_REACH: Reason = Reason::Text("node(s) didn't match PersistentVolume's node affinity");
const NONE_TO_BIND: Reason =
    Reason::Text("node(s) didn't find available persistent volumes to bind");
const NO_ROOM: Reason = Reason::Text("node(s) did not have enough free storage");
const NO_VOLUME: Reason =
    Reason::Text("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");

/// The plugin.
#[derive(Debug)]
pub struct VolumeBinding;

/// The claims of a pod, looked up.
struct Needs<'c> {
    cycle: Cycle<'c>,
    /// Volumes of claims that have one.
    bound: Vec<&'c Volume>,
    /// Claims that wait, with their classes, the smallest first.
    waiting: Vec<(PodKey, &'c Claim, &'c StorageClass)>,
}

fn said(text: &str) -> Reason {
    Reason::Said(Word::of(text))
}

/// Looks up the claims of a pod.
fn needs(cycle: Cycle<'_>) -> Result<Needs<'_>, Reason> {
    let storage = &cycle.cluster.storage;
    let mut needs = Needs {
        cycle,
        bound: Vec::new(),
        waiting: Vec::new(),
    };
    let ephemeral = |key: &PodKey| {
        let mut volumes = cycle.pod.class.volumes.iter();
        volumes.any(|volume| {
            matches!(volume, VolumeRef::Ephemeral(name)
                if key.name.text() == format!("{}-{name}", cycle.pod.key.name))
        })
    };
    for key in claims_of(cycle.pod) {
        let name = &key.name;
        let Some(claim) = storage.claims.get(&key) else {
            return Err(match ephemeral(&key) {
                true => said(&format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                )),
                false => Reason::NoClaim(name.clone()),
            });
        };
        if claim.deleting {
            return Err(said(&format!(
                "persistentvolumeclaim {name:?} is being deleted"
            )));
        }
        if ephemeral(&key) && claim.owner.text() != &*cycle.pod.uid {
            let pod = &cycle.pod.key;
            return Err(said(&format!(
                "PVC {key} was not created for pod {pod} (pod is not owner)"
            )));
        }
        if claim.bound {
            needs
                .bound
                .push(storage.volumes.get(&claim.volume).ok_or(NO_VOLUME)?);
            continue;
        }
        let class = claim
            .class
            .as_ref()
            .and_then(|class| storage.classes.get(class));
        match class.filter(|class| class.waits && claim.volume.is_empty()) {
            Some(class) => needs.waiting.push((key, claim, class)),
            None => return Err(NOT_BOUND),
        }
    }
    needs.waiting.sort_by_key(|(_, claim, _)| claim.size);
    Ok(needs)
}

fn reaches(volume: &Volume, host: &Host) -> bool {
    let node = host.node();
    volume.nodes.as_ref().is_none_or(|terms| {
        let mut terms = terms.iter();
        terms.any(|term| term.matches(&node.name, &node.labels))
    })
}

/// Whether a volume is one that a claim can have.
fn suits(volume: &Volume, key: &PodKey, claim: &Claim) -> bool {
    let class = claim.class.clone().unwrap_or_default();
    let is_ours = volume
        .claim
        .as_ref()
        .map(|(namespace, name, _)| *namespace == key.namespace && *name == key.name);
    is_ours.unwrap_or(volume.available)
        && volume.class == class
        && volume.mode == claim.mode
        && volume.size >= claim.size
        && claim.modes.iter().all(|mode| volume.modes.contains(mode))
        && claim
            .selector
            .as_ref()
            .is_none_or(|selector| selector.matches(&volume.labels))
}

impl Needs<'_> {
    /// What each waiting claim gets on a host.
    fn choose(&self, host: &Host) -> Result<Vec<Choice>, Reason> {
        let mut taken: Vec<&Word> = Vec::new();
        let mut choices = Vec::new();
        for (key, claim, class) in &self.waiting {
            let selected = &claim.selected_node;
            if !selected.is_empty() && *selected != host.node().name {
                return Err(NONE_TO_BIND);
            }
            let found = match selected.is_empty() {
                true => self.smallest(key, claim, host, &taken),
                false => None,
            };
            if found.is_none() {
                self.can_be_made(claim, class, host)?;
            }
            taken.extend(found.map(|volume| &volume.name));
            choices.push(Choice {
                claim: key.clone(),
                volume: found.map(|volume| volume.name.clone()),
            });
        }
        Ok(choices)
    }

    fn smallest(
        &self,
        key: &PodKey,
        claim: &Claim,
        host: &Host,
        taken: &[&Word],
    ) -> Option<&Volume> {
        let volumes = self.cycle.cluster.storage.volumes.values();
        let suiting = volumes.filter(|volume| {
            suits(volume, key, claim) && reaches(volume, host) && !taken.contains(&&volume.name)
        });
        // One that is meant for the claim comes before any other.
        suiting.min_by_key(|volume| (volume.claim.is_none(), volume.size, volume.name.clone()))
    }

    fn can_be_made(&self, claim: &Claim, class: &StorageClass, host: &Host) -> Result<(), Reason> {
        let node = host.node();
        let storage = &self.cycle.cluster.storage;
        if matches!(
            class.provisioner.text(),
            "" | "kubernetes.io/no-provisioner"
        ) {
            return Err(NONE_TO_BIND);
        }
        let mut terms = class.topologies.iter();
        if !class.topologies.is_empty() && !terms.any(|t| t.matches(&node.name, &node.labels)) {
            return Err(NONE_TO_BIND);
        }
        if storage.drivers.get(&class.provisioner) != Some(&true) {
            return Ok(());
        }
        let name = claim.class.clone().unwrap_or_default();
        let mut capacities = storage.capacities.values();
        let enough = capacities.any(|capacity| {
            let room = capacity.largest.or(capacity.free);
            capacity.class == name
                && room.is_some_and(|room| room >= claim.size)
                && capacity
                    .nodes
                    .as_ref()
                    .is_some_and(|nodes| nodes.matches(&node.labels))
        });
        if enough { Ok(()) } else { Err(NO_ROOM) }
    }
}

/// What becomes of the waiting claims of a pod on a host that will do.
#[must_use]
pub fn plan(cycle: Cycle<'_>, host: &Host) -> Vec<Choice> {
    let choices = needs(cycle).and_then(|needs| needs.choose(host));
    choices.unwrap_or_default()
}

impl Filter for VolumeBinding {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        if cycle.pod.class.volumes.is_empty() {
            return Prepared::Skip;
        }
        match needs(cycle) {
            Ok(needs) if needs.bound.is_empty() && needs.waiting.is_empty() => Prepared::Skip,
            Ok(needs) => Prepared::Check(Box::new(needs)),
            Err(reason) => Prepared::Refuse {
                reason,
                for_good: true,
            },
        }
    }
}

impl Reserve for VolumeBinding {
    fn concerns(&self, pod: &Pod) -> bool {
        !pod.class.volumes.is_empty()
    }

    /// Its claims count as having what they will have.
    fn reserve(
        &self,
        pod: &Pod,
        node: &Word,
        cluster: &mut Cluster,
        held: &mut Held,
    ) -> Result<(), Reason> {
        let Some(at) = cluster.find(node) else {
            return Ok(());
        };
        held.claims = plan(Cycle { pod, cluster }, cluster.host(at));
        for choice in &held.claims {
            cluster.storage.assume(choice, node);
        }
        Ok(())
    }

    fn unreserve(&self, held: &Held, cluster: &mut Cluster) {
        for choice in &held.claims {
            cluster.storage.release(choice);
        }
    }
}

impl PreBind for VolumeBinding {
    fn errand(&self, held: &Held) -> Option<Errand> {
        (!held.claims.is_empty()).then(|| Errand::Claims(held.claims.clone()))
    }
}

impl NodeCheck for Needs<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        if !self.bound.iter().all(|volume| reaches(volume, host)) {
            why.push(OUT_OF_REACH);
        }
        if let Err(reason) = self.choose(host) {
            why.push(reason);
        }
        if why.is_empty() {
            Verdict::Fits
        } else {
            Verdict::RefusedForGood
        }
    }
}

#[cfg(test)]
mod tests;
