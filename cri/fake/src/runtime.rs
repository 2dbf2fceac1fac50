//! The runtime as a state machine: requests and the time in, replies and events out.
//!
//! It waits for nothing and reads no clock. What takes time (a stop with grace, a program that
//! ends by itself) is due at some instant; [`Runtime::next_due`] says when, [`Runtime::tick`] makes
//! it happen.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use keelson_cri::config::{NamespaceMode, PodSandboxConfig, PodSandboxFilter};
use keelson_cri::values::{
    ContainerStatus, Event, EventKind, ExecOutput, PodStatus, Sandbox, SandboxState, SandboxStatus,
};

use crate::images::Images;

mod containers;
mod exec;
mod program;

pub use containers::Output;
pub use program::{OnTerm, Program, Stream};

use containers::ContainerRecord;
use program::Programs;

/// Why the runtime refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No such object.
    #[error("{kind} {id:?}: not found")]
    NotFound {
        /// `sandbox`, `container` or `image`.
        kind: &'static str,
        /// Its id or name.
        id: String,
    },
    /// The name belongs to another object.
    #[error("failed to reserve {kind} name {name:?}: name {name:?} is reserved for {holder:?}")]
    NameReserved {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The id of who has it.
        holder: String,
    },
    /// The object's state does not allow it.
    #[error("{0}")]
    WrongState(String),
    /// The request lacks something.
    #[error("{0}")]
    Invalid(&'static str),
    /// The program that was set up for the container fails to start.
    #[error("failed to create containerd task: {0}")]
    StartFailed(String),
    /// The runtime has no streaming server.
    #[error("no streaming server")]
    NoStreaming,
    /// The command took longer than its timeout.
    #[error("failed to exec in container: timeout {0:?} exceeded")]
    ExecTimeout(Duration),
}

/// A container runtime in memory.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// What it has and could pull.
    pub images: Images,
    /// The condition `NetworkReady`.
    pub network_ready: bool,
    /// Where the streaming server of the runtime would be, such as `http://127.0.0.1:1`. Without
    /// one, `Exec`, `Attach` and `PortForward` are not supported.
    pub streaming_url: Option<String>,
    sandboxes: BTreeMap<String, SandboxRecord>,
    containers: BTreeMap<String, ContainerRecord>,
    programs: Programs,
    exec_results: BTreeMap<(String, Vec<String>), (ExecOutput, Duration)>,
    events: Vec<Event>,
    output: Vec<Output>,
    made: u32,
}

#[derive(Clone, Debug)]
struct SandboxRecord {
    status: SandboxStatus,
    config: PodSandboxConfig,
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime {
    /// An empty runtime whose network is ready.
    #[must_use]
    pub fn new() -> Self {
        Self {
            images: Images::default(),
            network_ready: true,
            streaming_url: None,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            programs: Programs::default(),
            exec_results: BTreeMap::new(),
            events: Vec::new(),
            output: Vec::new(),
            made: 0,
        }
    }

    /// Says how containers of that name behave, one program per attempt; the last one stays.
    pub fn set_programs(&mut self, container_name: &str, programs: Vec<Program>) {
        self.programs.set(container_name, programs);
    }

    /// Events since the last time.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What programs printed since the last time.
    pub fn take_output(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.output)
    }

    /// `RunPodSandbox`.
    ///
    /// # Errors
    /// When the name is taken or the configuration has no metadata.
    pub fn run_sandbox(
        &mut self,
        now: Timestamp,
        config: &PodSandboxConfig,
        handler: &str,
    ) -> Result<String, RuntimeError> {
        let metadata = config.metadata.as_ref().ok_or(RuntimeError::Invalid(
            "sandbox config must include metadata",
        ))?;
        let twin = self.sandboxes.values().find(|record| {
            let other = &record.status.sandbox;
            (&other.name, &other.namespace, &other.uid, other.attempt)
                == (
                    &metadata.name,
                    &metadata.namespace,
                    &metadata.uid,
                    metadata.attempt,
                )
        });
        if let Some(twin) = twin {
            return Err(RuntimeError::NameReserved {
                kind: "sandbox",
                name: format!(
                    "{}_{}_{}_{}",
                    metadata.name, metadata.namespace, metadata.uid, metadata.attempt
                ),
                holder: twin.status.sandbox.id.clone(),
            });
        }
        let id = self.next_id();
        let host_network = uses_host_network(config);
        let ips = if host_network {
            Vec::new()
        } else {
            vec![self.address()]
        };
        let sandbox = Sandbox {
            id: id.clone(),
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
            attempt: metadata.attempt,
            state: SandboxState::Ready,
            created_at: now,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            runtime_handler: handler.to_owned(),
        };
        let record = SandboxRecord {
            status: SandboxStatus {
                sandbox,
                ips,
                host_network,
            },
            config: config.clone(),
        };
        self.sandboxes.insert(id.clone(), record);
        self.tell(now, EventKind::Created, &id, &id);
        self.tell(now, EventKind::Started, &id, &id);
        Ok(id)
    }

