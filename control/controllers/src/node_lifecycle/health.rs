//! Decides, from what was heard of each node and when, which are lost, and which of their pods
//! have to leave.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_api::core::Taint;
use serde_json::json;

use super::condition_taints::{NOT_READY, UNREACHABLE, taint};
use super::zones::{Pace, State};
use crate::controller::{About, Plan};
use crate::kinds::condition::{self, whole_seconds};
use crate::kinds::{Condition, Node, Pod};
use crate::write::Write;

/// The effect that makes pods leave.
const NO_EXECUTE: &str = "NoExecute";
/// The label of nodes that don't count when a zone is judged.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";
/// The conditions that nobody knows when a node is silent.
const SILENCED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The numbers by which nodes are judged.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a node may be silent.
    pub grace: Duration,
    /// How long a node may be silent that never said anything.
    pub startup_grace: Duration,
    /// How often nodes are looked at.
    pub period: Duration,
    /// Nodes emptied per second and zone.
    pub rate: f64,
    /// The same in large zones with many lost nodes.
    pub reduced_rate: f64,
    /// The share of lost nodes from which on there are many.
    pub unhealthy_share: f64,
    /// The number of nodes above which a zone is large.
    pub large_zone: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(50),
            startup_grace: Duration::from_secs(60),
            period: Duration::from_secs(5),
            rate: 0.1,
            reduced_rate: 0.01,
            unhealthy_share: 0.55,
            large_zone: 50,
        }
    }
}

/// What is there to be judged.
pub struct View<'a> {
    /// The time.
    pub now: Timestamp,
    /// All nodes.
    pub nodes: &'a [Arc<Node>],
    /// When a node renewed its lease, by its own clock.
    pub renewed: &'a dyn Fn(&str) -> Option<Timestamp>,
    /// The pods of a node.
    pub pods: &'a dyn Fn(&str) -> Vec<Arc<Pod>>,
}

/// What was heard of nodes, and when.
#[derive(Debug)]
pub struct Health {
    settings: Settings,
    heard: HashMap<Box<str>, Heard>,
    paces: HashMap<String, Pace>,
    /// Nodes whose turn it was; the taint may take more than one attempt.
    admitted: BTreeSet<Box<str>>,
    last_look: Option<Timestamp>,
    all_lost: bool,
}

/// What was last heard of a node.
#[derive(Debug)]
struct Heard {
    uid: Box<str>,
    /// By our clock.
    at: Timestamp,
    heartbeat: Option<Timestamp>,
    renewed: Option<Timestamp>,
}

/// A node as this look found it.
struct Judged<'a> {
    node: &'a Node,
    /// The status of its condition `Ready` after this look; `None` if it never had one and may
    /// still be silent.
    ready: Option<Box<str>>,
    /// Whether its conditions are written just now: nothing else is, as that would be refused.
    changing: bool,
}

