//! The agent as far as it matters here: it takes events in, decides, keeps checkpoints of its
//! memory and loses everything else when it dies.

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use keelson_kubelet::model::memory::Life;
use keelson_kubelet::model::{Event, ObservedPod, PodMemory, PodSpec, Termination};
use keelson_kubelet::observe::absorb;
use keelson_kubelet::reconcile::{Policy, Step, reconcile, terminate, waits};
use keelson_kubelet::status::{NodeFacts, pod_status};
use serde_json::{Value, json};

use super::clock::{Clock, Millis};
use super::rng::Rng;

/// Checkpoints that may be the newest on disk when the agent dies.
const UNSURE: usize = 3;

/// The agent's view of the pod.
pub struct Agent {
    pub pod: Pod,
    pub spec: PodSpec,
    pub observed: ObservedPod,
    pub memory: PodMemory,
    /// Which life of the agent this is.
    pub generation: u64,
    /// What the node's clocks show.
    clock: Clock,
    pub alive: bool,
    /// The pod is forgotten.
    pub forgotten: bool,
    checkpoints: VecDeque<PodMemory>,
    decisions: u64,
}

/// The pod object of a spec.
pub fn pod_of(spec: &Value, uid: u64) -> (Pod, PodSpec) {
    let pod = json!({
        "metadata": {"name": "p", "namespace": "n", "uid": format!("uid-{uid}")},
        "spec": spec,
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let spec = PodSpec::from_pod(&pod);
    (pod, spec)
}

impl Agent {
    pub fn new(spec: &Value, uid: u64, clock: Clock) -> Self {
        let (pod, spec) = pod_of(spec, uid);
        Self {
            pod,
            spec,
            observed: ObservedPod::default(),
            memory: PodMemory::default(),
            generation: 0,
            clock,
            alive: true,
            forgotten: false,
            checkpoints: VecDeque::new(),
            decisions: 0,
        }
    }

    pub fn absorb(&mut self, at: Millis, event: Event) {
        let policy = Policy::default();
        absorb(
            self.clock.moment(at),
            &self.spec,
            &mut self.observed,
            &mut self.memory,
            &policy,
            event,
        );
    }

    /// Decides, and decides again: the second time nothing must follow.
    pub fn decide(&mut self, at: Millis) -> Step {
        let (now, policy) = (self.clock.moment(at), Policy::default());
        let step = reconcile(now, &self.spec, &self.observed, &mut self.memory, &policy);
        let again = reconcile(now, &self.spec, &self.observed, &mut self.memory, &policy);
        assert!(
            again.actions.is_empty(),
            "decided twice, it wants {:?}",
            again.actions
        );
        self.decisions += 1;
        if self.decisions.is_multiple_of(16) {
            self.look(at);
        }
        self.keep_checkpoint();
        step
    }

    /// What people are told must be told without a panic, and an outcome decides the phase.
    fn look(&self, at: Millis) {
        let node = NodeFacts {
            host_ips: Vec::new(),
            runtime: "sim".into(),
            recursive_read_only: false,
        };
        let status = pod_status(
            self.clock.moment(at),
            &self.pod,
            &self.spec,
            &self.observed,
            &self.memory,
            &node,
        );
        if let Some(outcome) = &self.memory.outcome {
            let expected = if outcome.succeeded {
                "Succeeded"
            } else {
                "Failed"
            };
            assert_eq!(status.phase.as_deref(), Some(expected));
        }
        let count: i32 = status
            .container_statuses
            .iter()
            .flatten()
            .map(|c| c.restart_count)
            .sum();
        assert!(count >= 0);
        let _ = waits(
            &self.spec,
            &self.observed,
            &self.memory,
            self.clock.moment(at).mono,
        );
    }

    fn keep_checkpoint(&mut self) {
        if self.checkpoints.len() == UNSURE {
            self.checkpoints.pop_front();
        }
        self.checkpoints.push_back(self.memory.clone());
    }

    pub fn die(&mut self) {
        self.alive = false;
        self.generation += 1;
    }

    /// Comes back with what was on disk, mostly the newest.
    pub fn come_back(&mut self, at: Millis, listed: Event, rng: &mut Rng) {
        self.alive = true;
        let newest = self.checkpoints.len().saturating_sub(1);
        let kept = if rng.chance(70) {
            newest
        } else {
            usize::try_from(rng.range(0, newest as u64)).unwrap()
        };
        self.memory = match self.checkpoints.get(kept) {
            Some(memory) => {
                let stored = serde_json::to_string(memory).unwrap();
                serde_json::from_str(&stored).unwrap()
            }
            None => PodMemory::default(),
        };
        self.observed = ObservedPod {
            resources_held: true,
            ..ObservedPod::default()
        };
        self.absorb(at, listed);
    }

    /// A pod that nobody wants was found in the runtime.
    pub fn adopt_orphan(&mut self, at: Millis, listed: Event) {
        self.memory = PodMemory::default();
        self.observed = ObservedPod {
            resources_held: true,
            ..ObservedPod::default()
        };
        self.forgotten = false;
        self.stop(at, 0, None);
        self.absorb(at, listed);
    }

    pub fn stop(&mut self, at: Millis, grace: u64, reason: Option<&str>) {
        let asked = Termination {
            since: self.clock.moment(at).mono,
            grace: Duration::from_secs(grace),
            failed: reason.map(|reason| (reason.to_owned(), String::new())),
            object_stays: reason.is_some(),
        };
        terminate(&mut self.memory, asked);
    }

    pub fn is_leaving(&self) -> bool {
        matches!(self.memory.life, Life::Terminating(_) | Life::Gone)
    }
}
