//! The pods that this agent is responsible for, and what a new wish means for them.
//!
//! Pure: decides which pods are taken on, held back or asked to go. Starts and stops nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use keelson_api::qos::{self, QosClass};
use keelson_api::resources::pod_requests;

use crate::journal::PodKey;
use crate::model::memory::{ContainerMemory, Life};
use crate::model::{DesiredPod, ObservedPod, PodMemory, PodOrigin, PodSpec, PodUid};
use crate::observe::listing::Outline;

/// One pod: what is wanted, seen and remembered of it. Owned by the pod loop.
#[derive(Clone, Debug)]
pub struct Record {
    /// The manifest; for an orphan the little that its labels tell.
    pub pod: Arc<Pod>,
    /// Where it comes from.
    pub origin: PodOrigin,
    /// The pod as its source wants it, while it has not got the resources that it asks for.
    pub wish: Option<Arc<Pod>>,
    /// The digest that decisions are made on.
    pub spec: Arc<PodSpec>,
    /// CPU that it requests in milli-CPU, if it is burstable.
    pub burstable_milli_cpu: u64,
    /// What is seen.
    pub observed: ObservedPod,
    /// What is remembered.
    pub memory: PodMemory,
}

/// Namespace and name: of two pods that share them only one may live at a time.
pub type FullName = (Arc<str>, Arc<str>);

impl Record {
    /// A pod that was never seen before.
    #[must_use]
    pub fn new(desired: &DesiredPod) -> Self {
        Self {
            pod: desired.pod.clone(),
            origin: desired.origin.clone(),
            wish: None,
            spec: Arc::new(PodSpec::from_pod(&desired.pod)),
            burstable_milli_cpu: burstable_milli_cpu(&desired.pod),
            observed: ObservedPod::default(),
            memory: PodMemory::default(),
        }
    }

    /// Goes on with another manifest of the same pod.
    pub fn take(&mut self, pod: Arc<Pod>) {
        self.spec = Arc::new(PodSpec::from_pod(&pod));
        self.burstable_milli_cpu = burstable_milli_cpu(&pod);
        self.pod = pod;
    }

    /// Whose it is, for the journal.
    #[must_use]
    pub fn key(&self) -> PodKey<'_> {
        PodKey {
            namespace: &self.spec.namespace,
            name: &self.spec.name,
            uid: self.spec.uid.as_str(),
            field: "",
        }
    }

    /// Namespace and name.
    #[must_use]
    pub fn full_name(&self) -> FullName {
        (self.spec.namespace.clone(), self.spec.name.clone())
    }

    /// It is on its way out and its object goes with it.
    #[must_use]
    pub fn leaving(&self) -> bool {
        match &self.memory.life {
            Life::Terminating(termination) => !termination.object_stays,
            Life::Gone => true,
            _ => false,
        }
    }
}

impl Record {
    /// Every main container has been started at least once. It never becomes false again.
    #[must_use]
    pub fn has_started(&self) -> bool {
        let memories = &self.memory.containers;
        let ran = |memory: &ContainerMemory| {
            memory.restarts > 0 || memory.running_since.is_some() || memory.ended.is_some()
        };
        let mut mains = self.spec.mains();
        mains.all(|c| memories.get(&c.name).is_some_and(ran))
    }
}

fn burstable_milli_cpu(pod: &Pod) -> u64 {
    if qos::class(pod) != QosClass::Burstable {
        return 0;
    }
    let cpu = pod_requests(pod)
        .get("cpu")
        .map_or(0, |cpu| cpu.milli_value());
    u64::try_from(cpu).unwrap_or(0)
}

/// What a new set of wishes means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Pods to take on now.
    pub accept: Vec<PodUid>,
    /// Pods that wait until the one of the same name is gone, by that name. The last wish wins.
    pub hold: BTreeMap<FullName, PodUid>,
    /// Pods that no source wants any more.
    pub retire: Vec<PodUid>,
}

/// Compares wishes with the pods at hand.
#[must_use]
pub fn compare(wanted: &[Arc<DesiredPod>], records: &BTreeMap<PodUid, Record>) -> Changes {
    let staying = wanted.iter().filter(|pod| pod.leaving().is_none());
    let uids: BTreeSet<&PodUid> = staying.map(|pod| &pod.uid).collect();
    let retire = records
        .iter()
        .filter(|(uid, record)| !uids.contains(uid) && !record.leaving())
        .map(|(uid, _)| uid.clone())
        .collect();
    let taken: BTreeSet<FullName> = records.values().map(Record::full_name).collect();
    let mut changes = Changes {
        retire,
        ..Changes::default()
    };
    for pod in wanted {
        match records.get(&pod.uid) {
            // It came back while it was on its way out: it starts anew when it is gone.
            Some(record) if record.leaving() && pod.leaving().is_none() => {
                changes.hold.insert(record.full_name(), pod.uid.clone());
            }
            Some(_) => {}
            None if !pod.may_begin() => {}
            None if taken.contains(&full_name(&pod.pod)) => {
                changes.hold.insert(full_name(&pod.pod), pod.uid.clone());
            }
            None => changes.accept.push(pod.uid.clone()),
        }
    }
    changes
}

