//! One run: a queue of things to come, calls under way, faults while the storm lasts, and the rest
//! that must follow it.

mod calls;
mod resize;
mod rest;
mod storm;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use keelson_kubelet::model::memory::Life;
use keelson_kubelet::model::{Action, Done, Event};
use serde_json::Value;

use self::calls::Call;
use self::rest::LOOK;
use self::storm::Storm;
use super::agent::Agent;
use super::checks::Checks;
use super::clock::{Clock, Millis};
use super::pods;
use super::rng::Rng;
use super::world::World;

/// How many looks in a row must find the pod at rest.
const LOOKS: u32 = 4;

/// Something to come.
pub enum Ev {
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
    /// Set by decision so-and-so; a later decision makes it void.
    Wake {
        decision: u64,
    },
    Audit,
    Storm(Storm),
    Calm,
    Look,
}

/// What becomes of the account of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Voice {
    Silent,
    /// Two runs can be compared by it.
    Hashed,
    Loud,
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
    decisions: u64,
    hash: DefaultHasher,
}

impl Simulation {
    pub fn new(seed: u64, clock: Clock, voice: Voice) -> Self {
        let mut rng = Rng::new(seed);
        let spec = pods::random_spec(&mut rng);
        let world = World::new(clock.clone());
        let mut simulation = Self {
            agent: Agent::new(&spec, seed, clock),
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
            decisions: 0,
            hash: DefaultHasher::new(),
        };
        simulation.plan();
        simulation
    }

    /// Fixes what will happen.
    fn plan(&mut self) {
        let calm = self.rng.range(10, 300) * 1_000;
        self.push(calm, Ev::Calm);
        self.push(0, Ev::Wake { decision: 0 });
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
                Storm::Vanish,
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
            Ev::Wake { decision } if decision == self.decisions => self.decide(),
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
        self.decisions += 1;
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
            let decision = self.decisions;
            self.push(at.0.saturating_sub(self.now).max(1), Ev::Wake { decision });
        }
        if self.agent.memory.life == Life::Gone {
            self.tell(|| "gone".to_owned());
            self.agent.forgotten = true;
        }
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
        Event::Exited { id, exit_code, .. } => format!("{id} exited with {exit_code}"),
        Event::Done(Done::Sandbox(s)) => format!("sandbox {}", s.id),
        Event::Done(Done::Started(c)) => format!("started {}", c.id),
        Event::Done(Done::Killed(c)) => format!("killed {}", c.id),
        Event::Done(Done::Resized { containers }) => {
            let ids: Vec<_> = containers.iter().map(|c| &c.id).collect();
            format!("resized {ids:?}")
        }
        other => format!("{other:?}"),
    }
}
