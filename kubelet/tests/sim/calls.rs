//! Calls that the agent makes: how long they take, how they end, what they change.

use std::sync::Arc;

use keelson_kubelet::model::{Action, ContainerState, Done, Event, FailReason, Key, Resources};

use super::super::clock::Millis;
use super::super::world::Container;
use super::{Ev, Simulation};

/// How a call will end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
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

/// A call under way.
pub struct Call {
    pub(super) action: Action,
    pub(super) generation: u64,
    pub(super) fate: Fate,
    /// What a container that is started gets, and the cgroup where it is made.
    pub(super) resources: Resources,
    /// The container that a start has created.
    pub(super) created: Option<Arc<str>>,
    /// Nobody waits for it any more.
    pub(super) ghost: bool,
}

impl Simulation {
    pub(super) fn begin(&mut self, action: Action) {
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
            let runs = self.world.container(&id).is_some_and(Container::runs);
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
        let spec = &self.agent.spec;
        let resources = match &action {
            Action::StartContainer { container, .. } => {
                let wanted = spec.container(container);
                wanted.map_or(Resources::default(), |c| c.resources)
            }
            _ => spec.resources,
        };
        let call_ = Call {
            action,
            resources,
            generation,
            fate,
            created: None,
            ghost: false,
        };
        self.calls.insert(call, call_);
    }

    pub(super) fn fate(&mut self, action: &Action) -> Fate {
        let local = matches!(
            action,
            Action::SetUpCgroup
                | Action::Resize { .. }
                | Action::SetUpVolumes
                | Action::TearDown { .. }
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

    pub(super) fn duration(&mut self, action: &Action) -> Millis {
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

    pub(super) fn step(&mut self, number: u64) {
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

    pub(super) fn refuse(&mut self, number: u64, reason: FailReason) {
        let Some(call) = self.calls.remove(&number) else {
            return;
        };
        if let (Action::RunPostStart { id, .. }, FailReason::PostStartHook) = (&call.action, reason)
        {
            self.checks.hook_failed.insert(id.clone());
        }
        self.fail(&call, reason);
    }

    pub(super) fn fail(&mut self, call: &Call, reason: FailReason) {
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

    pub(super) fn answer(&mut self, number: u64, done: Done) {
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
    pub(super) fn effect(
        &mut self,
        number: u64,
        action: &Action,
    ) -> Option<Result<Done, FailReason>> {
        Some(match action {
            Action::SetUpCgroup => Ok(self.make_cgroup(number)),
            Action::Resize { pod, containers } => self.resize(pod.to, containers),
            Action::SetUpVolumes => {
                (self.world.volumes, self.world.files) = (true, true);
                Ok(Done::Volumes)
            }
            Action::TearDown { keep_logs } => {
                let files_kept = self.world.tear_down(*keep_logs);
                Ok(Done::TornDown { files_kept })
            }
            Action::CreateSandbox { attempt } => {
                match self.world.create_sandbox(*attempt, self.now) {
                    Some(seen) => Ok(Done::Sandbox(seen)),
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
                Some(c) => Ok(Done::Killed(c.seen(self.now, &self.world.clock))),
                None => Err(FailReason::KillContainer),
            },
            Action::RemoveContainer { container, id } => {
                if self.world.container(id).is_some_and(Container::runs) {
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
                let runs = self.world.container(id).is_some_and(Container::runs);
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
    pub(super) fn start(
        &mut self,
        number: u64,
        action: &Action,
    ) -> Option<Result<Done, FailReason>> {
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
        let (ghost, fate, resources) = (call.ghost, call.fate, call.resources);
        let Some(id) = call.created.clone() else {
            let of = (container, *attempt, sandbox);
            let spec = &self.agent.spec;
            let made = self
                .world
                .create_container(spec, of, resources, self.now, &mut self.rng);
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
        let seen = self
            .world
            .container(&id)
            .map(|c| c.seen(self.now, &self.world.clock));
        seen.map(|seen| Ok(Done::Started(seen)))
    }

    /// The future of a call is dropped. What the runtime was already asked may still happen.
    pub(super) fn abandon(&mut self, number: u64) {
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

    pub(super) fn cancel(&mut self, key: &Key) {
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
}

fn usual_reason(action: &Action) -> FailReason {
    match action {
        Action::SetUpCgroup => FailReason::Cgroup,
        Action::Resize { .. } => FailReason::Resize,
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
