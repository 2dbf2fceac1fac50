//! `InterPodAffinity`: near pods that it wants to be near to, apart from those that it or they
//! want to be apart from.

use std::collections::HashMap;

use crate::cluster::{Cluster, Host};
use crate::framework::{Cycle, Filter, NodeCheck, Prepared, Reason, Verdict};
use crate::intern::Word;
use crate::model::{Pod, PodTerm};

pub mod score;

const NOT_NEAR: Reason = Reason::Text("node(s) didn't match pod affinity rules");
const NOT_APART: Reason = Reason::Text("node(s) didn't match pod anti-affinity rules");
const UNWELCOME: Reason = Reason::Text("node(s) didn't satisfy existing pods anti-affinity rules");

/// The plugin.
#[derive(Debug)]
pub struct PodAffinity {
    /// What required affinity of pods that are there counts in scores.
    pub hard_weight: i64,
    /// Whether what pods that are there would prefer only counts for pods that prefer something.
    pub ignore_preferred_of_others: bool,
}

impl Default for PodAffinity {
    fn default() -> Self {
        Self {
            hard_weight: 1,
            ignore_preferred_of_others: false,
        }
    }
}

/// How many pods there are in a place: a label of nodes and its value.
type Places = HashMap<(Word, Word), i64>;

fn count(places: &mut Places, term: &PodTerm, host: &Host, change: i64) {
    if let Some(value) = host.node().labels.value(&term.topology) {
        let place = (term.topology.clone(), value.clone());
        *places.entry(place).or_default() += change;
    }
}

fn there(places: &Places, topology: &Word, value: &Word) -> bool {
    let count = places.get(&(topology.clone(), value.clone()));
    count.is_some_and(|count| *count > 0)
}

/// Whether a term means a pod.
fn means(term: &PodTerm, pod: &Pod, cluster: &Cluster) -> bool {
    term.means(pod, |name| cluster.namespace(name))
}

fn means_all(terms: &[PodTerm], pod: &Pod, cluster: &Cluster) -> bool {
    !terms.is_empty() && terms.iter().all(|term| means(term, pod, cluster))
}

impl Filter for PodAffinity {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let class = &cycle.pod.class;
        let own = !class.near.is_empty() || !class.apart.is_empty();
        if !own && cycle.cluster.pods_with_required_anti() == 0 {
            return Prepared::Skip;
        }
        let mut rules = Rules {
            cycle,
            near: Places::new(),
            apart: Places::new(),
            unwelcome: Places::new(),
        };
        for host in cycle.cluster.hosts() {
            if own {
                rules.count_own(host);
            }
            if host.with_anti > 0 {
                rules.count_theirs(host);
            }
        }
        if !own && rules.unwelcome.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Check(Box::new(rules))
    }

    fn is_local(&self, cycle: Cycle<'_>) -> bool {
        let class = &cycle.pod.class;
        class.near.is_empty()
            && class.apart.is_empty()
            && cycle.cluster.pods_with_required_anti() == 0
    }
}

/// What holds in which places.
struct Rules<'c> {
    cycle: Cycle<'c>,
    /// Pods that the pod wants to be near to.
    near: Places,
    /// Pods that it wants to be apart from.
    apart: Places,
    /// Pods that want to be apart from it.
    unwelcome: Places,
}

impl Rules<'_> {
    fn count_own(&mut self, host: &Host) {
        let class = &self.cycle.pod.class;
        let cluster = self.cycle.cluster;
        let met = |terms: &dyn Fn(&Pod) -> bool| {
            let met = host.pods.iter().filter(|pod| terms(pod)).count();
            i64::try_from(met).unwrap_or(i64::MAX)
        };
        if !class.near.is_empty() {
            let pods = met(&|pod| means_all(&class.near, pod, cluster));
            if pods > 0 {
                for term in &class.near {
                    count(&mut self.near, term, host, pods);
                }
            }
        }
        for term in &class.apart {
            let pods = met(&|pod| means(term, pod, cluster));
            if pods > 0 {
                count(&mut self.apart, term, host, pods);
            }
        }
    }

    fn count_theirs(&mut self, host: &Host) {
        for pod in &host.pods {
            self.count_their(pod, host, 1);
        }
    }

    fn count_their(&mut self, pod: &Pod, host: &Host, change: i64) {
        for term in &pod.class.apart {
            if means(term, self.cycle.pod, self.cycle.cluster) {
                count(&mut self.unwelcome, term, host, change);
            }
        }
    }

    fn change(&mut self, pod: &Pod, host: &Host, change: i64) {
        let class = &self.cycle.pod.class;
        let cluster = self.cycle.cluster;
        if means_all(&class.near, pod, cluster) {
            for term in &class.near {
                count(&mut self.near, term, host, change);
            }
        }
        for term in &class.apart {
            if means(term, pod, cluster) {
                count(&mut self.apart, term, host, change);
            }
        }
        self.count_their(pod, host, change);
    }

    fn is_near(&self, host: &Host) -> bool {
        let terms = &self.cycle.pod.class.near;
        let labels = &host.node().labels;
        let mut all_there = true;
        for term in terms {
            let Some(value) = labels.value(&term.topology) else {
                return false;
            };
            all_there &= there(&self.near, &term.topology, value);
        }
        // The first of a group that wants to be near itself has nobody to be near to.
        all_there
            || (self.near.values().all(|count| *count == 0)
                && means_all(terms, self.cycle.pod, self.cycle.cluster))
    }

    fn is_apart(&self, host: &Host) -> bool {
        let labels = &host.node().labels;
        self.cycle.pod.class.apart.iter().all(|term| {
            let value = labels.value(&term.topology);
            value.is_none_or(|value| !there(&self.apart, &term.topology, value))
        })
    }

    fn is_welcome(&self, host: &Host) -> bool {
        self.unwelcome.is_empty() || {
            let mut labels = host.node().labels.pairs().iter();
            labels.all(|(key, value)| !there(&self.unwelcome, key, value))
        }
    }
}

impl NodeCheck for Rules<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        if !self.is_near(host) {
            why.push(NOT_NEAR);
            return Verdict::RefusedForGood;
        }
        if !self.is_apart(host) {
            why.push(NOT_APART);
            return Verdict::Refused;
        }
        if !self.is_welcome(host) {
            why.push(UNWELCOME);
            return Verdict::Refused;
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
