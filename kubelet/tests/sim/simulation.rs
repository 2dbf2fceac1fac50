//! One run: a queue of things to come, calls under way, faults while the storm lasts, and the rest
//! that must follow it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use keelson_kubelet::model::memory::Life;
use keelson_kubelet::model::{
    Action, ContainerState, Done, Event, FailReason, Key, ObservedContainer, Role,
};
use serde_json::Value;

use super::agent::{Agent, pod_of};
use super::checks::Checks;
use super::pods;
use super::rng::Rng;
use super::world::{Millis, World};

/// How long a pod may take to come to rest after everything calmed down.
const PATIENCE: Millis = 40 * 60 * 1000;
/// How often its rest is looked at, and how many looks in a row must find it.
const LOOK: Millis = 10_000;
const LOOKS: u32 = 4;

/// Something to come.
enum Ev {
    /// A process ends by itself.
    Ends {
        id: Arc<str>,
        code: i32,
    },
    /// A stop signal reaches a process.
    Signal {
        call: u64,
        id: Arc<str>,
    },
    /// The grace of a kill is over.
    Kill {
        call: u64,
        id: Arc<str>,
    },
    /// A call goes on.
    Step {
        call: u64,
    },
    /// News for the agent of that generation; with a listing made on arrival.
    Deliver {
        generation: u64,
        events: Vec<Event>,
        list: bool,
    },
    Wake {
        generation: u64,
    },
    Audit,
    Storm(Storm),
    Calm,
    Look,
}

/// Something that happens to the pod.
#[derive(Clone, Copy, Debug)]
enum Storm {
    AgentDies,
    AgentStarts,
    RuntimeGoes,
    RuntimeComes,
    SandboxDies,
    TrackLost,
    OutOfMemory,
    Edit,
    Delete(u64),
    Evict,
}

/// How a call will end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Well,
    /// It fails and has done nothing.
    Refused,
    /// It does its work and the answer is lost.
    AnswerLost,
    /// Nothing for a long time, then as if the answer were lost.
    Hangs,
    /// A container is made but cannot be started.
    StartFails,
    Unavailable,
}

/// What becomes of the account of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Voice {
    Silent,
    /// Two runs can be compared by it.
    Hashed,
    Loud,
}

struct Call {
    action: Action,
    generation: u64,
    fate: Fate,
    /// The container that a start has created.
    created: Option<Arc<str>>,
    /// Nobody waits for it any more.
    ghost: bool,
}

pub struct Simulation {
    rng: Rng,
    voice: Voice,
    now: Millis,
    queue: BTreeMap<(Millis, u64), Ev>,
    sequence: u64,
    world: World,
    agent: Agent,
    calls: BTreeMap<u64, Call>,
    checks: Checks,
    spec: Value,
    seed: u64,
    calm_since: Option<Millis>,
    deleted: Option<u64>,
    /// Actions other than probes since the last look.
    busy: bool,
    rested: u32,
    hash: DefaultHasher,
}

impl Simulation {
    pub fn new(seed: u64, voice: Voice) -> Self {
        let mut rng = Rng::new(seed);
        let spec = pods::random_spec(&mut rng);
        let world = World::new();
        let mut simulation = Self {
            agent: Agent::new(&spec, seed),
            rng,
            voice,
            now: 1_000,
            queue: BTreeMap::new(),
            sequence: 0,
            world,
            calls: BTreeMap::new(),
            checks: Checks::default(),
            spec,
            seed,
            calm_since: None,
            deleted: None,
            busy: false,
            rested: 0,
            hash: DefaultHasher::new(),
        };
        simulation.plan();
        simulation
    }

