//! How news changes what is observed and remembered of a pod. Pure.
//!
//! Guarantees: the state of a container only moves forward; what was removed does not come back by
//! late news; a listing takes away only what was not confirmed after it began. An end is accounted
//! once per container, whoever reports it first.

mod failures;
mod merge;

use std::sync::Arc;
use std::time::Duration;

use crate::model::desired::ProbeKind;
use crate::model::memory::{Backoff, InFlight, RetryOf};
use crate::model::{
    Action, Done, Event, Key, Mono, Now, ObservedContainer, ObservedPod, ObservedSandbox,
    PodMemory, PodSpec,
};
use crate::reconcile::{Note, Policy};

/// How long removed ids are remembered.
const TOMBSTONE: Duration = Duration::from_secs(60);

/// Takes in one event. The notes are for the journal.
pub fn absorb(
    now: Now,
    spec: &PodSpec,
    observed: &mut ObservedPod,
    memory: &mut PodMemory,
    policy: &Policy,
    event: Event,
) -> Vec<Note> {
    let mut intake = Intake {
        now,
        spec,
        observed,
        memory,
        policy,
        notes: Vec::new(),
    };
    intake.take(event);
    intake.notes
}

struct Intake<'a> {
    now: Now,
    spec: &'a PodSpec,
    observed: &'a mut ObservedPod,
    memory: &'a mut PodMemory,
    policy: &'a Policy,
    notes: Vec<Note>,
}

