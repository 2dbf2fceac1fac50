//! DaemonSets: one pod on each node that suits. Decides where pods are missing or too many, and
//! which are replaced by those of a new template. Pure, but for a memory of failures, which slows
//! down nodes whose pods fail over and over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_client::backoff::Backoff;
use keelson_client::cache::{Change, Store};
use parking_lot::Mutex;
use serde_json::json;

use crate::claim::{claim, keepers};
use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::replica_set::some_labels;
use crate::kinds::{ControllerRevision, DaemonSet, Kind as _, Node, Pod};
use crate::pod_template::NewPod;
use crate::replica_set::{next_available, number};
use crate::revisions::{Found, History, LABEL, Owner};
use crate::wiring::Wiring;
use crate::write::Write;
use fit::{Fit, PodShape};

pub mod fit;
pub mod roll;

/// So many pods are made or removed by one plan.
const BURST: usize = 250;
const BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(1),
    most: Duration::from_secs(15 * 60),
};

/// DaemonSets.
pub const REGISTRATION: Registration = Registration {
    name: "daemonset-controller",
    alias: "daemonset",
    account: "daemon-set-controller",
    by_default: true,
    at_once: 2,
    build,
};

fn build(wiring: &mut Wiring<'_>) -> Option<Work> {
    let (sets, pods) = keepers(wiring, |set: &DaemonSet| some_labels(&set.spec.selector));
    let known = sets.clone();
    let nodes = wiring.watch(move |change: &Change<Node>, keys| {
        if matters(change) {
            use crate::kinds::Object as _;
            keys.extend(known.all().iter().map(|set| set.key()));
        }
    });
    Some(Work::decide(DaemonSets {
        sets,
        pods,
        nodes,
        revisions: wiring.owned::<ControllerRevision>(DaemonSet::RESOURCE),
        failures: Mutex::default(),
    }))
}

/// Whether a change of a node can change which pods suit it.
fn matters(change: &Change<Node>) -> bool {
    let (Some(old), Some(new)) = (change.previous(), change.current()) else {
        return true;
    };
    old.metadata.labels != new.metadata.labels || old.spec.taints != new.spec.taints
}

/// A DaemonSet, by uid, and a node.
type Place = (Box<str>, Box<str>);

/// The controller.
#[derive(Debug)]
pub struct DaemonSets {
    /// All DaemonSets.
    pub sets: Store<DaemonSet>,
    /// All pods.
    pub pods: Store<Pod>,
    /// All nodes.
    pub nodes: Store<Node>,
    /// All revisions.
    pub revisions: Store<ControllerRevision>,
    /// How often pods failed on a node, and when the next may be replaced.
    pub failures: Mutex<BTreeMap<Place, (u32, Timestamp)>>,
}

/// A node and the pods of a DaemonSet on it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    name: Box<str>,
    fit: Fit,
    pods: Vec<Arc<Pod>>,
}

impl Reconcile for DaemonSets {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = self.sets.find(input.key) else {
            return plan;
        };
        let Some(selector) = some_labels(&set.spec.selector) else {
            let message =
                "This daemon set is selecting all pods. A non-empty selector is required.";
            plan.warn(About::of(&*set), "SelectingAll", message.to_owned());
            return plan;
        };
        if set.metadata.is_leaving() {
            return plan;
        }
        let owner = Owner {
            object: &*set,
            template: &set.spec.template,
            selector: &selector,
            collisions: set.status.collision_count,
            hash_label: LABEL,
        };
        let history = match owner.history(&self.revisions, &mut plan) {
            Found::History(history) => history,
            Found::Making => return plan,
            Found::Collision => {
                let mut status = set.status.clone();
                status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                plan.write(Write::status(&*set, json!(status)));
                return plan;
            }
        };
        let pods = claim(&*set, &selector, &self.pods, &mut plan);
        self.decide(&set, &history, pods, input.now, &mut plan);
        plan
    }
}

impl DaemonSets {
    fn decide(
        &self,
        set: &Arc<DaemonSet>,
        history: &History,
        pods: Vec<Arc<Pod>>,
        now: Timestamp,
        plan: &mut Plan,
    ) {
        let hash = history.current.metadata.labels.get(LABEL);
        let hash = hash
            .cloned()
            .unwrap_or_else(|| history.current.metadata.name.to_string());
        let (sites, strays) = self.sites(set, pods.clone());
        let mut wanted: Vec<&str> = Vec::new();
        let mut doomed: Vec<Arc<Pod>> = strays;
        for site in &sites {
            if site.fit.runs && site.pods.is_empty() {
                wanted.push(&site.name);
            }
            doomed.extend(self.surplus(set, site, &hash, now, plan));
        }
        let rolls = &*set.spec.update_strategy.kind == "RollingUpdate";
        if wanted.is_empty() && doomed.is_empty() && rolls {
            let roll = roll::roll(set, &sites, &hash, now);
            wanted = roll.make;
            doomed = roll.remove;
        }
        write_status(set, &sites, &hash, now, plan);
        for node in wanted.into_iter().take(BURST) {
            plan.write(new_pod(set, node, &hash).create(&**set));
        }
        for pod in doomed.iter().take(BURST) {
            plan.write(Write::delete(&**pod).told_to(About::of(&**set)));
        }
        let hashes = pods.iter().filter_map(|pod| pod.metadata.labels.get(LABEL));
        let in_use: BTreeSet<&str> = hashes.map(String::as_str).collect();
        history.clean(set.spec.revision_history_limit, &in_use, plan);
        let seconds = i64::from(set.spec.min_ready_seconds);
        if let Some(wait) = next_available(&pods, seconds, now) {
            plan.requeue_after(wait);
        }
    }

