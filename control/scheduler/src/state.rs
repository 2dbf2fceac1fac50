//! The scheduler without its surroundings: changes go in, steps to carry out come out. Owns the
//! cluster and the queue. Pure: `now` is the time since the start.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::framework::{Cycle, Errand, Held, PluginSet};
use crate::hints::{Event, helps};
use crate::intern::Word;
use crate::model::{Node, Pod, PodKey};
use crate::preempt::{Plan, preempt};
use crate::profile::Profile;
use crate::queue::{Queue, Taken, Waits};
use crate::schedule::batch::Batch;
use crate::schedule::{Decision, Dice, Placement, Refusal, refuse_all, schedule};

/// What has to be carried out for a pod.
#[derive(Debug)]
pub enum Step {
    /// Bind it. It counts as placed from now on; [`State::bound`] or [`State::not_bound`] has to
    /// be told how that went.
    Bind {
        /// The pod and which attempt this was.
        taken: Taken,
        /// Where to.
        placement: Placement,
        /// What is held for it until then.
        held: Held,
        /// What is done for it, in this order; the last binds it.
        errands: Vec<Errand>,
    },
    /// Tell that no node will do.
    Refuse {
        /// The pod and which attempt this was.
        taken: Taken,
        /// What is told.
        message: String,
        /// Who has to go for it.
        plan: Option<Plan>,
        /// Which plugins refused, by name.
        plugins: Vec<&'static str>,
    },
}

/// The scheduler.
#[derive(Debug)]
pub struct State {
    /// Nodes, pods and what else decisions are made on.
    pub cluster: Cluster,
    /// Pods that wait.
    pub queue: Queue,
    profiles: Vec<Profile>,
    dice: Dice,
    batch: Option<(usize, Batch)>,
    /// How many decisions were made out of a batch.
    pub batched: u64,
}

impl State {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new(profiles: Vec<Profile>, waits: Waits, seed: u64) -> Self {
        Self {
            cluster: Cluster::default(),
            queue: Queue::new(waits),
            profiles,
            dice: Dice::new(seed),
            batch: None,
            batched: 0,
        }
    }

    fn profile(&self, pod: &Pod) -> Option<usize> {
        let mut profiles = self.profiles.iter();
        profiles.position(|profile| profile.name == pod.class.scheduler)
    }

    /// A pod is there, new or changed.
    pub fn put_pod(&mut self, now: Duration, pod: &Arc<Pod>) {
        if pod.finished {
            return self.remove_pod(now, &pod.key);
        }
        match &pod.node {
            Some(node) => self.put_placed(now, pod, node),
            None => self.put_waiting(now, pod),
        }
    }

    fn put_placed(&mut self, now: Duration, pod: &Arc<Pod>, node: &Word) {
        self.queue.remove(&pod.key);
        self.cluster.forget_nomination(&pod.key);
        let old = self.cluster.pod(&pod.key).cloned();
        let is_known = self
            .cluster
            .whereabouts(&pod.key)
            .is_some_and(|(on, _)| on == node);
        self.cluster.put_pod(pod.clone(), node, false);
        match old.filter(|_| is_known) {
            None => self.tell(now, Event::Placed(pod)),
            Some(old) if !Arc::ptr_eq(&old.class, &pod.class) || old.deleting != pod.deleting => {
                self.tell(
                    now,
                    Event::Changed {
                        old: &old,
                        new: pod,
                    },
                );
            }
            Some(_) => {}
        }
    }

    fn put_waiting(&mut self, now: Duration, pod: &Arc<Pod>) {
        let here = self.cluster.pod(&pod.key);
        if here.is_some_and(|here| here.uid == pod.uid) {
            // An older state of one that we have bound.
            return;
        }
        let Some(profile) = self.profile(pod) else {
            return;
        };
        if pod.deleting {
            return self.remove_pod(now, &pod.key);
        }
        let old = self.queue.pod(&pod.key);
        let woken = old.is_some_and(|old| !Arc::ptr_eq(&old.class, &pod.class));
        let held = self.profiles[profile].hold(pod).is_some();
        if let Some(node) = &pod.nominated {
            self.cluster.nominate(pod, Some(node));
        }
        self.queue.put(now, pod.clone(), held, woken);
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, now: Duration, key: &PodKey) {
        self.queue.remove(key);
        self.cluster.forget_nomination(key);
        if let Some(pod) = self.cluster.take_pod(key) {
            self.tell(now, Event::Gone(&pod));
        }
    }

    /// A node is there, new or changed.
    pub fn put_node(&mut self, now: Duration, node: &Arc<Node>) {
        let old = self.cluster.set_node(node.clone());
        let old = old.as_deref();
        self.tell(now, Event::Node { old, new: node });
    }

    /// A node is gone.
    pub fn remove_node(&mut self, now: Duration, name: &Word) {
        if self.cluster.remove_node(name).is_some() {
            self.tell(now, Event::NodeGone);
        }
    }

    /// Something happened: whom it may help gets a turn.
    pub fn tell(&mut self, now: Duration, event: Event<'_>) {
        let profiles = &self.profiles;
        self.queue.wake(now, |pod, by: PluginSet| {
            let mut of = profiles.iter();
            let profile = of.find(|profile| profile.name == pod.class.scheduler);
            profile.is_some_and(|profile| {
                by.is_empty() || profile.names(by).any(|name| helps(name, event, pod))
            })
        });
    }

