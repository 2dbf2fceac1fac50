//! Runs every case of `scenarios/*.yaml` against the pure pod state machine.
//!
//! A case is a pod and a list of steps. A step moves the clock, lets things happen and says what
//! must follow. The world behind it is a list of sandboxes and containers; an action changes it
//! only when a step says that the action is done. After each step the reconciler is called twice:
//! the second call must have nothing to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use keelson_kubelet::model::{
    Action, ContainerState, Done, Event, FailReason, Key, Mono, Now, ObservedContainer,
    ObservedPod, ObservedSandbox, PodMemory, PodSpec, ProbeKind, Termination,
};
use keelson_kubelet::observe::absorb;
use keelson_kubelet::reconcile::{Note, Policy, Step, reconcile, terminate, waits};
use keelson_kubelet::status::{NodeFacts, pod_status};
use serde::Deserialize;
use serde_json::Value;

/// A pod and what happens to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `spec` of the pod.
    pod: Value,
    /// More of the object, such as `metadata` or `status`.
    #[serde(default)]
    object: Value,
    steps: Vec<Turn>,
}

/// One step: first what happens, in the order of these fields, then what must follow.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Turn {
    /// Seconds since the beginning.
    at: Option<f64>,
    /// A new `spec` of the pod.
    edit: Option<Value>,
    /// The agent dies and comes back: what is under way and observed is lost, the pod is listed.
    restart_agent: bool,
    /// Actions that end well.
    done: Vec<String>,
    /// Actions that fail: action, reason and message.
    fail: BTreeMap<String, (String, String)>,
    /// Actions that were given up.
    cancelled: Vec<String>,
    /// Probes that answer: `a Readiness` -> `true`, `false` or `null`.
    probes: BTreeMap<String, Option<bool>>,
    /// Processes that end: container -> exit code.
    exits: BTreeMap<String, i32>,
    /// Containers that change their state in the world.
    states: BTreeMap<String, String>,
    /// Sandboxes that stop being ready.
    sandboxes_die: Vec<String>,
    /// What somebody removed behind the agent's back: containers or sandboxes; a listing follows.
    vanish: Vec<String>,
    /// Containers that somebody else started: name, attempt, sandbox.
    appear: Vec<(String, u32, String)>,
    /// Containers that were created and not started: name, attempt, sandbox.
    half_made: Vec<(String, u32, String)>,
    /// Late news of containers as they were when they ran.
    late_news_of: Vec<String>,
    /// The pod is to stop.
    terminate: Option<Stop>,
    /// Lets every action end well, over and over, until nothing is to be done.
    settle: bool,
    /// Exactly these actions, in this order.
    expect: Option<Vec<String>>,
    /// Actions that must be among those emitted.
    expect_some: Vec<String>,
    /// Notes that must be there, as `Reason: part of the message`.
    notes: Vec<String>,
    /// Reasons of notes that must not be there.
    no_notes: Vec<String>,
    /// Seconds since the beginning of the next call; -1 for none.
    wake: Option<f64>,
    /// Parts of the status.
    status: Option<Value>,
    /// Parts of what the pod waits for.
    waits: Vec<String>,
    /// `Wanted`, `Finished`, `Terminating`, `Gone`.
    life: Option<String>,
}

/// A request to stop.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    grace: u64,
    #[serde(default)]
    reason: Option<String>,
}

/// The pod and the world around it.
struct World {
    object: Value,
    pod: Pod,
    spec: PodSpec,
    observed: ObservedPod,
    memory: PodMemory,
    now: f64,
    sandboxes: Vec<ObservedSandbox>,
    containers: Vec<ObservedContainer>,
    notes: Vec<Note>,
}

fn policy() -> Policy {
    Policy::default()
}

