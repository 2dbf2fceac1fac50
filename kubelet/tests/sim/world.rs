//! The truth: what runs, whatever the agent believes.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelson_kubelet::model::{
    ContainerState, Event, Mono, ObservedContainer, ObservedSandbox, PodSpec, Resources,
};

use super::clock::{Clock, Millis};
use super::rng::Rng;

/// A sandbox as it really is.
#[derive(Clone, Debug)]
pub struct Sandbox {
    pub id: Arc<str>,
    pub attempt: u32,
    pub ready: bool,
    pub created: Millis,
}

/// A container as it really is.
#[derive(Clone, Debug)]
pub struct Container {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub attempt: u32,
    pub sandbox: Arc<str>,
    pub state: ContainerState,
    pub image: Arc<str>,
    pub hash: u64,
    /// What of CPU and memory it has.
    pub resources: Resources,
    pub created: Millis,
    pub started: Option<Millis>,
    pub ended: Option<Millis>,
    pub exit_code: i32,
    /// How long after the stop signal its process ends; `None`: it ignores the signal.
    pub heeds: Option<Millis>,
}

impl Container {
    pub fn runs(&self) -> bool {
        matches!(
            self.state,
            ContainerState::Running | ContainerState::Unknown
        )
    }

    pub fn seen(&self, at: Millis, clock: &Clock) -> ObservedContainer {
        ObservedContainer {
            id: self.id.clone(),
            sandbox_id: self.sandbox.clone(),
            name: self.name.clone(),
            attempt: self.attempt,
            state: self.state,
            created_at: clock.moment(self.created).wall,
            started_at: self.started.map(|at| clock.moment(at).wall),
            finished_at: self.ended.map(|at| clock.moment(at).wall),
            exit_code: self.exit_code,
            reason: String::new(),
            message: String::new(),
            image: self.image.clone(),
            image_ref: "sha256:1".into(),
            stop_signal: None,
            limits: None,
            user: None,
            hash: self.hash,
            seen: Mono(at),
        }
    }
}

impl Sandbox {
    pub fn seen(&self, at: Millis, clock: &Clock) -> ObservedSandbox {
        ObservedSandbox {
            id: self.id.clone(),
            attempt: self.attempt,
            ready: self.ready,
            ips: Vec::new(),
            created_at: clock.moment(self.created).wall,
            seen: Mono(at),
        }
    }
}

/// The runtime and the node.
#[derive(Default)]
pub struct World {
    pub sandboxes: Vec<Sandbox>,
    pub containers: Vec<Container>,
    pub cgroup: bool,
    /// What of CPU and memory it has.
    pub bounds: Resources,
    pub volumes: bool,
    /// The pod's directory and logs.
    pub files: bool,
    /// The runtime can be reached.
    pub up: bool,
    /// Init containers that ended well, by sandbox.
    pub completed: BTreeSet<(Arc<str>, Arc<str>)>,
    /// What the node's clocks show.
    pub clock: Clock,
    made: u64,
}

impl World {
    pub fn new(clock: Clock) -> Self {
        Self {
            up: true,
            clock,
            ..Self::default()
        }
    }

    pub fn sandbox(&self, id: &str) -> Option<&Sandbox> {
        self.sandboxes.iter().find(|s| *s.id == *id)
    }

    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|c| *c.id == *id)
    }

    pub fn container_mut(&mut self, id: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|c| *c.id == *id)
    }

    /// A new id, never used before.
    fn new_id(&mut self, what: &str) -> Arc<str> {
        self.made += 1;
        format!("{what}~{}", self.made).into()
    }

    /// Names are reserved: an attempt that exists cannot be made again.
    pub fn create_sandbox(&mut self, attempt: u32, at: Millis) -> Option<ObservedSandbox> {
        if self.sandboxes.iter().any(|s| s.attempt == attempt) {
            return None;
        }
        let id = self.new_id(&format!("s{attempt}"));
        self.sandboxes.push(Sandbox {
            id,
            attempt,
            ready: true,
            created: at,
        });
        self.sandboxes.last().map(|s| s.seen(at, &self.clock))
    }

    pub fn create_container(
        &mut self,
        spec: &PodSpec,
        (name, attempt, sandbox): (&Arc<str>, u32, &Arc<str>),
        resources: Resources,
        at: Millis,
        rng: &mut Rng,
    ) -> Option<Arc<str>> {
        let taken = self
            .containers
            .iter()
            .any(|c| c.name == *name && c.attempt == attempt);
        let wanted = spec.container(name)?;
        if taken || !self.sandbox(sandbox)?.ready {
            return None;
        }
        let id = self.new_id(&format!("{name}#{attempt}"));
        self.containers.push(Container {
            id: id.clone(),
            name: name.clone(),
            attempt,
            sandbox: sandbox.clone(),
            state: ContainerState::Created,
            image: wanted.image.clone(),
            hash: wanted.hash,
            resources,
            created: at,
            started: None,
            ended: None,
            exit_code: 0,
            heeds: rng.pick(&[Some(0), Some(20), Some(20), Some(1_500), None]),
        });
        Some(id)
    }

    /// The process of a container ends. True when it was there to end.
    pub fn end(&mut self, id: &str, exit_code: i32, at: Millis, init: bool) -> bool {
        let Some(c) = self.container_mut(id).filter(|c| c.runs()) else {
            return false;
        };
        (c.state, c.exit_code, c.ended) = (ContainerState::Exited, exit_code, Some(at));
        let done = (c.name.clone(), c.sandbox.clone());
        if init && exit_code == 0 {
            self.completed.insert(done);
        }
        true
    }

    /// A listing of the pod that begins now.
    pub fn list(&self, at: Millis) -> Event {
        // News of the same millisecond counts as older than the listing.
        Event::Listed {
            since: Mono(at),
            sandboxes: self
                .sandboxes
                .iter()
                .map(|s| s.seen(at, &self.clock))
                .collect(),
            containers: self
                .containers
                .iter()
                .map(|c| c.seen(at, &self.clock))
                .collect(),
        }
    }

    /// Gives back what the pod holds besides containers; its files only where they aren't kept.
    pub fn tear_down(&mut self, files_kept: bool) -> bool {
        (self.cgroup, self.volumes) = (false, false);
        self.files &= files_kept;
        files_kept
    }

    pub fn is_empty(&self) -> bool {
        let held = self.cgroup || self.volumes || self.files;
        self.sandboxes.is_empty() && self.containers.is_empty() && !held
    }
}
