//! What happens to the pod and to its processes.

use std::sync::Arc;

use keelson_kubelet::model::memory::Life;
use keelson_kubelet::model::{Action, ContainerState, Event, Role};

use super::super::agent::pod_of;
use super::super::clock::Millis;
use super::super::pods;
use super::{Ev, Simulation};

/// Something that happens to the pod.
#[derive(Clone, Copy, Debug)]
pub enum Storm {
    AgentDies,
    AgentStarts,
    RuntimeGoes,
    RuntimeComes,
    SandboxDies,
    TrackLost,
    OutOfMemory,
    /// Somebody removes a container behind the agent's back.
    Vanish,
    Edit,
    Delete(u64),
    Evict,
}

impl Simulation {
    pub(super) fn storm(&mut self, storm: Storm) {
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
            Storm::Vanish => self.vanish(),
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

    pub(super) fn agent_dies(&mut self) {
        self.agent.die();
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.abandon(call);
        }
        let back = self.rng.pick(&[1, 50, 1_000, 20_000, 120_000]);
        let back = if self.calm() { back.min(1_000) } else { back };
        self.push(back, Ev::Storm(Storm::AgentStarts));
    }

    pub(super) fn agent_starts(&mut self) {
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

    fn vanish(&mut self) {
        let all: Vec<Arc<str>> = self.world.containers.iter().map(|c| c.id.clone()).collect();
        if all.is_empty() {
            return;
        }
        let id = self.rng.pick(&all);
        self.ends(&id, 137);
        let name = self.world.container(&id).map(|c| c.name.clone());
        self.checks.vanished.extend(name);
        self.world.containers.retain(|c| c.id != id);
    }

    pub(super) fn sandbox_dies(&mut self) {
        let Some(s) = self.world.sandboxes.iter_mut().find(|s| s.ready) else {
            return;
        };
        s.ready = false;
        let (id, seen) = (s.id.clone(), s.seen(self.now, &self.world.clock));
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

    pub(super) fn inside(&self, sandbox: &Arc<str>) -> Vec<Arc<str>> {
        let live = self
            .world
            .containers
            .iter()
            .filter(|c| c.runs() && c.sandbox == *sandbox);
        live.map(|c| c.id.clone()).collect()
    }

    pub(super) fn is_init(&self, name: &str) -> bool {
        self.agent
            .spec
            .container(name)
            .is_some_and(|c| c.role == Role::Init)
    }

    pub(super) fn ends(&mut self, id: &Arc<str>, code: i32) {
        let Some(c) = self.world.container(id) else {
            return;
        };
        let init = self.is_init(&c.name);
        if !self.world.end(id, code, self.now, init) {
            return;
        }
        self.tell(|| format!("{id} ends with {code}"));
        self.news(Event::Exited {
            id: id.clone(),
            exit_code: code,
            at: self.world.clock.moment(self.now).wall,
        });
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

    pub(super) fn latency(&mut self) -> Millis {
        self.rng.range(0, 4)
    }

    /// The runtime tells of a container, unless the news is lost.
    pub(super) fn event_of(&mut self, id: &Arc<str>) {
        if let Some(c) = self.world.container(id) {
            let containers = vec![c.seen(self.now, &self.world.clock)];
            self.news(Event::Seen {
                sandbox: None,
                containers,
            });
        }
    }

    pub(super) fn news(&mut self, event: Event) {
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

    pub(super) fn started(&mut self, id: &Arc<str>) {
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
}
