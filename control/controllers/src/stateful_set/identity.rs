//! What makes a pod of a StatefulSet the one it is: name, labels, host name, claims.

use serde_json::{Map, Value, json};

use super::claims::claim_name;
use crate::kinds::{ControllerRevision, Pod, StatefulSet};
use crate::pod_template::NewPod;
use crate::revisions::{LABEL, template_of};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a pod, if its name is its owner's with a number.
#[must_use]
pub fn ordinal(pod: &Pod) -> Option<i32> {
    let owner = pod.metadata.controller();
    let (parent, number) = pod.metadata.name.rsplit_once('-')?;
    if owner.is_some_and(|owner| &*owner.name != parent) {
        return None;
    }
    number.parse().ok()
}

/// The revision of a pod.
#[must_use]
pub fn revision(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.get(LABEL).map(String::as_str)
}

/// Whether a missing pod comes back as it was before the update that goes on.
#[must_use]
pub fn begins_with_current(set: &StatefulSet, ordinal: i32) -> bool {
    if &*set.spec.update_strategy.kind != "RollingUpdate" {
        return false;
    }
    let update = set.spec.update_strategy.rolling_update.as_ref();
    let from = match update.and_then(|update| update.partition) {
        Some(partition) => partition,
        None => set.status.current_replicas,
    };
    ordinal < set.start() + from
}

/// The pod of an ordinal.
#[must_use]
pub fn pod(set: &StatefulSet, revision: &ControllerRevision, ordinal: i32) -> NewPod {
    let name = name(set, ordinal);
    let mut pod = NewPod::of(set, &template_of(revision))
        .named(&name)
        .labelled(LABEL, &revision.metadata.name)
        .labelled(POD_NAME, &name)
        .labelled(POD_INDEX, &ordinal.to_string());
    let spec = &mut pod.0["spec"];
    spec["hostname"] = json!(name);
    spec["subdomain"] = json!(set.spec.service_name);
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    for template in &set.spec.volume_claim_templates {
        let value = template.value();
        let volume = value["metadata"]["name"].as_str().unwrap_or_default();
        volumes.retain(|known| known["name"] != volume);
        volumes.push(json!({"name": volume, "persistentVolumeClaim":
            {"claimName": claim_name(set, volume, ordinal)}}));
    }
    if !volumes.is_empty() {
        spec["volumes"] = json!(volumes);
    }
    pod
}

/// The name of the pod of an ordinal.
#[must_use]
pub fn name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.metadata.name)
}

/// The labels of identity that a pod lacks.
#[must_use]
pub fn missing_labels(pod: &Pod, ordinal: i32) -> Option<Map<String, Value>> {
    let wanted = [
        (POD_NAME, pod.metadata.name.to_string()),
        (POD_INDEX, ordinal.to_string()),
    ];
    let missing = wanted
        .into_iter()
        .filter(|(name, value)| pod.metadata.labels.get(*name) != Some(value));
    let missing: Map<_, _> = missing
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    (!missing.is_empty()).then_some(missing)
}