impl Health {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            heard: HashMap::new(),
            paces: HashMap::new(),
            admitted: BTreeSet::new(),
            last_look: None,
            all_lost: false,
        }
    }

    /// Looks at all nodes.
    pub fn look(&mut self, view: &View<'_>, plan: &mut Plan) {
        self.forgive_pauses(view.now);
        self.note_comings_and_goings(view, plan);
        let judged: Vec<Judged<'_>> = view
            .nodes
            .iter()
            .map(|node| self.judge(view, node, plan))
            .collect();
        let zones = self.zones(&judged);
        let all_lost = !zones.is_empty() && zones.values().all(|(state, _)| *state == State::Full);
        if self.all_lost && !all_lost {
            // We are back: everybody gets a new chance to be heard.
            for heard in self.heard.values_mut() {
                heard.at = view.now;
            }
        }
        self.all_lost = all_lost;
        for judged in judged.iter().filter(|judged| !judged.changing) {
            self.taint(view.now, judged, &zones, plan);
        }
    }

    /// When we slept, or the clock was changed, silence means nothing.
    fn forgive_pauses(&mut self, now: Timestamp) {
        let last = self.last_look.replace(now).unwrap_or(now);
        let passed = now.duration_since(last);
        let usual = self.settings.period * 3;
        if passed.is_negative() || passed.unsigned_abs() > usual {
            for heard in self.heard.values_mut() {
                heard.at = heard.at.saturating_add(passed).unwrap_or(now);
            }
        }
    }

    fn note_comings_and_goings(&mut self, view: &View<'_>, plan: &mut Plan) {
        let there: BTreeSet<&str> = view.nodes.iter().map(|node| &*node.metadata.name).collect();
        let mut gone: Vec<Box<str>> = self.heard.keys().cloned().collect();
        gone.retain(|name| !there.contains(&**name));
        gone.sort();
        for name in gone {
            self.admitted.remove(&name);
            if let Some(heard) = self.heard.remove(&name) {
                let message = format!("Removing Node {name} from Controller");
                plan.tell(about_node(&name, &heard.uid), "RemovingNode", message);
            }
        }
        for node in view.nodes {
            let name = &node.metadata.name;
            let known = self.heard.get(name);
            if known.is_some_and(|heard| heard.uid == node.metadata.uid) {
                continue;
            }
            let message = format!("Registered Node {name} in Controller");
            plan.tell(about(node), "RegisteredNode", message);
            let never = node.ready().is_none();
            let heard = Heard {
                uid: node.metadata.uid.clone(),
                at: node
                    .metadata
                    .creation_timestamp
                    .filter(|_| never)
                    .unwrap_or(view.now),
                heartbeat: heartbeat(node),
                renewed: (view.renewed)(name),
            };
            self.heard.insert(name.clone(), heard);
        }
    }

    /// Finds out whether a node is silent for too long, and says so in its conditions.
    fn judge<'a>(&mut self, view: &View<'_>, node: &'a Node, plan: &mut Plan) -> Judged<'a> {
        let now = view.now;
        let found = node.ready();
        let grace = match found {
            Some(_) => self.settings.grace,
            None => self.settings.startup_grace,
        };
        if let Some(heard) = self.heard.get_mut(&node.metadata.name) {
            let renewed = (view.renewed)(&node.metadata.name);
            if heartbeat(node) != heard.heartbeat || renewed > heard.renewed {
                heard.at = now;
                heard.heartbeat = heartbeat(node);
                heard.renewed = renewed.max(heard.renewed);
            }
            let silent = now.duration_since(heard.at);
            if silent.is_positive() && silent.unsigned_abs() > grace {
                return Judged {
                    node,
                    ready: Some("Unknown".into()),
                    changing: silence(view, node, plan),
                };
            }
        }
        let ready = found.map(|ready| ready.status.clone());
        if ready.as_deref().is_some_and(|status| status != "True") {
            unready_pods(view, node, plan);
        }
        let changing = false;
        Judged {
            node,
            ready,
            changing,
        }
    }

    /// The state and size of each zone.
    fn zones(&self, judged: &[Judged<'_>]) -> BTreeMap<String, (State, usize)> {
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for judged in judged {
            let counted = !judged.node.metadata.labels.contains_key(EXCLUDED);
            let (ready, lost) = counts.entry(zone(judged.node)).or_default();
            match judged.ready.as_deref() {
                Some("True") if counted => *ready += 1,
                _ if counted => *lost += 1,
                _ => {}
            }
        }
        counts.retain(|_, (ready, lost)| *ready + *lost > 0);
        let settings = &self.settings;
        counts
            .into_iter()
            .map(|(zone, (ready, lost))| (zone, (State::of(ready, lost, settings), ready + lost)))
            .collect()
    }

    /// Puts the taint on or takes it off by which pods leave.
    fn taint(
        &mut self,
        now: Timestamp,
        judged: &Judged<'_>,
        zones: &BTreeMap<String, (State, usize)>,
        plan: &mut Plan,
    ) {
        let node = judged.node;
        let has = |key: &str| {
            let mut taints = node.spec.taints.iter();
            taints.any(|taint| taint.key == key && taint.effect == NO_EXECUTE)
        };
        let (key, other) = match judged.ready.as_deref() {
            Some("False") if !self.all_lost => (NOT_READY, UNREACHABLE),
            Some("Unknown") if !self.all_lost => (UNREACHABLE, NOT_READY),
            None => return,
            _ => {
                self.admitted.remove(&node.metadata.name);
                if has(NOT_READY) || has(UNREACHABLE) {
                    plan.write(with_taints(node, None, now));
                }
                return;
            }
        };
        if has(key) && !has(other) {
            return;
        }
        // A node that leaves already only says so in another way.
        let name = &node.metadata.name;
        if !has(key) && !has(other) && !self.admitted.contains(name) {
            let zone = zone(node);
            let (state, size) = zones.get(&zone).copied().unwrap_or((State::Normal, 1));
            let rate = state.rate(size, &self.settings);
            if !self.paces.entry(zone).or_default().admit(now, rate) {
                return;
            }
            self.admitted.insert(name.clone());
        }
        plan.write(with_taints(node, Some(key), now));
    }
}

