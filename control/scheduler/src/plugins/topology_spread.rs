//! `PodTopologySpread`: like pods are spread evenly over places.

use std::collections::{BTreeMap, HashMap};

use crate::cluster::Host;
use crate::framework::{Cycle, Filter, NodeCheck, Prepared, Reason, Verdict};
use crate::intern::Word;
use crate::model::pod::Otherwise;
use crate::model::taint::{Effect, tolerated};
use crate::model::{Class, Pod, Selector, Spread};

pub mod score;

const SKEWED: Reason = Reason::Text("node(s) didn't match pod topology spread constraints");
const NO_LABEL: Reason =
    Reason::Text("node(s) didn't match pod topology spread constraints (missing required label)");
/// The label that makes every node a place of its own.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The plugin.
#[derive(Debug)]
pub struct TopologySpread {
    /// Constraints for pods that have none, whose selector comes from their services and workload.
    pub defaults: Vec<Spread>,
    /// Whether these are the built-in ones, which do without nodes that lack a label.
    pub system: bool,
}

impl Default for TopologySpread {
    fn default() -> Self {
        let spread = |max_skew, topology| Spread {
            max_skew,
            topology: Word::of(topology),
            otherwise: Otherwise::Anyway,
            selector: Selector::Nothing,
            min_domains: 1,
            honour_affinity: true,
            honour_taints: false,
        };
        Self {
            defaults: vec![
                spread(3, HOSTNAME),
                spread(5, "topology.kubernetes.io/zone"),
            ],
            system: true,
        }
    }
}

impl TopologySpread {
    /// The constraints of one kind that hold for a pod.
    fn constraints(&self, cycle: Cycle<'_>, otherwise: Otherwise) -> Vec<Spread> {
        let own = &cycle.pod.class.spread;
        let wanted = |spread: &&Spread| spread.otherwise == otherwise;
        if !own.is_empty() {
            return own.iter().filter(wanted).cloned().collect();
        }
        let defaults: Vec<&Spread> = self.defaults.iter().filter(wanted).collect();
        if defaults.is_empty() {
            return Vec::new();
        }
        let Some(selector) = cycle.cluster.owners.selector_of(cycle.pod) else {
            return Vec::new();
        };
        let with = |spread: &Spread| Spread {
            selector: selector.clone(),
            ..spread.clone()
        };
        defaults.into_iter().map(with).collect()
    }
}

/// How many pods of a namespace on a host are selected. Those that leave do not count.
fn selected(host: &Host, namespace: &Word, selector: &Selector) -> i64 {
    let pods = host
        .pods
        .iter()
        .filter(|pod| counts(pod, namespace, selector));
    i64::try_from(pods.count()).unwrap_or(i64::MAX)
}

fn counts(pod: &Pod, namespace: &Word, selector: &Selector) -> bool {
    !pod.deleting && pod.namespace() == namespace && selector.matches(pod.labels())
}

/// Whether a node counts for a constraint.
fn includes(spread: &Spread, class: &Class, host: &Host) -> bool {
    let node = host.node();
    if spread.honour_affinity && !class.allows(&node.name, &node.labels) {
        return false;
    }
    let mut taints = node.taints.iter();
    !spread.honour_taints
        || taints.all(|taint| {
            taint.effect == Effect::PreferNoSchedule || tolerated(taint, &class.tolerations)
        })
}

fn has_all_labels(host: &Host, constraints: &[Spread]) -> bool {
    let labels = &host.node().labels;
    let mut keys = constraints.iter().map(|spread| &spread.topology);
    keys.all(|key| labels.value(key).is_some())
}

impl Filter for TopologySpread {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let constraints = self.constraints(cycle, Otherwise::Wait);
        if constraints.is_empty() {
            return Prepared::Skip;
        }
        let mut domains = vec![Domains::default(); constraints.len()];
        for host in cycle.cluster.hosts() {
            if !has_all_labels(host, &constraints) {
                continue;
            }
            for (spread, domains) in constraints.iter().zip(&mut domains) {
                let value = host.node().labels.value(&spread.topology);
                if let Some(value) = value.filter(|_| includes(spread, &cycle.pod.class, host)) {
                    let pods = selected(host, cycle.pod.namespace(), &spread.selector);
                    *domains.pods.entry(value.clone()).or_default() += pods;
                }
            }
        }
        for domains in &mut domains {
            domains.sort();
        }
        let labels = cycle.pod.labels();
        let own = constraints
            .iter()
            .map(|spread| i64::from(spread.selector.matches(labels)));
        Prepared::Check(Box::new(Even {
            own: own.collect(),
            pod: cycle.pod,
            constraints,
            domains,
        }))
    }

    fn is_local(&self, cycle: Cycle<'_>) -> bool {
        self.constraints(cycle, Otherwise::Wait).is_empty()
    }
}

/// The pods in each place, and how many places have how many.
#[derive(Clone, Default)]
struct Domains {
    pods: HashMap<Word, i64>,
    places: BTreeMap<i64, usize>,
}

impl Domains {
    fn sort(&mut self) {
        for pods in self.pods.values() {
            *self.places.entry(*pods).or_default() += 1;
        }
    }

    fn fewest(&self, spread: &Spread) -> i64 {
        if self.pods.len() < usize::try_from(spread.min_domains).unwrap_or(0) {
            return 0;
        }
        let first = self.places.first_key_value();
        first.map_or(0, |(pods, _)| *pods)
    }

    fn change(&mut self, value: &Word, change: i64) {
        let Some(pods) = self.pods.get_mut(value) else {
            return;
        };
        if let Some(places) = self.places.get_mut(pods) {
            *places -= 1;
            if *places == 0 {
                self.places.remove(pods);
            }
        }
        *pods += change;
        *self.places.entry(*pods).or_default() += 1;
    }
}

struct Even<'c> {
    pod: &'c Pod,
    constraints: Vec<Spread>,
    /// 1 where the pod itself is selected, else 0.
    own: Vec<i64>,
    domains: Vec<Domains>,
}

impl Even<'_> {
    fn change(&mut self, pod: &Pod, host: &Host, change: i64) {
        if !has_all_labels(host, &self.constraints) {
            return;
        }
        for (spread, domains) in self.constraints.iter().zip(&mut self.domains) {
            if !counts(pod, self.pod.namespace(), &spread.selector)
                || !includes(spread, &self.pod.class, host)
            {
                continue;
            }
            if let Some(value) = host.node().labels.value(&spread.topology) {
                domains.change(value, change);
            }
        }
    }
}

impl NodeCheck for Even<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let constraints = self.constraints.iter().zip(&self.own).zip(&self.domains);
        for ((spread, own), domains) in constraints {
            let Some(value) = host.node().labels.value(&spread.topology) else {
                why.push(NO_LABEL);
                return Verdict::RefusedForGood;
            };
            let there = domains.pods.get(value).copied().unwrap_or(0);
            if there + own - domains.fewest(spread) > i64::from(spread.max_skew) {
                why.push(SKEWED);
                return Verdict::Refused;
            }
        }
        Verdict::Fits
    }

    fn joins(&mut self, pod: &Pod, host: &Host) {
        self.change(pod, host, 1);
    }

    fn leaves(&mut self, pod: &Pod, host: &Host) {
        self.change(pod, host, -1);
    }
}