    /// Decides on the pod whose turn it is, if it is anybody's.
    pub fn next(&mut self, now: Duration) -> Option<Step> {
        let taken = self.queue.take(now)?;
        let Some(profile) = self.profile(&taken.pod) else {
            self.queue.remove(&taken.pod.key);
            return self.next(now);
        };
        if let Some(placement) = self.out_of_batch(profile, &taken.pod) {
            self.batched += 1;
            return Some(self.bind(profile, taken, placement, Held::default()));
        }
        let cycle = Cycle {
            pod: &taken.pod,
            cluster: &self.cluster,
        };
        match schedule(&self.profiles[profile], cycle, &mut self.dice) {
            Decision::Place(placement) => {
                let of = &self.profiles[profile];
                match of.reserve(&taken.pod, &placement.node, &mut self.cluster) {
                    Ok(held) => {
                        let node = &placement.node;
                        self.cluster.put_pod(taken.pod.clone(), node, true);
                        Some(self.bind(profile, taken, placement, held))
                    }
                    Err((by, reason)) => {
                        let refusal = refuse_all(&self.cluster, by, reason, true);
                        Some(self.refuse(now, profile, taken, &refusal))
                    }
                }
            }
            Decision::Refuse(refusal) => Some(self.refuse(now, profile, taken, &refusal)),
        }
    }

    /// A pod that counts as placed is to be bound.
    fn bind(&self, profile: usize, taken: Taken, placement: Placement, held: Held) -> Step {
        let of = &self.profiles[profile];
        let errands = of.errands(&taken.pod, &placement.node, &held);
        Step::Bind {
            taken,
            placement,
            held,
            errands,
        }
    }

    /// A placement from the batch that is under way, or one that is begun because the next pod
    /// in the queue is of the same class.
    fn out_of_batch(&mut self, profile: usize, pod: &Arc<Pod>) -> Option<Placement> {
        let serves =
            |(of, batch): &(usize, Batch)| *of == profile && batch.serves(pod, &self.cluster);
        if !self.batch.as_ref().is_some_and(serves) {
            self.batch = None;
            let next = self.queue.peek()?;
            if !Arc::ptr_eq(&next.class, &pod.class) {
                return None;
            }
            let cycle = Cycle {
                pod,
                cluster: &self.cluster,
            };
            let batch = Batch::begin(&self.profiles[profile], cycle)?;
            self.batch = Some((profile, batch));
        }
        let (_, batch) = self.batch.as_mut()?;
        let (at, placement) = batch.take(&self.cluster, &mut self.dice)?;
        self.cluster.put_pod(pod.clone(), &placement.node, true);
        let cycle = Cycle {
            pod,
            cluster: &self.cluster,
        };
        batch.placed(&self.profiles[profile], cycle, at);
        Some(placement)
    }

    fn refuse(&mut self, now: Duration, profile: usize, taken: Taken, refusal: &Refusal) -> Step {
        let of = &self.profiles[profile];
        let plugins = of.names(refusal.plugins).collect();
        let mut message = refusal.message();
        let mut plan = None;
        if let Some(settings) = of.preemption.filter(|_| refusal.nodes > 0) {
            let cycle = Cycle {
                pod: &taken.pod,
                cluster: &self.cluster,
            };
            match preempt(of, settings, cycle, refusal, &mut self.dice) {
                Ok(found) => plan = Some(found),
                Err(why) => message = format!("{message}. preemption: {why}"),
            }
        }
        if refusal.nodes > 0 {
            message.push('.');
        }
        match &plan {
            Some(plan) => {
                for key in &plan.displaced {
                    self.cluster.forget_nomination(key);
                    self.queue.rouse(now, key);
                }
                self.cluster.nominate(&taken.pod, Some(&plan.node));
            }
            None => self.keep_nomination(&taken.pod, refusal),
        }
        self.queue.refused(now, &taken.pod.key, refusal.plugins);
        Step::Refuse {
            taken,
            message,
            plan,
            plugins,
        }
    }

    /// A pod that nothing can be done for waits where it waited, if that may still help.
    fn keep_nomination(&mut self, pod: &Arc<Pod>, refusal: &Refusal) {
        let node = self.cluster.nomination(&pod.key);
        let at = node.and_then(|node| self.cluster.find(node));
        if !at.is_some_and(|at| refusal.resolvable.contains(&at)) {
            self.cluster.forget_nomination(&pod.key);
        }
    }

    /// The pod is bound.
    pub fn bound(&mut self, pod: &Pod, node: &Word) {
        self.queue.remove(&pod.key);
        if let Some(profile) = self.profile(pod) {
            self.profiles[profile].bound(pod, node);
        }
    }

    /// The pod could not be bound: it is not where it was assumed to be, and has another turn.
    pub fn not_bound(&mut self, now: Duration, pod: &Pod, held: &Held) {
        if let Some(profile) = self.profile(pod) {
            self.profiles[profile].unreserve(held, &mut self.cluster);
        }
        let key = &pod.key;
        let assumed = self
            .cluster
            .whereabouts(key)
            .is_some_and(|(_, assumed)| assumed);
        if assumed && let Some(pod) = self.cluster.take_pod(key) {
            self.queue.failed(now, key);
            self.tell(now, Event::Gone(&pod));
        }
    }
}

#[cfg(test)]
mod tests;
