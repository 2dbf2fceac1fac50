//! The pod of a case and the world around it, which an action changes only when a step says that
//! the action is done.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use keelson_kubelet::model::resources::Progress;
use keelson_kubelet::model::{
    Action, ContainerState, Done, Event, Mono, Now, ObservedContainer, ObservedPod,
    ObservedSandbox, PodMemory, PodSpec, Termination,
};
use keelson_kubelet::observe::absorb;
use keelson_kubelet::reconcile::{Note, Policy, Step, reconcile, terminate};
use serde_json::Value;

use super::words::{container, end, in_words, matches, pod_of, reason_of, state_of};
use super::{Case, Turn};

/// The pod and the world around it.
pub struct World {
    pub object: Value,
    pub pod: Pod,
    pub spec: PodSpec,
    pub observed: ObservedPod,
    pub memory: PodMemory,
    pub now: f64,
    pub sandboxes: Vec<ObservedSandbox>,
    pub containers: Vec<ObservedContainer>,
    pub notes: Vec<Note>,
}

pub fn policy() -> Policy {
    Policy::default()
}

impl World {
    pub fn new(case: &Case) -> Self {
        let (pod, spec) = pod_of(&case.object, &case.pod);
        Self {
            object: case.object.clone(),
            pod,
            spec,
            observed: ObservedPod::default(),
            memory: PodMemory::default(),
            now: 0.0,
            sandboxes: Vec::new(),
            containers: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn mono(&self) -> Mono {
        // The boot was an hour before the beginning.
        Mono(3_600_000) + Duration::from_secs_f64(self.now)
    }

    pub fn now(&self) -> Now {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let wall = start + SignedDuration::from_secs_f64(self.now);
        Now {
            mono: self.mono(),
            wall,
        }
    }

    pub fn absorb(&mut self, event: Event) {
        let (now, policy) = (self.now(), policy());
        let notes = absorb(
            now,
            &self.spec,
            &mut self.observed,
            &mut self.memory,
            &policy,
            event,
        );
        self.notes.extend(notes);
    }

    pub fn list(&mut self) {
        let since = self.mono() + Duration::from_millis(1);
        let seen = |s: &ObservedSandbox| ObservedSandbox {
            seen: since,
            ..s.clone()
        };
        let sandboxes = self.sandboxes.iter().map(seen).collect();
        let seen = |c: &ObservedContainer| ObservedContainer {
            seen: since,
            ..c.clone()
        };
        let containers = self.containers.iter().map(seen).collect();
        self.absorb(Event::Listed {
            since,
            sandboxes,
            containers,
        });
    }

    pub fn restart_agent(&mut self) {
        let stored = serde_json::to_string(&self.memory).unwrap();
        self.memory = serde_json::from_str(&stored).unwrap();
        self.observed = ObservedPod {
            resources_held: true,
            ..ObservedPod::default()
        };
        self.list();
    }

    pub fn happen(&mut self, turn: &Turn) {
        self.now = turn.at.unwrap_or(self.now);
        if let Some(edited) = &turn.edit {
            let before = self.spec.resources;
            (self.pod, self.spec) = pod_of(&self.object, edited);
            if self.spec.resources != before {
                self.memory.resize.progress = Some(Progress {
                    about: "{\"generation\":1".to_owned(),
                    generation: Some(1),
                    since: self.now().wall,
                    error: None,
                });
            }
        }
        for (name, attempt, sandbox) in &turn.half_made {
            let (name, sandbox) = (name.as_str().into(), sandbox.as_str().into());
            self.started(&name, *attempt, &sandbox);
            let c = self.containers.last_mut().unwrap();
            (c.state, c.started_at) = (ContainerState::Created, None);
            c.id = format!("half-{}", c.id).into();
        }
        if turn.restart_agent {
            self.restart_agent();
        }
        turn.done.iter().for_each(|action| self.done(action));
        for (action, (reason, message)) in &turn.fail {
            let key = self.under_way(action).key();
            let (reason, message) = (reason_of(reason), message.clone());
            self.absorb(Event::Failed {
                key,
                reason,
                message,
            });
        }
        for action in &turn.cancelled {
            let key = self.under_way(action).key();
            self.list();
            self.absorb(Event::Cancelled(key));
        }
        turn.probes
            .iter()
            .for_each(|(probe, answer)| self.answer(probe, *answer));
        turn.exits
            .iter()
            .for_each(|(id, code)| self.exits(id, *code));
        for (id, state) in &turn.states {
            self.change(id, |c| c.state = state_of(state));
        }
        for id in &turn.sandboxes_die {
            let seen = self.mono();
            let sandbox = self.sandboxes.iter_mut().find(|s| *s.id == **id).unwrap();
            (sandbox.ready, sandbox.seen) = (false, seen);
            let sandbox = Some(sandbox.clone());
            self.absorb(Event::Seen {
                sandbox,
                containers: Vec::new(),
            });
        }
        if !turn.vanish.is_empty() {
            self.sandboxes
                .retain(|s| !turn.vanish.iter().any(|id| *s.id == **id));
            self.containers
                .retain(|c| !turn.vanish.iter().any(|id| *c.id == **id));
            self.list();
        }
        self.strange_news(turn);
        if let Some(stop) = &turn.terminate {
            let failed = stop
                .reason
                .clone()
                .map(|reason| (reason, "asked for".to_owned()));
            let asked = Termination {
                since: self.mono(),
                grace: Duration::from_secs(stop.grace),
                object_stays: failed.is_some(),
                failed,
            };
            terminate(&mut self.memory, asked);
        }
    }

    /// Containers that the agent did not start, and news that come late.
    pub fn strange_news(&mut self, turn: &Turn) {
        for (name, attempt, sandbox) in &turn.appear {
            let c = self.started(&name.as_str().into(), *attempt, &sandbox.as_str().into());
            self.absorb(Event::Seen {
                sandbox: None,
                containers: vec![c],
            });
        }
        for id in &turn.late_news_of {
            let (name, attempt) = id.split_once('#').unwrap();
            let attempt = attempt.parse().unwrap();
            let late = container(self.now(), &self.spec, name, attempt, "s0");
            self.absorb(Event::Seen {
                sandbox: None,
                containers: vec![late],
            });
        }
    }

    pub fn under_way(&self, text: &str) -> Action {
        let mut entries = self.memory.in_flight.values();
        let found = entries.find(|entry| matches(&entry.action, text));
        let all: Vec<String> = self
            .memory
            .in_flight
            .values()
            .map(|entry| in_words(&entry.action))
            .collect();
        found
            .unwrap_or_else(|| panic!("{text:?} is not under way: {all:?}"))
            .action
            .clone()
    }

    /// An action that is under way changes the world and is answered.
    pub fn done(&mut self, text: &str) {
        let action = self.under_way(text);
        let done = self.perform(action);
        self.absorb(Event::Done(done));
    }

    pub fn perform(&mut self, action: Action) -> Done {
        match action {
            Action::SetUpCgroup => Done::Cgroup,
            Action::Resize { containers, .. } => {
                let of = |id: &Arc<str>| self.containers.iter().find(|c| c.id == *id).cloned();
                let containers = containers.iter().filter_map(|one| of(&one.id)).collect();
                Done::Resized { containers }
            }
            Action::SetUpVolumes => Done::Volumes,
            Action::TearDown { keep_logs } => Done::TornDown {
                files_kept: keep_logs,
            },
            Action::CreateSandbox { attempt } => Done::Sandbox(self.sandbox(attempt)),
            Action::StopSandbox { id } => {
                self.sandboxes
                    .iter_mut()
                    .filter(|s| s.id == id)
                    .for_each(|s| s.ready = false);
                Done::SandboxStopped { id }
            }
            Action::RemoveSandbox { id } => {
                self.sandboxes.retain(|s| s.id != id);
                Done::SandboxRemoved { id }
            }
            Action::EnsureImage { container } => Done::Image {
                container,
                image_ref: "sha256:1".into(),
            },
            Action::StartContainer {
                container,
                attempt,
                sandbox,
                ..
            } => Done::Started(self.started(&container, attempt, &sandbox)),
            Action::RunPostStart { container, id } => Done::PostStart { container, id },
            Action::KillContainer { id, .. } => {
                let now = self.now();
                let c = self.containers.iter_mut().find(|c| c.id == id).unwrap();
                end(c, now, 143);
                Done::Killed(c.clone())
            }
            Action::RemoveContainer { container, id } => {
                self.containers.retain(|c| c.id != id);
                Done::ContainerRemoved { container, id }
            }
            Action::RunProbe {
                container,
                id,
                kind,
            } => Done::Probe {
                container,
                id,
                kind,
                success: Some(true),
                message: String::new(),
            },
            Action::Cancel(key) => panic!("a cancel is not under way: {key:?}"),
        }
    }

    pub fn sandbox(&mut self, attempt: u32) -> ObservedSandbox {
        let sandbox = ObservedSandbox {
            id: format!("s{attempt}").into(),
            attempt,
            ready: true,
            ips: vec![format!("10.0.0.{}", attempt + 1).parse().unwrap()],
            created_at: self.now().wall,
            seen: self.mono(),
        };
        self.sandboxes.push(sandbox.clone());
        sandbox
    }

    pub fn started(
        &mut self,
        name: &Arc<str>,
        attempt: u32,
        sandbox: &Arc<str>,
    ) -> ObservedContainer {
        let c = container(self.now(), &self.spec, name, attempt, sandbox);
        self.containers.push(c.clone());
        c
    }

    pub fn answer(&mut self, probe: &str, success: Option<bool>) {
        let action = self.under_way(&format!("RunProbe {probe}"));
        let Action::RunProbe {
            container,
            id,
            kind,
        } = action
        else {
            panic!("{probe}")
        };
        let message = "HTTP probe failed with statuscode: 500".to_owned();
        self.absorb(Event::Done(Done::Probe {
            container,
            id,
            kind,
            success,
            message,
        }));
    }

    pub fn exits(&mut self, id: &str, code: i32) {
        let now = self.now();
        self.change(id, |c| end(c, now, code));
    }

    pub fn change(&mut self, id: &str, how: impl FnOnce(&mut ObservedContainer)) {
        let seen = self.mono();
        let c = self.containers.iter_mut().find(|c| *c.id == *id);
        let c = c.unwrap_or_else(|| panic!("no container {id}"));
        how(c);
        c.seen = seen;
        let containers = vec![c.clone()];
        self.absorb(Event::Seen {
            sandbox: None,
            containers,
        });
    }

    pub fn reconcile(&mut self) -> Step {
        let (now, policy) = (self.now(), policy());
        let step = reconcile(now, &self.spec, &self.observed, &mut self.memory, &policy);
        let again = reconcile(now, &self.spec, &self.observed, &mut self.memory, &policy);
        assert!(
            again.actions.is_empty(),
            "called again it wants {:?}",
            again.actions
        );
        assert_eq!(
            again.wake_at, step.wake_at,
            "called again it wakes at another time"
        );
        step
    }

    pub fn settle(&mut self) -> Step {
        for _ in 0..200 {
            let step = self.reconcile();
            self.notes.extend(step.notes.clone());
            let Some(entry) = self.memory.in_flight.values().next() else {
                return step;
            };
            let (action, cancelling) = (entry.action.clone(), entry.cancelling);
            if cancelling {
                self.list();
                self.absorb(Event::Cancelled(action.key()));
            } else {
                let done = self.perform(action);
                self.absorb(Event::Done(done));
            }
        }
        panic!("it does not settle: {:?}", self.memory.in_flight);
    }
}
