//! The claims of a StatefulSet's pods: made before the pod, kept after it, and removed with the set
//! or with the pod where the policy says so.

use serde_json::json;

use super::Decision;
use super::identity::ordinal;
use crate::kinds::{Kind, OwnerReference, PersistentVolumeClaim, Pod, StatefulSet};
use crate::write::Write;

/// The name of a pod's claim.
#[must_use]
pub fn claim_name(set: &StatefulSet, volume: &str, ordinal: i32) -> String {
    format!("{volume}-{}-{ordinal}", set.metadata.name)
}

/// A reference that ties a claim to whom it goes with.
fn tie<K: Kind>(owner: &K) -> OwnerReference {
    let meta = owner.meta();
    OwnerReference {
        api_version: K::RESOURCE.api_version().into(),
        kind: K::RESOURCE.kind.as_ref().into(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..OwnerReference::default()
    }
}

/// Whether claims go with the set, and whether they go with pods that are no longer wanted.
fn policy(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    policy.map_or((false, false), |policy| {
        (
            &*policy.when_deleted == "Delete",
            &*policy.when_scaled == "Delete",
        )
    })
}

impl Decision<'_> {
    /// Makes the claims of an ordinal that are missing. False while one that is about to be gone
    /// is in the way.
    pub(super) fn make_claims(&mut self, ordinal: i32, pod: Option<&Pod>) -> bool {
        let set = self.set;
        for template in &set.spec.volume_claim_templates {
            let value = template.value();
            let volume = value["metadata"]["name"].as_str().unwrap_or_default();
            let name = claim_name(set, volume, ordinal);
            match self.claims.get(&set.metadata.namespace, &name) {
                Some(known) if known.metadata.is_leaving() && pod.is_none() => return false,
                Some(_) => {}
                None => self.make_claim(&value, &name),
            }
        }
        true
    }

    fn make_claim(&mut self, template: &serde_json::Value, name: &str) {
        let set = self.set;
        let mut claim = json!({"metadata": template["metadata"], "spec": template["spec"]});
        claim["metadata"]["name"] = json!(name);
        for (key, value) in set.spec.selector.match_labels.iter().flatten() {
            claim["metadata"]["labels"][key] = json!(value);
        }
        if policy(set).0 {
            claim["metadata"]["ownerReferences"] = json!([tie(set)]);
        }
        let resource = PersistentVolumeClaim::RESOURCE;
        let write = Write::ensure(resource, &set.metadata.namespace, claim);
        self.plan.write(write);
    }

    /// Ties the claims of a pod to whom they are to go with.
    pub(super) fn keep_claims(&mut self, pod: &Pod, condemned: bool) {
        let set = self.set;
        let Some(ordinal) = ordinal(pod) else {
            return;
        };
        let (with_set, with_pod) = policy(set);
        for template in &set.spec.volume_claim_templates {
            let value = template.value();
            let volume = value["metadata"]["name"].as_str().unwrap_or_default();
            let name = claim_name(set, volume, ordinal);
            let Some(claim) = self.claims.get(&set.metadata.namespace, &name) else {
                continue;
            };
            let known = &claim.metadata.owner_references;
            let is_ours = |owner: &OwnerReference| {
                owner.uid == set.metadata.uid
                    || (&*owner.kind == "Pod" && owner.name == pod.metadata.name)
            };
            let mut owners: Vec<_> = known
                .iter()
                .filter(|owner| !is_ours(owner))
                .cloned()
                .collect();
            if condemned && with_pod {
                owners.push(tie(pod));
            } else if with_set {
                owners.push(tie(set));
            }
            let same = owners.len() == known.len()
                && owners
                    .iter()
                    .all(|owner| known.iter().any(|old| old.uid == owner.uid));
            if !same {
                let patch = json!({"metadata": {"ownerReferences": owners}});
                self.plan.write(Write::patch(&*claim, patch));
            }
        }
    }
}
