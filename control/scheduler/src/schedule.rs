//! Which node a pod gets: filters, then scores, on the cluster as it stands. Pure: chance comes in
//! as a value.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::{Cluster, Host};
use crate::framework::reason::Tally;
use crate::framework::{Cycle, NodeCheck, PluginId, PluginSet, Prepared, Reason, Verdict};
use crate::intern::Word;
use crate::model::Pod;
use crate::profile::Profile;

pub mod batch;
pub mod dice;

pub use dice::Dice;

/// What came of looking for a node.
#[derive(Debug)]
pub enum Decision {
    /// This one.
    Place(Placement),
    /// None.
    Refuse(Refusal),
}

/// A node for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its name.
    pub node: Word,
    /// How many nodes were looked at.
    pub evaluated: usize,
    /// How many of them would do.
    pub feasible: usize,
}

/// Why there is no node.
#[derive(Debug, Default)]
pub struct Refusal {
    /// How many nodes failed for which reason.
    pub tally: Tally,
    /// The reason, where it is not about nodes.
    pub reason: Option<Reason>,
    /// The plugins that refused.
    pub plugins: PluginSet,
    /// Places of the nodes that might do if pods went.
    pub resolvable: Vec<usize>,
    /// How many nodes there are.
    pub nodes: usize,
}

impl Refusal {
    /// What is told of it.
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        self.tally.sentence(self.nodes, self.reason.as_ref())
    }
}

/// The filters of a profile, made ready for one pod.
pub struct Filtering<'c> {
    checks: Vec<(PluginId, Box<dyn NodeCheck + 'c>)>,
    /// The only nodes that can be meant; `None` for all.
    only: Option<Vec<Word>>,
    narrowed_by: PluginSet,
    rivals: HashMap<Word, Vec<&'c Arc<Pod>>>,
    why: Vec<Reason>,
}

impl<'c> Filtering<'c> {
    /// Asks each filter what it needs to know.
    ///
    /// # Errors
    /// A filter refuses all nodes.
    pub fn prepare(profile: &'c Profile, cycle: Cycle<'c>) -> Result<Self, Refusal> {
        let mut filtering = Self {
            checks: Vec::new(),
            only: None,
            narrowed_by: PluginSet::default(),
            rivals: HashMap::new(),
            why: Vec::new(),
        };
        for (id, plugin) in profile.numbered() {
            let Some(filter) = &plugin.filter else {
                continue;
            };
            match filter.prepare(cycle) {
                Prepared::Skip => {}
                Prepared::Check(check) => filtering.checks.push((id, check)),
                Prepared::Only(names, check) => {
                    filtering.narrow(id, names);
                    filtering.checks.push((id, check));
                }
                Prepared::Refuse { reason, for_good } => {
                    return Err(refuse_all(cycle.cluster, id, reason, for_good));
                }
            }
        }
        let class = &cycle.pod.class;
        for (node, pod) in cycle.cluster.nominated(&cycle.pod.key, class.priority) {
            filtering.rivals.entry(node.clone()).or_default().push(pod);
        }
        Ok(filtering)
    }

    fn narrow(&mut self, by: PluginId, names: Vec<Word>) {
        self.narrowed_by.insert(by);
        match &mut self.only {
            None => self.only = Some(names),
            Some(only) => only.retain(|name| names.contains(name)),
        }
    }

    /// Whether a host will do, also if the pods come that room is made for there. `None` if so,
    /// else who refused.
    pub fn refused(&mut self, host: &Host) -> Option<(PluginId, Verdict)> {
        self.why.clear();
        if !self.rivals.is_empty()
            && let Some(rivals) = self.rivals.remove(&host.node().name)
        {
            let refused = self.refused_beside(host, &rivals);
            self.rivals.insert(host.node().name.clone(), rivals);
            if refused.is_some() {
                return refused;
            }
        }
        self.first_refusal(host)
    }

    fn refused_beside(&mut self, host: &Host, rivals: &[&Arc<Pod>]) -> Option<(PluginId, Verdict)> {
        let mut with = host.clone();
        for pod in rivals {
            self.joins(pod, &with);
            with.add((*pod).clone());
        }
        let refused = self.first_refusal(&with);
        for pod in rivals {
            self.leaves(pod, host);
        }
        refused
    }

    fn first_refusal(&mut self, host: &Host) -> Option<(PluginId, Verdict)> {
        for (id, check) in &self.checks {
            match check.check(host, &mut self.why) {
                Verdict::Fits => {}
                verdict => return Some((*id, verdict)),
            }
        }
        None
    }

    /// If this pod were on the host, too.
    pub fn joins(&mut self, pod: &Pod, host: &Host) {
        for (_, check) in &mut self.checks {
            check.joins(pod, host);
        }
    }

    /// If this pod were no longer on the host.
    pub fn leaves(&mut self, pod: &Pod, host: &Host) {
        for (_, check) in &mut self.checks {
            check.leaves(pod, host);
        }
    }

    /// The reasons of the last refusal.
    pub fn reasons(&mut self) -> impl Iterator<Item = Reason> {
        self.why.drain(..)
    }
}

/// No node will do, for a reason that is not about nodes; `for_good` where making room would not
/// help.
#[must_use]
pub fn refuse_all(cluster: &Cluster, by: PluginId, reason: Reason, for_good: bool) -> Refusal {
    let mut plugins = PluginSet::default();
    plugins.insert(by);
    Refusal {
        tally: Tally::default(),
        reason: Some(reason),
        plugins,
        resolvable: if for_good {
            Vec::new()
        } else {
            cluster.order().to_vec()
        },
        nodes: cluster.len(),
    }
}