    /// Fixes what will happen.
    fn plan(&mut self) {
        let calm = self.rng.range(10, 300) * 1_000;
        self.push(calm, Ev::Calm);
        self.push(0, Ev::Wake { generation: 0 });
        self.push(60_000, Ev::Audit);
        for _ in 0..self.rng.pick(&[0, 1, 3, 6, 12]) {
            let at = self.rng.range(0, calm);
            let grace = self.rng.pick(&[0, 1, 5, 30]);
            let what = self.rng.pick(&[
                Storm::AgentDies,
                Storm::AgentDies,
                Storm::AgentDies,
                Storm::RuntimeGoes,
                Storm::SandboxDies,
                Storm::TrackLost,
                Storm::OutOfMemory,
                Storm::OutOfMemory,
                Storm::Edit,
                Storm::Delete(grace),
                Storm::Evict,
            ]);
            self.push(at, Ev::Storm(what));
        }
        if self.rng.chance(50) {
            let grace = self.rng.pick(&[0, 5, 30]);
            self.push(calm + 1_000, Ev::Storm(Storm::Delete(grace)));
        }
    }

    fn push(&mut self, after: Millis, event: Ev) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), event);
    }

    fn calm(&self) -> bool {
        self.calm_since.is_some()
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        match self.voice {
            Voice::Silent => {}
            Voice::Hashed => (self.now, text()).hash(&mut self.hash),
            Voice::Loud => println!("{:>9} {}", self.now, text()),
        }
    }

    pub fn trace_hash(&self) -> u64 {
        self.hash.finish()
    }

    pub fn run(&mut self) {
        let spec = self.spec.to_string();
        self.tell(|| spec);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.take(event);
            Checks::world(&self.world);
            if self.rested >= LOOKS {
                return;
            }
        }
        panic!("nothing is left to happen");
    }

    fn take(&mut self, event: Ev) {
        match event {
            Ev::Ends { id, code } => self.ends(&id, code),
            Ev::Signal { call, id } => {
                let heeds = self.world.container(&id).and_then(|c| c.heeds);
                if let (true, Some(after)) = (self.calls.contains_key(&call), heeds) {
                    self.push(after, Ev::Ends { id, code: 143 });
                }
            }
            Ev::Kill { call, id } => {
                if self.calls.contains_key(&call) {
                    self.ends(&id, 137);
                }
            }
            Ev::Step { call } => self.step(call),
            Ev::Deliver {
                generation,
                events,
                list,
            } => self.deliver(generation, events, list),
            Ev::Wake { generation } if generation == self.agent.generation => self.decide(),
            Ev::Wake { .. } => {}
            Ev::Audit => self.audit(),
            Ev::Storm(storm) => self.storm(storm),
            Ev::Calm => {
                self.tell(|| "calm".to_owned());
                self.calm_since = Some(self.now);
                self.push(LOOK, Ev::Look);
                self.storm(Storm::RuntimeComes);
                if !self.agent.alive {
                    self.storm(Storm::AgentStarts);
                }
            }
            Ev::Look => self.look(),
        }
    }

    // ---- what happens to the pod ----

    fn storm(&mut self, storm: Storm) {
        self.tell(|| format!("storm {storm:?}"));
        match storm {
            Storm::AgentDies if self.agent.alive => self.agent_dies(),
            Storm::AgentStarts if !self.agent.alive => self.agent_starts(),
            Storm::RuntimeGoes if !self.calm() => {
                self.world.up = false;
                let back = self.rng.range(100, 60_000);
                self.push(back, Ev::Storm(Storm::RuntimeComes));
            }
            Storm::RuntimeComes => {
                self.world.up = true;
                self.decide();
            }
            Storm::SandboxDies => self.sandbox_dies(),
            Storm::TrackLost => {
                let live = self.world.containers.iter_mut().find(|c| c.runs());
                if let Some(c) = live {
                    c.state = ContainerState::Unknown;
                    let id = c.id.clone();
                    self.checks.lost.insert(id.clone());
                    self.event_of(&id);
                }
            }
            Storm::OutOfMemory => {
                let live: Vec<Arc<str>> = self
                    .world
                    .containers
                    .iter()
                    .filter(|c| c.runs())
                    .map(|c| c.id.clone())
                    .collect();
                if !live.is_empty() {
                    let id = self.rng.pick(&live);
                    self.ends(&id, 137);
                }
            }
            Storm::Edit if self.deleted.is_none() => {
                pods::edit(&mut self.rng, &mut self.spec, self.now);
                (self.agent.pod, self.agent.spec) = pod_of(&self.spec, self.seed);
                self.decide();
            }
            Storm::Delete(grace) => {
                self.deleted = Some(self.deleted.map_or(grace, |before| before.min(grace)));
                if self.agent.alive && !self.agent.forgotten {
                    self.agent.stop(self.now, grace, None);
                    self.decide();
                }
            }
            Storm::Evict if self.agent.alive && !self.agent.forgotten => {
                self.agent.stop(self.now, 1, Some("Evicted"));
                self.decide();
            }
            _ => {}
        }
    }

    fn agent_dies(&mut self) {
        self.agent.die();
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.abandon(call);
        }
        let back = self.rng.pick(&[1, 50, 1_000, 20_000, 120_000]);
        let back = if self.calm() { back.min(1_000) } else { back };
        self.push(back, Ev::Storm(Storm::AgentStarts));
    }

    fn agent_starts(&mut self) {
        if !self.world.up {
            self.push(500, Ev::Storm(Storm::AgentStarts));
            return;
        }
        let listed = self.world.list(self.now);
        let was_gone = self.agent.forgotten;
        self.agent.come_back(self.now, listed, &mut self.rng);
        if self.deleted.is_some() && (was_gone || self.agent.memory.life == Life::Gone) {
            self.agent.forgotten = true;
            return;
        }
        if let Some(grace) = self.deleted {
            self.agent.stop(self.now, grace, None);
        }
        self.decide();
    }

    fn sandbox_dies(&mut self) {
        let Some(s) = self.world.sandboxes.iter_mut().find(|s| s.ready) else {
            return;
        };
        s.ready = false;
        let (id, seen) = (s.id.clone(), s.seen(self.now));
        let inside: Vec<Arc<str>> = self.inside(&id);
        for c in inside {
            if self.rng.chance(70) {
                self.ends(&c, 137);
            }
        }
        self.news(Event::Seen {
            sandbox: Some(seen),
            containers: Vec::new(),
        });
    }

    fn inside(&self, sandbox: &Arc<str>) -> Vec<Arc<str>> {
        let live = self
            .world
            .containers
            .iter()
            .filter(|c| c.runs() && c.sandbox == *sandbox);
        live.map(|c| c.id.clone()).collect()
    }

    // ---- processes ----

    fn is_init(&self, name: &str) -> bool {
        self.agent
            .spec
            .container(name)
            .is_some_and(|c| c.role == Role::Init)
    }

    fn ends(&mut self, id: &Arc<str>, code: i32) {
        let Some(c) = self.world.container(id) else {
            return;
        };
        let init = self.is_init(&c.name);
        if !self.world.end(id, code, self.now, init) {
            return;
        }
        self.tell(|| format!("{id} ends with {code}"));
        self.event_of(id);
        let kills = self.calls.iter().filter(|(_, call)| {
            matches!(&call.action, Action::KillContainer { id: killed, .. } if killed == id)
        });
        let kills: Vec<u64> = kills.map(|(call, _)| *call).collect();
        for call in kills {
            let latency = self.latency();
            self.push(latency, Ev::Step { call });
        }
    }

    fn latency(&mut self) -> Millis {
        self.rng.range(0, 4)
    }

    /// The runtime tells of a container, unless the news is lost.
    fn event_of(&mut self, id: &Arc<str>) {
        if let Some(c) = self.world.container(id) {
            let containers = vec![c.seen(self.now)];
            self.news(Event::Seen {
                sandbox: None,
                containers,
            });
        }
    }

    fn news(&mut self, event: Event) {
        if !self.calm() && self.rng.chance(25) {
            return;
        }
        let generation = self.agent.generation;
        let after = self.rng.pick(&[0, 1, 10, 10, 10, 3_000]);
        self.push(
            after,
            Ev::Deliver {
                generation,
                events: vec![event],
                list: false,
            },
        );
    }

    fn started(&mut self, id: &Arc<str>) {
        let Some(c) = self.world.container_mut(id) else {
            return;
        };
        c.state = ContainerState::Running;
        c.started = Some(self.now);
        let (name, sandbox) = (c.name.clone(), c.sandbox.clone());
        self.checks.started.insert((name.clone(), sandbox));
        let (after, code) = if self.is_init(&name) {
            let code = if !self.calm() && self.rng.chance(20) {
                1
            } else {
                0
            };
            (self.rng.range(20, 4_000), code)
        } else if self.calm() || self.rng.chance(60) {
            return self.event_of(id);
        } else {
            (self.rng.range(0, 120_000), self.rng.pick(&[0, 1, 42, 137]))
        };
        self.push(
            after,
            Ev::Ends {
                id: id.clone(),
                code,
            },
        );
        self.event_of(id);
    }

    // ---- the agent ----

    fn deliver(&mut self, generation: u64, events: Vec<Event>, list: bool) {
        if generation != self.agent.generation || self.agent.forgotten {
            return;
        }
        if list && !self.world.up {
            self.push(
                500,
                Ev::Deliver {
                    generation,
                    events,
                    list,
                },
            );
            return;
        }
        let (mut first, mut last) = (events, Vec::new());
        if let Some(index) = first.iter().position(|e| matches!(e, Event::Cancelled(_))) {
            last = first.split_off(index);
        }
        if list {
            first.push(self.world.list(self.now));
        }
        for event in first.into_iter().chain(last) {
            self.tell(|| format!("  news {}", in_short(&event)));
            self.agent.absorb(self.now, event);
        }
        self.decide();
    }

    /// A slow look at everything; what it saw may be old when it arrives.
    fn audit(&mut self) {
        self.push(60_000, Ev::Audit);
        if !self.world.up || !self.agent.alive {
            return;
        }
        let listed = self.world.list(self.now);
        if !self.agent.forgotten {
            let (generation, late) = (self.agent.generation, self.rng.pick(&[1, 20, 1_500]));
            self.push(
                late,
                Ev::Deliver {
                    generation,
                    events: vec![listed],
                    list: false,
                },
            );
        } else if !self.world.sandboxes.is_empty() || !self.world.containers.is_empty() {
            self.tell(|| "an orphan is found".to_owned());
            self.agent.adopt_orphan(self.now, listed);
            self.decide();
        }
    }

    fn decide(&mut self) {
        if !self.agent.alive || self.agent.forgotten {
            return;
        }
        let step = self.agent.decide(self.now);
        for action in step.actions {
            let (agent, world) = (&self.agent, &self.world);
            self.checks.action(agent, world, &action, self.now);
            self.tell(|| format!("  {action:?}"));
            self.busy |= !matches!(action, Action::RunProbe { .. });
            match action {
                Action::Cancel(key) => self.cancel(&key),
                action => self.begin(action),
            }
            if !self.calm() && self.rng.next().is_multiple_of(400) {
                self.tell(|| "the agent dies between two actions".to_owned());
                return self.agent_dies();
            }
        }
        if let Some(at) = step.wake_at {
            let generation = self.agent.generation;
            self.push(
                at.0.saturating_sub(self.now).max(1),
                Ev::Wake { generation },
            );
        }
        if self.agent.memory.life == Life::Gone {
            self.tell(|| "gone".to_owned());
            self.agent.forgotten = true;
        }
    }

    // ---- calls ----

    fn begin(&mut self, action: Action) {
        let generation = self.agent.generation;
        let same = |call: &&Call| {
            !call.ghost && call.generation == generation && call.action.key() == action.key()
        };
        let other = self.calls.values().find(same);
        assert!(
            other.is_none(),
            "{action:?} while {:?}",
            other.map(|call| &call.action)
        );
        let fate = self.fate(&action);
        let call = self.sequence;
        self.sequence += 1;
        let duration = self.duration(&action);
        if let (
            Action::KillContainer {
                id,
                grace,
                pre_stop,
                ..
            },
            Fate::Well | Fate::AnswerLost,
        ) = (&action, fate)
        {
            let (id, grace) = (id.clone(), u64::try_from(grace.as_millis()).unwrap());
            let hook = if *pre_stop {
                self.rng.range(0, grace)
            } else {
                0
            };
            let runs = self
                .world
                .container(&id)
                .is_some_and(super::world::Container::runs);
            if runs {
                self.push(
                    hook,
                    Ev::Signal {
                        call,
                        id: id.clone(),
                    },
                );
                self.push(grace.max(hook + 2_000), Ev::Kill { call, id });
            } else {
                self.push(duration, Ev::Step { call });
            }
        } else {
            self.push(duration, Ev::Step { call });
        }
        let call_ = Call {
            action,
            generation,
            fate,
            created: None,
            ghost: false,
        };
        self.calls.insert(call, call_);
    }

    fn fate(&mut self, action: &Action) -> Fate {
        let local = matches!(
            action,
            Action::SetUpCgroup | Action::SetUpVolumes | Action::TearDown { .. }
        );
        if !self.world.up && !local {
            return Fate::Unavailable;
        }
        if self.calm() {
            return Fate::Well;
        }
        match self.rng.range(0, 99) {
            0..=5 => Fate::Refused,
            6..=10 => Fate::AnswerLost,
            11..=12 => Fate::Hangs,
            13..=15 if matches!(action, Action::StartContainer { .. }) => Fate::StartFails,
            _ => Fate::Well,
        }
    }

    fn duration(&mut self, action: &Action) -> Millis {
        let (low, high) = match action {
            Action::SetUpCgroup => (1, 3),
            Action::SetUpVolumes => (1, 300),
            Action::CreateSandbox { .. } => (30, 600),
            Action::EnsureImage { .. } => (1, 4_000),
            Action::StartContainer { .. } => (10, 200),
            Action::RunPostStart { .. } => (1, 3_000),
            Action::RunProbe { .. } => (1, 1_000),
            _ => (1, 100),
        };
        self.rng.range(low, high)
    }

    fn step(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        match call.fate {
            Fate::Unavailable => return self.refuse(number, FailReason::RuntimeUnavailable),
            Fate::Refused => {
                let reason = usual_reason(&call.action);
                return self.refuse(number, reason);
            }
            Fate::Hangs => {
                let kill = matches!(call.action, Action::KillContainer { .. });
                call.fate = if kill {
                    Fate::Refused
                } else {
                    Fate::AnswerLost
                };
                let long = self.rng.range(5_000, 60_000);
                return self.push(long, Ev::Step { call: number });
            }
            Fate::Well | Fate::AnswerLost | Fate::StartFails => {}
        }
        let action = call.action.clone();
        match self.effect(number, &action) {
            None => {}
            Some(Err(reason)) => self.refuse(number, reason),
            Some(Ok(done)) => self.answer(number, done),
        }
    }

    fn refuse(&mut self, number: u64, reason: FailReason) {
        let Some(call) = self.calls.remove(&number) else {
            return;
        };
        if let (Action::RunPostStart { id, .. }, FailReason::PostStartHook) = (&call.action, reason)
        {
            self.checks.hook_failed.insert(id.clone());
        }
        self.fail(&call, reason);
    }

    fn fail(&mut self, call: &Call, reason: FailReason) {
        if call.ghost {
            return;
        }
        let key = call.action.key();
        let events = vec![Event::Failed {
            key,
            reason,
            message: "simulated".to_owned(),
        }];
        let generation = call.generation;
        let latency = self.latency();
        self.push(
            latency,
            Ev::Deliver {
                generation,
                events,
                list: true,
            },
        );
    }

    fn answer(&mut self, number: u64, done: Done) {
        let Some(call) = self.calls.remove(&number) else {
            return;
        };
        if call.fate == Fate::AnswerLost {
            if let Action::RunPostStart { id, .. } = &call.action {
                self.checks.hook_failed.insert(id.clone());
            }
            return self.fail(&call, usual_reason(&call.action));
        }
        if !call.ghost {
            let (generation, events) = (call.generation, vec![Event::Done(done)]);
            let latency = self.latency();
            self.push(
                latency,
                Ev::Deliver {
                    generation,
                    events,
                    list: false,
                },
            );
        }
    }

    /// Changes the world as the call wants. `None`: the call goes on.
    fn effect(&mut self, number: u64, action: &Action) -> Option<Result<Done, FailReason>> {
        Some(match action {
            Action::SetUpCgroup => {
                self.world.cgroup = true;
                Ok(Done::Cgroup)
            }
            Action::SetUpVolumes => {
                self.world.volumes = true;
                Ok(Done::Volumes)
            }
            Action::TearDown { .. } => {
                (self.world.cgroup, self.world.volumes) = (false, false);
                Ok(Done::TornDown)
            }
            Action::CreateSandbox { attempt } => {
                match self.world.create_sandbox(*attempt, self.now) {
                    Some(s) => Ok(Done::Sandbox(s.seen(self.now))),
                    None => Err(FailReason::Sandbox),
                }
            }
            Action::StopSandbox { id } => {
                self.inside(id).iter().for_each(|c| self.ends(c, 137));
                self.world
                    .sandboxes
                    .iter_mut()
                    .filter(|s| s.id == *id)
                    .for_each(|s| s.ready = false);
                Ok(Done::SandboxStopped { id: id.clone() })
            }
            Action::RemoveSandbox { id } => {
                self.inside(id).iter().for_each(|c| self.ends(c, 137));
                self.world.containers.retain(|c| c.sandbox != *id);
                self.world.sandboxes.retain(|s| s.id != *id);
                Ok(Done::SandboxRemoved { id: id.clone() })
            }
            Action::EnsureImage { container } => Ok(Done::Image {
                container: container.clone(),
                image_ref: "sha256:1".into(),
            }),
            Action::StartContainer { .. } => return self.start(number, action),
            Action::RunPostStart { container, id } => Ok(Done::PostStart {
                container: container.clone(),
                id: id.clone(),
            }),
            Action::KillContainer { id, .. } => match self.world.container(id) {
                Some(c) if c.runs() => return None,
                Some(c) => Ok(Done::Killed(c.seen(self.now))),
                None => Err(FailReason::KillContainer),
            },
            Action::RemoveContainer { container, id } => {
                if self
                    .world
                    .container(id)
                    .is_some_and(super::world::Container::runs)
                {
                    self.ends(id, 137);
                }
                self.world.containers.retain(|c| c.id != *id);
                Ok(Done::ContainerRemoved {
                    container: container.clone(),
                    id: id.clone(),
                })
            }
            Action::RunProbe {
                container,
                id,
                kind,
            } => {
                let runs = self
                    .world
                    .container(id)
                    .is_some_and(super::world::Container::runs);
                let good = runs && (self.calm() || !self.rng.chance(20));
                if !good {
                    self.checks.probe_failed.insert(id.clone());
                }
                let (container, id, kind) = (container.clone(), id.clone(), *kind);
                let success = Some(good);
                Ok(Done::Probe {
                    container,
                    id,
                    kind,
                    success,
                    message: String::new(),
                })
            }
            Action::Cancel(_) => Err(FailReason::KillPod),
        })
    }

    /// Creates, then starts: two calls to the runtime, of which only the first may have happened.
    fn start(&mut self, number: u64, action: &Action) -> Option<Result<Done, FailReason>> {
        let Action::StartContainer {
            container,
            attempt,
            sandbox,
            ..
        } = action
        else {
            return None;
        };
        let call = self.calls.get(&number)?;
        let (ghost, fate) = (call.ghost, call.fate);
        let Some(id) = call.created.clone() else {
            let of = (container, *attempt, sandbox);
            let spec = &self.agent.spec;
            let made = self
                .world
                .create_container(spec, of, self.now, &mut self.rng);
            let Some(id) = made else {
                return Some(Err(FailReason::CreateContainerError));
            };
            self.event_of(&id);
            if ghost {
                self.calls.remove(&number);
                return None;
            }
            self.calls.get_mut(&number)?.created = Some(id);
            let after = self.rng.range(10, 200);
            self.push(after, Ev::Step { call: number });
            return None;
        };
        if self
            .world
            .container(&id)
            .is_none_or(|c| c.state != ContainerState::Created)
        {
            return Some(Err(FailReason::RunContainerError));
        }
        if fate == Fate::StartFails {
            let c = self.world.container_mut(&id)?;
            (c.state, c.exit_code, c.ended) = (ContainerState::Exited, 128, Some(self.now));
            c.started = Some(self.now);
            return Some(Err(FailReason::RunContainerError));
        }
        self.started(&id);
        let seen: Option<ObservedContainer> = self.world.container(&id).map(|c| c.seen(self.now));
        seen.map(|seen| Ok(Done::Started(seen)))
    }

    /// The future of a call is dropped. What the runtime was already asked may still happen.
    fn abandon(&mut self, number: u64) {
        let lands = self.rng.chance(50);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let kept = lands
            && matches!(
                call.action,
                Action::CreateSandbox { .. }
                    | Action::StartContainer { .. }
                    | Action::StopSandbox { .. }
                    | Action::RemoveSandbox { .. }
                    | Action::RemoveContainer { .. }
            )
            && matches!(call.fate, Fate::Well | Fate::AnswerLost | Fate::Hangs);
        if matches!(call.action, Action::SetUpVolumes) && lands {
            self.world.volumes = true;
        }
        if kept {
            call.ghost = true;
        } else {
            self.calls.remove(&number);
        }
    }

    fn cancel(&mut self, key: &Key) {
        let generation = self.agent.generation;
        let found = self.calls.iter().find(|(_, call)| {
            !call.ghost && call.generation == generation && call.action.key() == *key
        });
        let Some(number) = found.map(|(number, _)| *number) else {
            return;
        };
        self.abandon(number);
        let (after, events) = (self.rng.range(1, 50), vec![Event::Cancelled(key.clone())]);
        self.push(
            after,
            Ev::Deliver {
                generation,
                events,
                list: true,
            },
        );
    }

    // ---- rest ----

    fn look(&mut self) {
        self.push(LOOK, Ev::Look);
        let unrest = self.unrest();
        let quiet = !std::mem::take(&mut self.busy);
        self.rested = if unrest.is_none() && quiet {
            self.rested + 1
        } else {
            0
        };
        let waited = self.now - self.calm_since.unwrap_or(self.now);
        assert!(
            waited < PATIENCE,
            "no rest after {waited} ms: {unrest:?}\nmemory {:#?}\nobserved {:#?}",
            self.agent.memory,
            self.agent.observed
        );
    }

    /// Why the pod is not at rest.
    fn unrest(&self) -> Option<String> {
        if self.agent.forgotten || self.deleted.is_some() {
            let empty = self.agent.forgotten && self.world.is_empty();
            return (!empty).then(|| "something is left of a deleted pod".to_owned());
        }
        let probe = |key: &&Key| !matches!(key, Key::Probe(..));
        if let Some(key) = self.agent.memory.in_flight.keys().find(probe) {
            return Some(format!("{key:?} is under way"));
        }
        self.blindness().or_else(|| match self.agent.memory.life {
            Life::Finished => {
                let live = self
                    .world
                    .containers
                    .iter()
                    .any(super::world::Container::runs);
                let held = self.world.cgroup || self.world.volumes;
                (live || held).then(|| "a finished pod holds something".to_owned())
            }
            Life::Wanted => self.unmet(),
            _ => Some("it neither runs nor ended".to_owned()),
        })
    }

    /// The agent must see what is.
    fn blindness(&self) -> Option<String> {
        let mut is: Vec<_> = self
            .world
            .containers
            .iter()
            .map(|c| (c.id.clone(), c.state))
            .collect();
        let mut seen: Vec<_> = self
            .agent
            .observed
            .containers
            .iter()
            .map(|c| (c.id.clone(), c.state))
            .collect();
        is.sort();
        seen.sort();
        (is != seen).then(|| format!("{is:?} is seen as {seen:?}"))
    }

    fn unmet(&self) -> Option<String> {
        let runs = |name: &str| {
            self.world
                .containers
                .iter()
                .any(|c| *c.name == *name && c.runs())
        };
        let over = |name: &str| {
            let memory = self.agent.memory.containers.get(name);
            memory.is_some_and(|m| m.ended.is_some())
        };
        let mut wanted = self.agent.spec.containers.iter();
        let unmet = wanted.find(|c| match c.role {
            Role::Sidecar => !runs(&c.name),
            Role::Main => !runs(&c.name) && !(over(&c.name) && self.stays_down(&c.name)),
            Role::Init => false,
            Role::Ephemeral => !runs(&c.name) && !over(&c.name),
        });
        unmet.map(|c| format!("{} does not run", c.name))
    }

    fn stays_down(&self, name: &str) -> bool {
        let memory = self
            .agent
            .memory
            .containers
            .get(name)
            .and_then(|m| m.ended.as_ref());
        let spec = self.agent.spec.container(name);
        spec.zip(memory).is_some_and(|(c, ended)| {
            !keelson_kubelet::reconcile::restart_backoff::restarts_after(c, ended.how.exit_code)
        })
    }
}