impl World {
    fn new(case: &Case) -> Self {
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

    fn mono(&self) -> Mono {
        // The boot was an hour before the beginning.
        Mono(3_600_000) + Duration::from_secs_f64(self.now)
    }

    fn now(&self) -> Now {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let wall = start + SignedDuration::from_secs_f64(self.now);
        Now {
            mono: self.mono(),
            wall,
        }
    }

    fn absorb(&mut self, event: Event) {
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

    fn list(&mut self) {
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

    fn restart_agent(&mut self) {
        let stored = serde_json::to_string(&self.memory).unwrap();
        self.memory = serde_json::from_str(&stored).unwrap();
        self.observed = ObservedPod {
            resources_held: true,
            ..ObservedPod::default()
        };
        self.list();
    }

    fn happen(&mut self, turn: &Turn) {
        self.now = turn.at.unwrap_or(self.now);
        if let Some(edited) = &turn.edit {
            (self.pod, self.spec) = pod_of(&self.object, edited);
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
    fn strange_news(&mut self, turn: &Turn) {
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

    fn under_way(&self, text: &str) -> Action {
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
    fn done(&mut self, text: &str) {
        let action = self.under_way(text);
        let done = self.perform(action);
        self.absorb(Event::Done(done));
    }

    fn perform(&mut self, action: Action) -> Done {
        match action {
            Action::SetUpCgroup => Done::Cgroup,
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

    fn sandbox(&mut self, attempt: u32) -> ObservedSandbox {
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

    fn started(&mut self, name: &Arc<str>, attempt: u32, sandbox: &Arc<str>) -> ObservedContainer {
        let c = container(self.now(), &self.spec, name, attempt, sandbox);
        self.containers.push(c.clone());
        c
    }

    fn answer(&mut self, probe: &str, success: Option<bool>) {
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

    fn exits(&mut self, id: &str, code: i32) {
        let now = self.now();
        self.change(id, |c| end(c, now, code));
    }

    fn change(&mut self, id: &str, how: impl FnOnce(&mut ObservedContainer)) {
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

    fn reconcile(&mut self) -> Step {
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

    fn settle(&mut self) -> Step {
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

    fn check(&mut self, turn: &Turn) {
        let step = if turn.settle {
            self.settle()
        } else {
            self.reconcile()
        };
        self.notes.extend(step.notes.clone());
        let actions: Vec<String> = step.actions.iter().map(in_words).collect();
        if let Some(expected) = &turn.expect {
            let same = actions.len() == expected.len()
                && step
                    .actions
                    .iter()
                    .zip(expected)
                    .all(|(a, text)| matches(a, text));
            assert!(
                same,
                "actions\n  {actions:#?}\nbut expected\n  {expected:#?}"
            );
        }
        for text in &turn.expect_some {
            let found = step.actions.iter().any(|a| matches(a, text));
            assert!(found, "no {text:?} among {actions:#?}");
        }
        self.check_notes(turn);
        if let Some(wake) = turn.wake {
            let start = Mono(3_600_000);
            let seconds = step
                .wake_at
                .map_or(-1.0, |at| at.since(start).as_secs_f64());
            assert!(
                (seconds - wake).abs() < 0.01,
                "wakes at {seconds}, not at {wake}"
            );
        }
        if let Some(expected) = &turn.status {
            self.check_status(expected);
        }
        self.check_waits(&turn.waits);
        if let Some(life) = &turn.life {
            let is = format!("{:?}", self.memory.life);
            assert!(is.starts_with(life.as_str()), "life is {is}, not {life}");
        }
    }

    fn check_notes(&mut self, turn: &Turn) {
        let notes: Vec<String> = self
            .notes
            .drain(..)
            .map(|n| format!("{}: {}", n.reason, n.message))
            .collect();
        for expected in &turn.notes {
            let (reason, part) = expected.split_once(": ").unwrap_or((expected, ""));
            let fits = |n: &&String| n.starts_with(&format!("{reason}: ")) && n.contains(part);
            assert!(
                notes.iter().any(|n| fits(&n)),
                "no note {expected:?} in {notes:#?}"
            );
        }
        for reason in &turn.no_notes {
            let found = notes.iter().find(|n| n.starts_with(&format!("{reason}: ")));
            assert!(found.is_none(), "unexpected note {found:?}");
        }
    }

    fn check_status(&self, expected: &Value) {
        let node = NodeFacts {
            host_ips: vec!["192.168.0.1".parse().unwrap()],
            runtime: "containerd".into(),
            recursive_read_only: false,
        };
        let status = pod_status(
            self.now(),
            &self.pod,
            &self.spec,
            &self.observed,
            &self.memory,
            &node,
        );
        let status = serde_json::to_value(&status).unwrap();
        let mut wrong = String::new();
        differences("status", &status, expected, &mut wrong);
        let all = serde_json::to_string_pretty(&status).unwrap();
        assert!(wrong.is_empty(), "{wrong}in {all}");
    }

    fn check_waits(&self, expected: &[String]) {
        let waits = waits(&self.spec, &self.observed, &self.memory, self.mono());
        let text: Vec<String> = waits
            .iter()
            .map(|w| format!("{} {}", w.container.as_deref().unwrap_or("pod"), w.what))
            .collect();
        for part in expected {
            assert!(
                text.iter().any(|t| t.contains(part.as_str())),
                "no {part:?} in {text:#?}"
            );
        }
    }
}

fn pod_of(object: &Value, spec: &Value) -> (Pod, PodSpec) {
    let mut value = serde_json::json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 1},
    });
    for (field, more) in object.as_object().into_iter().flatten() {
        value[field] = more.clone();
    }
    value["spec"] = spec.clone();
    let pod: Pod = serde_json::from_value(value).unwrap();
    let spec = PodSpec::from_pod(&pod);
    (pod, spec)
}

fn container(
    now: Now,
    spec: &PodSpec,
    name: &str,
    attempt: u32,
    sandbox: &str,
) -> ObservedContainer {
    ObservedContainer {
        id: format!("{name}#{attempt}").into(),
        sandbox_id: sandbox.into(),
        name: name.into(),
        attempt,
        state: ContainerState::Running,
        created_at: now.wall,
        started_at: Some(now.wall),
        finished_at: None,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        image: spec
            .container(name)
            .map_or("other".into(), |c| c.image.clone()),
        image_ref: "sha256:1".into(),
        stop_signal: None,
        user: None,
        hash: spec.container(name).map_or(0, |c| c.hash),
        seen: now.mono,
    }
}

fn end(c: &mut ObservedContainer, now: Now, code: i32) {
    c.state = ContainerState::Exited;
    c.exit_code = code;
    c.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
    c.finished_at = Some(now.wall);
    c.seen = now.mono;
}

fn state_of(word: &str) -> ContainerState {
    match word {
        "Created" => ContainerState::Created,
        "Unknown" => ContainerState::Unknown,
        other => panic!("no state {other}"),
    }
}

fn reason_of(word: &str) -> FailReason {
    match word {
        "Cgroup" => FailReason::Cgroup,
        "Mount" => FailReason::Mount,
        "TearDown" => FailReason::TearDown,
        "Sandbox" => FailReason::Sandbox,
        "KillPod" => FailReason::KillPod,
        "ErrImagePull" => FailReason::ErrImagePull,
        "ErrImageNeverPull" => FailReason::ErrImageNeverPull,
        "InvalidImageName" => FailReason::InvalidImageName,
        "CreateContainerConfigError" => FailReason::CreateContainerConfigError,
        "CreateContainerError" => FailReason::CreateContainerError,
        "RunContainerError" => FailReason::RunContainerError,
        "PostStartHook" => FailReason::PostStartHook,
        "KillContainer" => FailReason::KillContainer,
        "RemoveContainer" => FailReason::RemoveContainer,
        "RuntimeUnavailable" => FailReason::RuntimeUnavailable,
        other => panic!("no reason {other}"),
    }
}

/// `StartContainer a#1 in s0`, `KillContainer a#0 grace 30s preStop Liveness`, ...
fn in_words(action: &Action) -> String {
    let probe = |kind: &ProbeKind| format!("{kind:?}");
    match action {
        Action::SetUpCgroup => "SetUpCgroup".to_owned(),
        Action::SetUpVolumes => "SetUpVolumes".to_owned(),
        Action::TearDown { keep_logs: true } => "TearDown keep logs".to_owned(),
        Action::TearDown { keep_logs: false } => "TearDown all".to_owned(),
        Action::CreateSandbox { attempt } => format!("CreateSandbox s{attempt}"),
        Action::StopSandbox { id } => format!("StopSandbox {id}"),
        Action::RemoveSandbox { id } => format!("RemoveSandbox {id}"),
        Action::EnsureImage { container } => format!("EnsureImage {container}"),
        Action::StartContainer {
            container,
            attempt,
            sandbox,
            ..
        } => {
            format!("StartContainer {container}#{attempt} in {sandbox}")
        }
        Action::RunPostStart { id, .. } => format!("RunPostStart {id}"),
        Action::KillContainer {
            id,
            grace,
            pre_stop,
            reason,
            ..
        } => {
            let hook = if *pre_stop { " preStop" } else { "" };
            format!(
                "KillContainer {id} grace {}s{hook} {reason:?}",
                grace.as_secs_f64()
            )
        }
        Action::RemoveContainer { id, .. } => format!("RemoveContainer {id}"),
        Action::RunProbe {
            container, kind, ..
        } => format!("RunProbe {container} {}", probe(kind)),
        Action::Cancel(key) => format!("Cancel {}", key_in_words(key)),
    }
}

fn key_in_words(key: &Key) -> String {
    match key {
        Key::Image(name) => format!("Image {name}"),
        Key::Container(name) => format!("Container {name}"),
        Key::PostStart(name) => format!("PostStart {name}"),
        Key::Probe(name, kind) => format!("Probe {name} {kind:?}"),
        other => format!("{other:?}"),
    }
}

/// The text is the beginning of the action's words, word by word.
fn matches(action: &Action, text: &str) -> bool {
    let words = in_words(action);
    words == text
        || words
            .strip_prefix(text)
            .is_some_and(|rest| rest.starts_with([' ', '#']))
}

/// Every field of `expected` must be in `is`; lists must have the same length; `null` means that
/// the field is absent.
fn differences(path: &str, is: &Value, expected: &Value, wrong: &mut String) {
    match (is, expected) {
        (_, Value::Object(fields)) => {
            for (name, value) in fields {
                let inner = is.get(name).unwrap_or(&Value::Null);
                differences(&format!("{path}.{name}"), inner, value, wrong);
            }
        }
        (Value::Array(a), Value::Array(b)) if path.ends_with("conditions") => {
            for wanted in b {
                let same = |c: &&Value| c["type"] == wanted["type"];
                let found = a.iter().find(same).unwrap_or(&Value::Null);
                differences(&format!("{path}[{}]", wanted["type"]), found, wanted, wrong);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, wrong);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let _ = writeln!(wrong, "{path} is {a}, not {b}");
        }
    }
}

/// Runs one case; says where and why it fails.
fn run(case: &Case) -> Result<(), String> {
    let mut world = World::new(case);
    for (i, turn) in case.steps.iter().enumerate() {
        let step = std::panic::AssertUnwindSafe(|| {
            world.happen(turn);
            world.check(turn);
        });
        std::panic::catch_unwind(step).map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            format!("{:?}, step {}: {said}", case.name, i + 1)
        })?;
    }
    Ok(())
}

fn cases_of(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_scenario() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut count, mut failures) = (0, String::new());
    for file in &files {
        for case in cases_of(file) {
            count += 1;
            if let Err(why) = run(&case) {
                let _ = writeln!(failures, "{}: {why}\n", file.display());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(count >= 50, "only {count} cases were found");
}