impl Intake<'_> {
    fn take(&mut self, event: Event) {
        match event {
            Event::Done(done) => self.done(done),
            Event::Failed {
                key,
                reason,
                message,
            } => {
                let entry = self.memory.in_flight.remove(&key);
                self.hold_resources(&key);
                if let Some(entry) = entry.filter(|entry| !entry.cancelling) {
                    self.failed(&entry.action, reason, message);
                }
            }
            Event::Exited { id, exit_code, at } => self.exited(&id, exit_code, at),
            Event::Outdated => self.observed.volumes_outdated = Some(self.now.mono),
            Event::Cancelled(key) => {
                self.memory.in_flight.remove(&key);
                self.hold_resources(&key);
            }
            Event::Seen {
                sandbox,
                containers,
            } => {
                sandbox.into_iter().for_each(|s| self.see_sandbox(s));
                containers.into_iter().for_each(|c| self.see_container(c));
            }
            Event::Listed {
                since,
                sandboxes,
                containers,
            } => {
                self.listed(since, sandboxes, containers);
            }
        }
    }

    /// Something of the pod may stand on the node although setting it up did not come to its end.
    fn hold_resources(&mut self, key: &Key) {
        self.observed.resources_held |= matches!(key, Key::Cgroup | Key::Volumes);
    }

    fn done(&mut self, done: Done) {
        let entry = self.memory.in_flight.remove(&done.key());
        let since = entry.as_ref().map(|entry| entry.since);
        let unwanted = entry.as_ref().is_some_and(|entry| entry.cancelling);
        match done {
            Done::Cgroup => {
                self.observed.cgroup_ready = true;
                self.observed.resources_held = true;
                self.memory.retries.remove(&RetryOf::Cgroup);
            }
            Done::Resized { containers } => self.resized(entry, containers),
            Done::Volumes => {
                self.observed.volumes_ready = true;
                let outdated = self.observed.volumes_outdated;
                // What changed while they were set up may not be in them.
                self.observed.volumes_outdated =
                    outdated.filter(|at| since.is_none_or(|s| *at >= s));
                self.observed.resources_held = true;
                self.memory.retries.remove(&RetryOf::Volumes);
            }
            Done::TornDown { files_kept } => {
                self.observed.files_kept = files_kept;
                self.observed.cgroup_ready = false;
                self.memory.cgroup = None;
                self.observed.volumes_ready = false;
                self.observed.resources_held = false;
                self.memory.retries.remove(&RetryOf::CleanUp);
            }
            Done::Sandbox(sandbox) => {
                self.memory.retries.remove(&RetryOf::Sandbox);
                self.see_sandbox(sandbox);
            }
            Done::SandboxStopped { id } => self.sandbox_stopped(id),
            Done::SandboxRemoved { id } => {
                self.memory.retries.remove(&RetryOf::CleanUp);
                self.bury_sandbox(&id);
            }
            Done::Image {
                container,
                image_ref,
            } if !unwanted => self.image(&container, image_ref),
            Done::Image { .. } => {}
            Done::Started(container) => self.started(container),
            Done::PostStart { container, id } => {
                let mem = self.memory.container(&container);
                if mem.current_id == Some(id) {
                    mem.post_start = Some(true);
                }
            }
            Done::Killed(container) => {
                self.memory.retries.remove(&RetryOf::CleanUp);
                self.see_container(container);
            }
            Done::ContainerRemoved { container: _, id } => {
                self.memory.retries.remove(&RetryOf::CleanUp);
                self.bury_container(&id);
            }
            Done::Probe {
                container,
                id,
                kind,
                success,
                message,
            } => {
                self.probed(&container, &id, kind, success, &message);
            }
        }
    }

    /// What the action asked for is in force.
    fn resized(&mut self, entry: Option<InFlight>, containers: Vec<ObservedContainer>) {
        self.memory.retries.remove(&RetryOf::Resize);
        if let Some(Action::Resize { pod, containers }) = entry.map(|entry| entry.action) {
            self.memory.cgroup = Some(pod.to);
            for changed in containers {
                let mem = self.memory.container(&changed.container);
                if mem.current_id == Some(changed.id) {
                    mem.given = Some(changed.change.to);
                }
            }
        }
        containers.into_iter().for_each(|c| self.see_container(c));
    }

    fn sandbox_stopped(&mut self, id: Arc<str>) {
        self.memory.retries.remove(&RetryOf::CleanUp);
        let now = self.now.mono;
        for s in self.observed.sandboxes.iter_mut().filter(|s| s.id == id) {
            (s.ready, s.seen) = (false, now);
        }
        self.memory.stopped.insert(id);
    }

    fn image(&mut self, container: &Arc<str>, image_ref: Arc<str>) {
        let image = &mut self.memory.container(container).image;
        image.ready = Some(image_ref);
        image.error = None;
        image.backoff = Backoff::default();
    }

    fn started(&mut self, container: ObservedContainer) {
        let name = container.name.clone();
        self.notes.push(Note::of(
            "Started",
            &name,
            format!("Started container {name}"),
        ));
        self.see_container(container);
        let mem = self.memory.container(&name);
        mem.start_error = None;
        mem.start_retry = Backoff::default();
    }

    fn probed(
        &mut self,
        container: &Arc<str>,
        id: &Arc<str>,
        kind: ProbeKind,
        success: Option<bool>,
        message: &str,
    ) {
        let spec = self
            .spec
            .container(container)
            .and_then(|c| c.probes.get(&kind));
        let mem = self.memory.containers.get_mut(container);
        let (Some(spec), Some(mem)) = (spec, mem) else {
            return;
        };
        let current = mem.current_id.as_ref() == Some(id) && mem.ended.is_none();
        let Some(probe) = mem.probes.get_mut(&kind).filter(|_| current) else {
            return;
        };
        if let Some(success) = success {
            probe.count(success, spec);
        }
        let what = match kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        };
        let outcome = match success {
            Some(true) => return,
            Some(false) => "failed",
            None => "could not be run",
        };
        let text = format!("{what} probe {outcome}: {message}");
        self.notes
            .push(Note::of("Unhealthy", container, text).warn());
    }

    fn listed(
        &mut self,
        since: Mono,
        sandboxes: Vec<ObservedSandbox>,
        containers: Vec<ObservedContainer>,
    ) {
        sandboxes.into_iter().for_each(|s| self.see_sandbox(s));
        containers.into_iter().for_each(|c| self.see_container(c));
        self.observed.sandboxes.retain(|s| s.seen >= since);
        self.observed.containers.retain(|c| c.seen >= since);
        self.account_vanished();
        let now = self.now.mono;
        self.observed
            .removed
            .retain(|_, at| now.since(*at) < TOMBSTONE);
        let known = &self.observed.sandboxes;
        self.memory
            .stopped
            .retain(|id| known.iter().any(|s| s.id == *id));
    }
}