/// The node with one of the two taints, or with none of them.
fn with_taints(node: &Node, key: Option<&str>, now: Timestamp) -> Write {
    let ours = |taint: &Taint| {
        taint.effect == NO_EXECUTE && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str())
    };
    let mut taints = node.spec.taints.clone();
    taints.retain(|taint| !ours(taint) || Some(taint.key.as_str()) == key);
    if let Some(key) = key
        && !taints.iter().any(ours)
    {
        taints.push(taint(key, NO_EXECUTE, now));
    }
    Write::patch(node, json!({"spec": {"taints": taints}}))
}

/// Says of a node that nothing is known of it. True if that is news.
fn silence(view: &View<'_>, node: &Node, plan: &mut Plan) -> bool {
    let mut conditions = node.status.conditions.clone();
    let was_ready = node.ready().is_some_and(Condition::holds);
    for kind in SILENCED {
        let known = conditions
            .iter_mut()
            .find(|condition| &*condition.kind == kind);
        let now = Some(whole_seconds(view.now));
        match known {
            Some(known) if &*known.status == "Unknown" => {}
            Some(known) => {
                known.status = "Unknown".into();
                known.reason = "NodeStatusUnknown".into();
                known.message = "Kubelet stopped posting node status.".into();
                known.last_transition_time = now;
            }
            None => conditions.push(Condition {
                kind: kind.into(),
                status: "Unknown".into(),
                reason: "NodeStatusNeverUpdated".into(),
                message: "Kubelet never posted node status.".into(),
                last_heartbeat_time: node.metadata.creation_timestamp,
                last_transition_time: now,
                ..Condition::default()
            }),
        }
    }
    let news = conditions != node.status.conditions;
    if news {
        plan.write(Write::status(node, json!({ "conditions": conditions })));
        if was_ready {
            let name = &node.metadata.name;
            let message = format!("Node {name} status is now: NodeNotReady");
            plan.tell(about(node), "NodeNotReady", message);
        }
    }
    unready_pods(view, node, plan);
    news
}

/// Shows the pods of a node that isn't ready as not ready.
fn unready_pods(view: &View<'_>, node: &Node, plan: &mut Plan) {
    for pod in (view.pods)(&node.metadata.name) {
        let mut conditions = pod.status.conditions.clone();
        let ready = conditions
            .iter_mut()
            .find(|condition| &*condition.kind == "Ready");
        let Some(ready) = ready.filter(|ready| ready.holds()) else {
            continue;
        };
        ready.status = "False".into();
        ready.last_transition_time = Some(whole_seconds(view.now));
        plan.write(Write::status(&*pod, json!({ "conditions": conditions })));
        plan.warn(
            About::of(&*pod),
            "NodeNotReady",
            "Node is not ready".to_owned(),
        );
    }
}

fn heartbeat(node: &Node) -> Option<Timestamp> {
    node.ready().and_then(|ready| ready.last_heartbeat_time)
}

/// Region and zone.
fn zone(node: &Node) -> String {
    let label = |name: &str| {
        let value = node
            .metadata
            .labels
            .get(&format!("topology.kubernetes.io/{name}"));
        value.map_or("", String::as_str)
    };
    format!("{}/{}", label("region"), label("zone"))
}

fn about(node: &Node) -> About {
    about_node(&node.metadata.name, &node.metadata.uid)
}

fn about_node(name: &str, uid: &str) -> About {
    About {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        namespace: "".into(),
        name: name.into(),
        uid: uid.into(),
    }
}

impl Node {
    /// The condition `Ready`.
    #[must_use]
    pub fn ready(&self) -> Option<&Condition> {
        condition::find(&self.status.conditions, "Ready")
    }
}

#[cfg(test)]
mod tests;