fn usual_reason(action: &Action) -> FailReason {
    match action {
        Action::SetUpCgroup => FailReason::Cgroup,
        Action::SetUpVolumes => FailReason::Mount,
        Action::TearDown { .. } => FailReason::TearDown,
        Action::CreateSandbox { .. } => FailReason::Sandbox,
        Action::EnsureImage { .. } => FailReason::ErrImagePull,
        Action::StartContainer { .. } => FailReason::CreateContainerError,
        Action::RunPostStart { .. } => FailReason::PostStartHook,
        Action::KillContainer { .. } => FailReason::KillContainer,
        Action::RemoveContainer { .. } => FailReason::RemoveContainer,
        _ => FailReason::KillPod,
    }
}

fn in_short(event: &Event) -> String {
    match event {
        Event::Listed {
            sandboxes,
            containers,
            ..
        } => {
            let s: Vec<_> = sandboxes.iter().map(|s| (&s.id, s.ready)).collect();
            let c: Vec<_> = containers.iter().map(|c| (&c.id, c.state)).collect();
            format!("listed {s:?} {c:?}")
        }
        Event::Seen {
            sandbox,
            containers,
        } => {
            let c: Vec<_> = containers.iter().map(|c| (&c.id, c.state)).collect();
            format!(
                "seen {:?} {c:?}",
                sandbox.as_ref().map(|s| (&s.id, s.ready))
            )
        }
        Event::Done(Done::Started(c)) => format!("started {}", c.id),
        Event::Done(Done::Killed(c)) => format!("killed {}", c.id),
        other => format!("{other:?}"),
    }
}