/// How many nodes have to be found that will do before looking on is a waste of time.
#[must_use]
pub fn enough(nodes: usize, percentage: Option<u32>) -> usize {
    const LEAST: usize = 100;
    if nodes < LEAST {
        return nodes;
    }
    let percentage = match percentage {
        Some(percentage) => usize::try_from(percentage).unwrap_or(100).min(100),
        None => 50_usize.saturating_sub(nodes / 125).max(5),
    };
    (nodes * percentage / 100).max(LEAST)
}

/// Finds a node for a pod.
pub fn schedule(profile: &Profile, cycle: Cycle<'_>, dice: &mut Dice) -> Decision {
    let cluster = cycle.cluster;
    if cluster.is_empty() {
        return Decision::Refuse(Refusal::default());
    }
    let mut filtering = match Filtering::prepare(profile, cycle) {
        Ok(filtering) => filtering,
        Err(refusal) => return Decision::Refuse(refusal),
    };
    if let Some(placement) = on_nominated(cycle, &mut filtering) {
        return Decision::Place(placement);
    }
    let found = find_feasible(profile, cycle, &mut filtering, dice);
    if found.feasible.is_empty() {
        return Decision::Refuse(found.refusal);
    }
    let at = best(profile, cycle, &found.feasible, dice);
    Decision::Place(Placement {
        node: cluster.host(at).node().name.clone(),
        evaluated: found.evaluated,
        feasible: found.feasible.len(),
    })
}

/// The node that room was made on, if it will do by now.
fn on_nominated(cycle: Cycle<'_>, filtering: &mut Filtering<'_>) -> Option<Placement> {
    let name = cycle.cluster.nomination(&cycle.pod.key)?;
    let only = filtering.only.as_ref();
    if only.is_some_and(|only| !only.contains(name)) {
        return None;
    }
    let host = cycle.cluster.host(cycle.cluster.find(name)?);
    filtering.refused(host).is_none().then(|| Placement {
        node: name.clone(),
        evaluated: 1,
        feasible: 1,
    })
}

struct Found {
    feasible: Vec<usize>,
    evaluated: usize,
    refusal: Refusal,
}

fn find_feasible(
    profile: &Profile,
    cycle: Cycle<'_>,
    filtering: &mut Filtering<'_>,
    dice: &mut Dice,
) -> Found {
    let cluster = cycle.cluster;
    let mut found = Found {
        feasible: Vec::new(),
        evaluated: 0,
        refusal: Refusal {
            nodes: cluster.len(),
            ..Refusal::default()
        },
    };
    let named: Option<Vec<usize>> = filtering.only.as_ref().map(|only| {
        let places = only.iter().filter_map(|name| cluster.find(name));
        places.collect()
    });
    let all = named.as_deref().unwrap_or(cluster.order());
    found.note_left_out(cluster.len() - all.len(), profile, filtering.narrowed_by);
    let wanted = enough(all.len(), profile.percentage);
    let start = dice.start(all.len());
    for at in all[start..].iter().chain(&all[..start]) {
        found.look(*at, cluster.host(*at), filtering);
        if found.feasible.len() >= wanted {
            break;
        }
    }
    dice.advance(found.evaluated);
    found
}

impl Found {
    fn note_left_out(&mut self, nodes: usize, profile: &Profile, by: PluginSet) {
        if nodes == 0 {
            return;
        }
        let names: Vec<_> = profile.names(by).collect();
        let text = format!("node(s) didn't satisfy plugin(s) [{}]", names.join(" "));
        self.refusal
            .tally
            .add([Reason::Said(Word::of(&text))], nodes);
        for plugin in by.iter() {
            self.refusal.plugins.insert(plugin);
        }
    }

    fn look(&mut self, at: usize, host: &Host, filtering: &mut Filtering<'_>) {
        self.evaluated += 1;
        let Some((plugin, verdict)) = filtering.refused(host) else {
            self.feasible.push(at);
            return;
        };
        // Reasons are told only where no node will do.
        if self.feasible.is_empty() {
            self.refusal.plugins.insert(plugin);
            self.refusal.tally.add(filtering.reasons(), 1);
            if verdict == Verdict::Refused {
                self.refusal.resolvable.push(at);
            }
        }
    }
}

/// The sum of all weighted scores of each of these nodes.
pub fn totals(profile: &Profile, cycle: Cycle<'_>, feasible: &[usize]) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    let mut scores = Vec::with_capacity(feasible.len());
    for plugin in &profile.plugins {
        let Some((score, weight)) = &plugin.score else {
            continue;
        };
        let Some(scorer) = score.prepare(cycle, feasible) else {
            continue;
        };
        scores.clear();
        let hosts = feasible.iter().map(|at| cycle.cluster.host(*at));
        scores.extend(hosts.map(|host| scorer.score(host)));
        scorer.normalize(&mut scores);
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += score * weight;
        }
    }
    totals
}

/// One of those with the best score, by chance.
fn best(profile: &Profile, cycle: Cycle<'_>, feasible: &[usize], dice: &mut Dice) -> usize {
    if let [only] = feasible {
        return *only;
    }
    let totals = totals(profile, cycle, feasible);
    let mut best = (i64::MIN, feasible[0]);
    let mut equals = 0;
    for (total, at) in totals.into_iter().zip(feasible) {
        if total > best.0 {
            best = (total, *at);
            equals = 1;
        } else if total == best.0 {
            equals += 1;
            if dice.below(equals) == 0 {
                best.1 = *at;
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests;