/// The record of a pod that only the runtime knows: enough to stop it decently.
#[must_use]
pub fn orphan(uid: &PodUid, outline: &Outline) -> Record {
    let (namespace, name) = outline.pod.clone();
    let mut pod = Pod::default();
    pod.metadata.uid = Some(uid.to_string());
    pod.metadata.namespace = Some(namespace);
    pod.metadata.name = Some(name);
    pod.spec = Some(k8s_openapi::api::core::v1::PodSpec {
        termination_grace_period_seconds: outline.grace.and_then(|g| i64::try_from(g).ok()),
        ..Default::default()
    });
    let desired = DesiredPod {
        uid: uid.clone(),
        pod: Arc::new(pod),
        origin: PodOrigin::Api,
    };
    let mut record = Record::new(&desired);
    record.observed.resources_held = true;
    record
}

/// Namespace and name of a manifest.
#[must_use]
pub fn full_name(pod: &Pod) -> FullName {
    let text = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
    (text(&pod.metadata.namespace), text(&pod.metadata.name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Mono;
    use crate::model::memory::Termination;

    fn pod(uid: &str, name: &str) -> Arc<DesiredPod> {
        let mut pod = Pod::default();
        pod.metadata.uid = Some(uid.to_owned());
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some("default".to_owned());
        pod.spec = Some(k8s_openapi::api::core::v1::PodSpec::default());
        Arc::new(DesiredPod {
            uid: uid.into(),
            pod: Arc::new(pod),
            origin: PodOrigin::Api,
        })
    }

    fn at_hand(pods: &[(Arc<DesiredPod>, bool)]) -> BTreeMap<PodUid, Record> {
        let termination = Termination {
            since: Mono(0),
            grace: Duration::from_secs(30),
            failed: None,
            object_stays: false,
        };
        let record = |(pod, leaving): &(Arc<DesiredPod>, bool)| {
            let mut record = Record::new(pod);
            if *leaving {
                record.memory.life = Life::Terminating(termination.clone());
            }
            (pod.uid.clone(), record)
        };
        pods.iter().map(record).collect()
    }

    fn check(
        wanted: &[Arc<DesiredPod>],
        records: &[(Arc<DesiredPod>, bool)],
        accept: &[&str],
        hold: &[&str],
        retire: &[&str],
    ) {
        let changes = compare(wanted, &at_hand(records));
        let text = |uids: Vec<&PodUid>| uids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(changes.accept.iter().collect()), accept, "accepted");
        assert_eq!(text(changes.hold.values().collect()), hold, "held");
        assert_eq!(text(changes.retire.iter().collect()), retire, "retired");
    }

    #[test]
    fn wishes_and_pods_at_hand() {
        check(&[pod("1", "a")], &[], &["1"], &[], &[]);
        check(&[pod("1", "a")], &[(pod("1", "a"), false)], &[], &[], &[]);
        check(&[], &[(pod("1", "a"), false)], &[], &[], &["1"]);
        check(&[], &[(pod("1", "a"), true)], &[], &[], &[]);
    }

    #[test]
    fn a_pod_that_the_api_lets_go_is_retired_and_not_begun_again() {
        let leaving = |uid: &str| {
            let mut pod = (*pod(uid, "a")).clone();
            let mut object = (*pod.pod).clone();
            let now = jiff::Timestamp::UNIX_EPOCH;
            let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now);
            object.metadata.deletion_timestamp = Some(time);
            pod.pod = Arc::new(object);
            Arc::new(pod)
        };
        check(&[leaving("1")], &[(pod("1", "a"), false)], &[], &[], &["1"]);
        check(&[leaving("1")], &[(pod("1", "a"), true)], &[], &[], &[]);
        check(&[leaving("1")], &[], &[], &[], &[]);
    }

    #[test]
    fn an_edited_pod_waits_for_its_old_self_and_the_last_edit_wins() {
        check(
            &[pod("2", "a")],
            &[(pod("1", "a"), false)],
            &[],
            &["2"],
            &["1"],
        );
        check(&[pod("3", "a")], &[(pod("1", "a"), true)], &[], &["3"], &[]);
        check(&[pod("1", "a")], &[(pod("1", "a"), true)], &[], &["1"], &[]);
    }
}