    /// `StopPodSandbox`: kills its containers and takes its addresses away. Idempotent.
    pub fn stop_sandbox(&mut self, now: Timestamp, id: &str) {
        self.kill_containers_of(now, id);
        let Some(record) = self.sandboxes.get_mut(id) else {
            return;
        };
        record.status.ips.clear();
        if record.status.sandbox.state == SandboxState::Ready {
            record.status.sandbox.state = SandboxState::NotReady;
            self.tell(now, EventKind::Stopped, id, id);
        }
    }

    /// `RemovePodSandbox`: stops it and removes its containers with it. Idempotent.
    pub fn remove_sandbox(&mut self, now: Timestamp, id: &str) {
        self.stop_sandbox(now, id);
        for container in self.containers_of(id) {
            self.remove_container(now, &container);
        }
        if self.sandboxes.remove(id).is_some() {
            self.tell(now, EventKind::Deleted, id, id);
        }
    }

    /// The pause process of a sandbox dies, and with it what shares its namespaces.
    pub fn kill_sandbox(&mut self, now: Timestamp, id: &str) {
        self.stop_sandbox(now, id);
    }

    /// The machine reboots: nothing runs any more, all records stay.
    pub fn reboot(&mut self, now: Timestamp) {
        let ids: Vec<String> = self.sandboxes.keys().cloned().collect();
        for id in ids {
            self.stop_sandbox(now, &id);
        }
        self.events.clear();
    }

    /// `PodSandboxStatus`.
    ///
    /// # Errors
    /// When there is no such sandbox.
    pub fn sandbox_status(&self, now: Timestamp, id: &str) -> Result<PodStatus, RuntimeError> {
        let record = self.sandbox(id)?;
        Ok(PodStatus {
            sandbox: record.status.clone(),
            containers: self.statuses_of(id),
            at: Some(now),
            info: BTreeMap::new(),
        })
    }

    /// `ListPodSandbox`.
    #[must_use]
    pub fn list_sandboxes(&self, filter: &PodSandboxFilter) -> Vec<Sandbox> {
        let wanted_state = filter.state.as_ref().map(|value| value.state());
        self.sandboxes
            .values()
            .map(|record| &record.status.sandbox)
            .filter(|s| filter.id.is_empty() || s.id.starts_with(&filter.id))
            .filter(|s| wanted_state.is_none_or(|state| SandboxState::from(state) == s.state))
            .filter(|s| holds_all(&s.labels, &filter.label_selector))
            .cloned()
            .collect()
    }

    fn sandbox(&self, id: &str) -> Result<&SandboxRecord, RuntimeError> {
        self.sandboxes
            .get(id)
            .ok_or_else(|| RuntimeError::NotFound {
                kind: "sandbox",
                id: id.to_owned(),
            })
    }

    fn statuses_of(&self, sandbox_id: &str) -> Vec<ContainerStatus> {
        let containers = self.containers.values();
        containers
            .filter(|record| record.sandbox_id == sandbox_id)
            .map(|record| record.status.clone())
            .collect()
    }

    /// Records an event with the pod as it is now.
    fn tell(&mut self, now: Timestamp, kind: EventKind, id: &str, sandbox_id: &str) {
        let sandbox = self.sandboxes.get(sandbox_id);
        let event = Event {
            kind,
            container_id: id.to_owned(),
            created_at: now,
            sandbox: sandbox.map(|record| record.status.clone()),
            containers: self.statuses_of(sandbox_id),
        };
        self.events.push(event);
    }

    /// Ids look like containerd's and sort by age.
    fn next_id(&mut self) -> String {
        self.made += 1;
        format!("{:08x}{:056x}", self.made, 0)
    }

    fn address(&self) -> IpAddr {
        let [_, _, third, fourth] = (self.made + 1).to_be_bytes();
        Ipv4Addr::new(10, 88, third, fourth).into()
    }
}

fn uses_host_network(config: &PodSandboxConfig) -> bool {
    let context = config
        .linux
        .as_ref()
        .and_then(|l| l.security_context.as_ref());
    let options = context.and_then(|context| context.namespace_options.as_ref());
    options.is_some_and(|options| options.network() == NamespaceMode::Node)
}

fn holds_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests;
