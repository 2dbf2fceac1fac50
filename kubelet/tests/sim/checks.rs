//! What must hold after each step, whatever goes wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelson_kubelet::model::memory::Life;
use keelson_kubelet::model::{
    Action, ContainerSpec, ContainerState, KillReason, Mono, ObservedContainer, Role,
};
use keelson_kubelet::reconcile::restart_backoff::restarts_after;

use super::agent::Agent;
use super::clock::Millis;
use super::world::World;

/// What happened that justifies an action.
#[derive(Default)]
pub struct Checks {
    /// Containers whose probe has failed in truth.
    pub probe_failed: BTreeSet<Arc<str>>,
    /// Containers whose postStart hook has failed.
    pub hook_failed: BTreeSet<Arc<str>>,
    /// Containers that the runtime lost track of.
    pub lost: BTreeSet<Arc<str>>,
    /// Names of which a container was removed by somebody else: nobody knows how it ended.
    pub vanished: BTreeSet<Arc<str>>,
    /// Containers killed to be made anew: their names start again whatever their policy.
    excused: BTreeSet<Arc<str>>,
    /// Containers that were started in truth, by sandbox and name.
    pub started: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Checks {
    /// Never two processes of one container.
    pub fn world(world: &World) {
        let mut names = BTreeSet::new();
        for c in world.containers.iter().filter(|c| c.runs()) {
            assert!(names.insert(&c.name), "two live instances of {}", c.name);
        }
    }

    pub fn action(&mut self, agent: &Agent, world: &World, action: &Action, at: Millis) {
        assert!(
            !agent.forgotten,
            "an action for a pod that is gone: {action:?}"
        );
        match action {
            Action::StartContainer {
                container,
                attempt,
                sandbox,
                ..
            } => {
                self.start(agent, world, (container, *attempt, sandbox));
            }
            Action::KillContainer {
                id, grace, reason, ..
            } => {
                let end = at + u64::try_from(grace.as_millis()).unwrap();
                assert!(end >= at + 2_000, "less than the least grace");
                self.kill(agent, world, (id, *reason, end), at);
            }
            Action::RunProbe {
                container,
                id,
                kind,
            } => {
                let Some(truth) = world.container(id) else {
                    return;
                };
                let spec = agent.spec.container(container).unwrap();
                let delay = spec.probes[kind].initial_delay;
                let due = truth.started.unwrap() + u64::try_from(delay.as_millis()).unwrap();
                assert!(at >= due, "probed before its initial delay: {action:?}");
            }
            Action::CreateSandbox { .. } => {
                let live = agent
                    .observed
                    .containers
                    .iter()
                    .any(ObservedContainer::is_live);
                assert!(!live, "a new sandbox while containers of the old one live");
                assert!(agent.observed.cgroup_ready, "a sandbox without the cgroup");
                assert!(!agent.is_leaving(), "a sandbox for a pod that goes");
            }
            Action::TearDown { .. } | Action::StopSandbox { .. } => {
                let left = |c: &ObservedContainer| match action {
                    Action::StopSandbox { id } => c.is_live() && c.sandbox_id == *id,
                    _ => c.is_live(),
                };
                let live = agent.observed.containers.iter().any(left);
                assert!(!live, "{action:?} while containers live");
            }
            Action::RemoveContainer { id, .. } => {
                let mut all = agent.observed.containers.iter();
                let live = all.any(|c| c.id == *id && c.is_live());
                assert!(!live, "{action:?} while it lives");
            }
            _ => {}
        }
    }

    fn start(
        &self,
        agent: &Agent,
        world: &World,
        (name, attempt, sandbox): (&Arc<str>, u32, &Arc<str>),
    ) {
        let (observed, spec) = (&agent.observed, agent.spec.container(name).unwrap());
        assert_eq!(
            agent.memory.life,
            Life::Wanted,
            "{name} starts in a pod that is over"
        );
        let ready = observed
            .sandboxes
            .iter()
            .any(|s| s.id == *sandbox && s.ready);
        assert!(ready, "{name} starts without its sandbox");
        assert!(observed.volumes_ready, "{name} starts without its volumes");
        let live = observed
            .containers
            .iter()
            .any(|c| c.name == *name && c.is_live());
        assert!(!live, "{name} starts while another instance lives");
        let mut begun = observed
            .containers
            .iter()
            .filter(|c| c.state != ContainerState::Created);
        let used = begun.any(|c| c.name == *name && c.attempt >= attempt);
        assert!(
            !used,
            "{name} starts under attempt {attempt}, which was used"
        );
        if spec.role != Role::Ephemeral {
            self.init_order(agent, world, spec, sandbox);
        }
        self.policy(world, spec, sandbox);
    }

    fn init_order(&self, agent: &Agent, world: &World, spec: &ContainerSpec, sandbox: &Arc<str>) {
        let before = agent.spec.inits().take_while(|c| c.name != spec.name);
        for c in before {
            let (name, key) = (&c.name, (c.name.clone(), sandbox.clone()));
            let done = match c.role {
                Role::Init => world.completed.contains(&key),
                _ => self.started.contains(&key),
            };
            assert!(done, "{} starts before {name} is done", spec.name);
        }
    }

    fn policy(&self, world: &World, spec: &ContainerSpec, sandbox: &Arc<str>) {
        let of_name = world.containers.iter().filter(|c| c.name == spec.name);
        let newest = of_name
            .filter(|c| c.started.is_some())
            .max_by_key(|c| c.attempt);
        let Some(newest) = newest.filter(|c| c.state == ContainerState::Exited) else {
            return;
        };
        let excused = self.excused.contains(&newest.id) || self.vanished.contains(&spec.name);
        let rerun = spec.role == Role::Init && newest.sandbox != *sandbox;
        let allowed = restarts_after(spec, newest.exit_code) || rerun || excused;
        let (name, code) = (&spec.name, newest.exit_code);
        assert!(
            allowed,
            "{name} starts again after exit code {code}, against its policy"
        );
    }

    fn kill(
        &mut self,
        agent: &Agent,
        world: &World,
        (id, reason, end): (&Arc<str>, KillReason, Millis),
        at: Millis,
    ) {
        let Some(truth) = world.container(id) else {
            return;
        };
        let name = truth.name.clone();
        let justified = match reason {
            KillReason::PodTerminating => {
                let Life::Terminating(asked) = &agent.memory.life else {
                    panic!("{name} is killed for a termination that nobody asked for")
                };
                let deadline = (asked.since + asked.grace).max(Mono(at + 2_000)).0;
                assert!(
                    end.abs_diff(deadline) <= 500,
                    "{name} is killed by {end}, its grace ends at {deadline}"
                );
                true
            }
            KillReason::Liveness | KillReason::Startup => self.probe_failed.contains(id),
            KillReason::PostStartFailed => self.hook_failed.contains(id),
            KillReason::Resize => {
                let mem = agent.memory.containers.get(&name);
                let given = mem.and_then(|m| m.given);
                let wanted = agent.spec.container(&name);
                wanted.is_some_and(|c| given.is_some_and(|given| given != c.resources))
            }
            KillReason::SpecChanged => agent
                .spec
                .container(&name)
                .is_none_or(|c| c.hash != truth.hash),
            KillReason::StateUnknown => self.lost.contains(id),
            KillReason::SandboxChanged => world
                .sandbox(&truth.sandbox)
                .is_none_or(|sandbox| !sandbox.ready),
            KillReason::PodFinished => agent.memory.outcome.is_some(),
            KillReason::NotInSpec => false,
        };
        assert!(justified, "{name} is killed for {reason:?} without cause");
        let anew = [
            KillReason::SpecChanged,
            KillReason::StateUnknown,
            KillReason::Resize,
        ];
        if anew.contains(&reason) {
            self.excused.insert(id.clone());
        }
    }
}
