//! The rest that must follow the storm: what is wanted runs, what is not wanted is gone, and the
//! agent sees what is.

use keelson_kubelet::model::memory::Life;
use keelson_kubelet::model::{Key, Role};
use keelson_kubelet::reconcile::restart_backoff::restarts_after;

use super::super::clock::Millis;
use super::super::world::Container;
use super::{Ev, Simulation};

/// How long a pod may take to come to rest after everything calmed down.
const PATIENCE: Millis = 40 * 60 * 1000;
/// How often its rest is looked at.
pub const LOOK: Millis = 10_000;

impl Simulation {
    pub(super) fn look(&mut self) {
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
    pub(super) fn unrest(&self) -> Option<String> {
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
                let live = self.world.containers.iter().any(Container::runs);
                let held = self.world.cgroup || self.world.volumes;
                (live || held).then(|| "a finished pod holds something".to_owned())
            }
            Life::Wanted => self.unmet(),
            _ => Some("it neither runs nor ended".to_owned()),
        })
    }

    /// The agent must see what is.
    pub(super) fn blindness(&self) -> Option<String> {
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

    pub(super) fn unmet(&self) -> Option<String> {
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
            Role::Main => !(runs(&c.name) || over(&c.name) && self.stays_down(&c.name)),
            Role::Init => false,
            Role::Ephemeral => !runs(&c.name) && !over(&c.name),
        });
        let down = unmet.map(|c| format!("{} does not run", c.name));
        down.or_else(|| self.wrongly_sized())
    }

    /// What runs must have what it is to have.
    fn wrongly_sized(&self) -> Option<String> {
        let running = self.world.containers.iter().filter(|c| c.runs());
        let wrong = running.filter_map(|c| Some((c, self.agent.spec.container(&c.name)?)));
        let mut wrong = wrong.filter(|(c, wanted)| {
            matches!(wanted.role, Role::Main | Role::Sidecar) && c.resources != wanted.resources
        });
        if self.world.bounds != self.agent.spec.resources {
            return Some(format!("the pod has {:?}", self.world.bounds));
        }
        wrong
            .next()
            .map(|(c, _)| format!("{} has {:?}", c.name, c.resources))
    }

    pub(super) fn stays_down(&self, name: &str) -> bool {
        let memory = self
            .agent
            .memory
            .containers
            .get(name)
            .and_then(|m| m.ended.as_ref());
        let spec = self.agent.spec.container(name);
        spec.zip(memory)
            .is_some_and(|(c, ended)| !restarts_after(c, ended.how.exit_code))
    }
}