impl Done {
    /// The key of the action that this answers.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Cgroup | Self::Resized { .. } => Key::Cgroup,
            Self::Volumes | Self::TornDown { .. } => Key::Volumes,
            Self::Sandbox(_) | Self::SandboxStopped { .. } | Self::SandboxRemoved { .. } => {
                Key::Sandbox
            }
            Self::Image { container, .. } => Key::Image(container.clone()),
            Self::Started(c) | Self::Killed(c) => Key::Container(c.name.clone()),
            Self::ContainerRemoved { container, .. } => Key::Container(container.clone()),
            Self::PostStart { container, .. } => Key::PostStart(container.clone()),
            Self::Probe {
                container, kind, ..
            } => Key::Probe(container.clone(), *kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;
    use crate::model::{ContainerState, Life, Termination};
    use crate::reconcile::{reconcile, terminate};

    /// A pod whose every action succeeds at once.
    struct Smooth {
        spec: PodSpec,
        observed: ObservedPod,
        memory: PodMemory,
        at: u64,
    }

    impl Smooth {
        fn new(pod: serde_json::Value) -> Self {
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let spec = PodSpec::from_pod(&pod);
            Self {
                spec,
                observed: ObservedPod::default(),
                memory: PodMemory::default(),
                at: 0,
            }
        }

        fn now(&self) -> Now {
            Now {
                mono: Mono(self.at),
                wall: Timestamp::from_millisecond(1_000_000).unwrap(),
            }
        }

        /// Runs until nothing more is to be done now; the actions in their order.
        fn run(&mut self) -> Vec<String> {
            let mut done = Vec::new();
            loop {
                let (now, policy) = (self.now(), Policy::default());
                let step = reconcile(now, &self.spec, &self.observed, &mut self.memory, &policy);
                if step.actions.is_empty() {
                    return done;
                }
                let again = reconcile(now, &self.spec, &self.observed, &mut self.memory, &policy);
                assert!(again.actions.is_empty(), "not idempotent: {again:?}");
                for action in step.actions {
                    done.push(name_of(&action));
                    let event = Event::Done(self.outcome(&action));
                    let (observed, memory) = (&mut self.observed, &mut self.memory);
                    absorb(now, &self.spec, observed, memory, &policy, event);
                }
            }
        }

        fn container(&self, name: &Arc<str>, attempt: u32) -> ObservedContainer {
            ObservedContainer {
                id: format!("{name}-{attempt}").into(),
                sandbox_id: "s0".into(),
                name: name.clone(),
                attempt,
                state: ContainerState::Running,
                created_at: self.now().wall,
                started_at: Some(self.now().wall),
                finished_at: None,
                exit_code: 0,
                reason: String::new(),
                message: String::new(),
                image: "i".into(),
                image_ref: "i@sha".into(),
                stop_signal: None,
                limits: None,
                user: None,
                hash: self.spec.container(name).unwrap().hash,
                seen: Mono(self.at),
            }
        }

        fn outcome(&self, action: &Action) -> Done {
            match action.clone() {
                Action::SetUpCgroup => Done::Cgroup,
                Action::SetUpVolumes => Done::Volumes,
                Action::TearDown { keep_logs } => Done::TornDown {
                    files_kept: keep_logs,
                },
                Action::CreateSandbox { attempt } => Done::Sandbox(ObservedSandbox {
                    id: format!("s{attempt}").into(),
                    attempt,
                    ready: true,
                    ips: Vec::new(),
                    created_at: self.now().wall,
                    seen: Mono(self.at),
                }),
                Action::StopSandbox { id } => Done::SandboxStopped { id },
                Action::RemoveSandbox { id } => Done::SandboxRemoved { id },
                Action::EnsureImage { container } => Done::Image {
                    container,
                    image_ref: "i@sha".into(),
                },
                Action::StartContainer {
                    container, attempt, ..
                } => Done::Started(self.container(&container, attempt)),
                Action::KillContainer { container, id, .. } => {
                    let seen = self
                        .observed
                        .containers
                        .iter()
                        .find(|c| c.id == id)
                        .unwrap();
                    let exited = ContainerState::Exited;
                    assert_eq!(seen.name, container);
                    Done::Killed(ObservedContainer {
                        state: exited,
                        exit_code: 143,
                        ..seen.clone()
                    })
                }
                Action::RemoveContainer { container, id } => {
                    Done::ContainerRemoved { container, id }
                }
                other => panic!("not expected: {other:?}"),
            }
        }

        fn news(&mut self, event: Event) {
            let (now, policy) = (self.now(), Policy::default());
            let (observed, memory) = (&mut self.observed, &mut self.memory);
            absorb(now, &self.spec, observed, memory, &policy, event);
        }

        fn told_to_have_exited(&mut self, id: &str, exit_code: i32) {
            self.news(Event::Exited {
                id: id.into(),
                exit_code,
                at: self.now().wall,
            });
        }

        fn exits(&mut self, id: &str, exit_code: i32) {
            let seen = self
                .observed
                .containers
                .iter()
                .find(|c| &*c.id == id)
                .unwrap()
                .clone();
            let exited = ObservedContainer {
                state: ContainerState::Exited,
                exit_code,
                ..seen
            };
            self.news(Event::Seen {
                sandbox: None,
                containers: vec![exited],
            });
        }
    }

    fn name_of(action: &Action) -> String {
        let text = format!("{action:?}");
        let word = text.split([' ', '{']).next().unwrap_or_default().to_owned();
        match action {
            Action::StartContainer {
                container, attempt, ..
            } => {
                format!("Start {container} {attempt}")
            }
            Action::KillContainer { container, .. } => format!("Kill {container}"),
            _ => word,
        }
    }

    #[test]
    fn a_pod_starts_restarts_and_goes() {
        let mut pod = Smooth::new(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [{"name": "a", "image": "i:1"}]},
        }));
        assert_eq!(
            pod.run(),
            [
                "SetUpCgroup",
                "SetUpVolumes",
                "CreateSandbox",
                "EnsureImage",
                "Start a 0"
            ]
        );
        pod.exits("a-0", 1);
        assert_eq!(
            pod.run(),
            ["EnsureImage", "Start a 1"],
            "the first restart is at once"
        );
        pod.exits("a-1", 1);
        assert_eq!(
            pod.run(),
            ["RemoveContainer"],
            "the second waits; of the dead one is kept"
        );
        pod.at = 10_000;
        assert_eq!(pod.run(), ["EnsureImage", "Start a 2"]);
        let (since, grace) = (Mono(pod.at), pod.spec.grace);
        let asked = Termination {
            since,
            grace,
            failed: None,
            object_stays: false,
        };
        terminate(&mut pod.memory, asked);
        let last = [
            "Kill a",
            "StopSandbox",
            "RemoveContainer",
            "RemoveContainer",
        ];
        assert_eq!(pod.run()[..4], last);
        assert_eq!(pod.memory.life, Life::Gone);
    }

    fn one_container(policy: &str) -> Smooth {
        Smooth::new(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"restartPolicy": policy, "containers": [{"name": "a", "image": "i:1"}]},
        }))
    }

    #[test]
    fn what_starts_again_at_once_does_not_wait_for_the_runtime_to_clean_up() {
        let mut pod = one_container("Always");
        pod.run();
        pod.told_to_have_exited("a-0", 137);
        assert_eq!(pod.run(), ["EnsureImage", "Start a 1"]);
        let mut state = pod.observed.containers[0].clone();
        assert_eq!((state.exit_code, &*state.reason), (137, "Error"));
        state.reason = "OOMKilled".to_owned();
        pod.news(Event::Seen {
            sandbox: None,
            containers: vec![state],
        });
        let last = pod.memory.containers["a"].last.clone().unwrap();
        assert_eq!((&*last.id, &*last.reason), ("a-0", "OOMKilled"));
        assert_eq!(pod.memory.containers["a"].current_id, Some("a-1".into()));
        assert_eq!(pod.run(), [""; 0]);
    }

    #[test]
    fn what_does_not_start_at_once_ends_when_the_runtime_says_so() {
        let check = |policy: &str, exit_code, prepare: &dyn Fn(&mut Smooth)| {
            let mut pod = one_container(policy);
            pod.run();
            prepare(&mut pod);
            let before = (pod.observed.clone(), pod.memory.clone());
            pod.told_to_have_exited("a-0", exit_code);
            assert_eq!((pod.observed, pod.memory), before, "{policy} {exit_code}");
        };
        check("Never", 1, &|_| {});
        check("OnFailure", 0, &|_| {});
        check("Always", 1, &|pod| {
            let mem = pod.memory.container(&"a".into());
            mem.crash_backoff.delay = Duration::from_secs(10);
        });
        check("Always", 1, &|pod| {
            let (since, grace) = (Mono(pod.at), pod.spec.grace);
            let asked = Termination {
                since,
                grace,
                failed: None,
                object_stays: false,
            };
            terminate(&mut pod.memory, asked);
        });
        check("Always", 1, &|pod| {
            pod.memory.container(&"a".into()).current_id = Some("another".into());
        });
    }
}