    /// All nodes with their pods, and pods for nodes that do not exist.
    fn sites(&self, set: &DaemonSet, pods: Vec<Arc<Pod>>) -> (Vec<Site>, Vec<Arc<Pod>>) {
        let mut by_node: BTreeMap<Box<str>, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in pods {
            if let Some(node) = fit::node_of(&pod) {
                by_node.entry(node.into()).or_default().push(pod);
            }
        }
        let shape = PodShape::of(&set.spec.template);
        let mut nodes = self.nodes.all();
        nodes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let sites = nodes.iter().map(|node| {
            let name = node.metadata.name.clone();
            let mut pods = by_node.remove(&name).unwrap_or_default();
            pods.sort_by_key(|pod| fit::seniority(pod));
            let fit = shape.fit(node);
            Site { name, fit, pods }
        });
        let sites: Vec<_> = sites.collect();
        let strays = by_node.into_values().flatten();
        let unbound = |pod: &Arc<Pod>| pod.spec.node_name.is_empty() && pod.is_active();
        (sites, strays.filter(unbound).collect())
    }

    /// Pods of a node that have to go whatever the template.
    fn surplus(
        &self,
        set: &Arc<DaemonSet>,
        site: &Site,
        hash: &str,
        now: Timestamp,
        plan: &mut Plan,
    ) -> Vec<Arc<Pod>> {
        let staying = site.pods.iter().filter(|pod| !pod.metadata.is_leaving());
        if !site.fit.stays {
            return staying.cloned().collect();
        }
        let (ended, running): (Vec<_>, Vec<_>) =
            staying.cloned().partition(|pod| pod.is_finished());
        let mut doomed = Vec::new();
        for pod in ended {
            let failed = &*pod.status.phase == "Failed";
            if failed && let Some(wait) = self.hold_back(set, site, now) {
                plan.requeue_after(wait);
                continue;
            }
            tell_ended(set, site, &pod, plan);
            doomed.push(pod);
        }
        doomed.extend(roll::too_many(set, &running, hash, now));
        doomed
    }

    /// How long a failed pod has to stay; `None` if it may go, which counts as a failure.
    fn hold_back(&self, set: &DaemonSet, site: &Site, now: Timestamp) -> Option<Duration> {
        let place = (set.metadata.uid.clone(), site.name.clone());
        let mut all = self.failures.lock();
        // What did not fail for twice the longest wait is forgotten.
        let longest = 2 * i64::try_from(BACKOFF.most.as_secs()).unwrap_or(0);
        all.retain(|_, (_, until)| now.as_second() - until.as_second() < longest);
        let (failures, until) = all.get(&place).copied().unwrap_or((0, now));
        if until > now {
            return Duration::try_from(until.duration_since(now)).ok();
        }
        let wait = BACKOFF.after(failures);
        let next = now.checked_add(wait).unwrap_or(now);
        all.insert(place, (failures + 1, next));
        None
    }
}

fn tell_ended(set: &Arc<DaemonSet>, site: &Site, pod: &Pod, plan: &mut Plan) {
    let (name, node) = (&pod.metadata.name, &site.name);
    let namespace = &pod.metadata.namespace;
    if &*pod.status.phase == "Failed" {
        let message = format!(
            "Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it"
        );
        plan.warn(About::of(&**set), "FailedDaemonPod", message);
    } else {
        let message = format!(
            "Found succeeded daemon pod {namespace}/{name} on node {node}, will try to delete it"
        );
        plan.tell(About::of(&**set), "SucceededDaemonPod", message);
    }
}

/// A pod that only this node suits.
fn new_pod(set: &DaemonSet, node: &str, hash: &str) -> NewPod {
    let mut pod = NewPod::of(set, &set.spec.template).labelled(LABEL, hash);
    let generation = set
        .metadata
        .annotations
        .get("deprecated.daemonset.template.generation");
    if let Some(generation) = generation {
        pod = pod.labelled("pod-template-generation", generation);
    }
    let spec = &mut pod.0["spec"];
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [node]}]}]});
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in fit::tolerations(spec["hostNetwork"] == true) {
        let toleration = json!(toleration);
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    spec["tolerations"] = json!(tolerations);
    pod
}

fn write_status(set: &Arc<DaemonSet>, sites: &[Site], hash: &str, now: Timestamp, plan: &mut Plan) {
    let seconds = i64::from(set.spec.min_ready_seconds);
    let count =
        |test: &dyn Fn(&Site) -> bool| number(sites.iter().filter(|site| test(site)).count());
    let first = |site: &Site, test: &dyn Fn(&Pod) -> bool| {
        site.fit.runs && site.pods.first().is_some_and(|pod| test(pod))
    };
    let mut status = set.status.clone();
    status.desired_number_scheduled = count(&|site| site.fit.runs);
    status.current_number_scheduled = count(&|site| first(site, &|_| true));
    status.number_misscheduled = count(&|site| !site.fit.runs && !site.pods.is_empty());
    status.number_ready = count(&|site| first(site, &Pod::is_ready));
    status.number_available = count(&|site| first(site, &|pod| pod.is_available(seconds, now)));
    status.number_unavailable = status.desired_number_scheduled - status.number_available;
    status.updated_number_scheduled =
        count(&|site| first(site, &|pod| roll::is_updated(pod, hash)));
    status.observed_generation = set.metadata.generation;
    if status != set.status {
        plan.write(Write::status(&**set, json!(status)));
    }
}

#[cfg(test)]
mod tests;
