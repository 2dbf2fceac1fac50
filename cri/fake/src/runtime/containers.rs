//! Containers: made, started, due to end, ended, removed.

use std::time::Duration;

use jiff::Timestamp;
use keelson_cri::config::{ContainerConfig, ContainerFilter, LinuxContainerResources};
use keelson_cri::values::{
    Container, ContainerState, ContainerStatus, EventKind, MountStatus, Resources, SandboxState,
};

use super::program::{OnTerm, Program, Stream};
use super::{Runtime, RuntimeError, holds_all};

/// Exit code of a process that was killed.
const KILLED: i32 = 137;

/// A line that a program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The container.
    pub container_id: String,
    /// Its log file; empty if it has none.
    pub log_path: String,
    /// When.
    pub at: Timestamp,
    /// Where.
    pub stream: Stream,
    /// The line without its end.
    pub line: String,
}

#[derive(Clone, Debug)]
pub(super) struct ContainerRecord {
    pub(super) status: ContainerStatus,
    pub(super) sandbox_id: String,
    program: Program,
    death: Option<Death>,
}

/// When and how a process will end.
#[derive(Clone, Copy, Debug)]
struct Death {
    at: Timestamp,
    code: i32,
}

impl Runtime {
    /// `CreateContainer`.
    ///
    /// # Errors
    /// When the sandbox is not there or not ready, the name is taken, or the image is missing.
    pub fn create_container(
        &mut self,
        now: Timestamp,
        sandbox_id: &str,
        config: &ContainerConfig,
    ) -> Result<String, RuntimeError> {
        let sandbox = self.sandbox(sandbox_id)?;
        if sandbox.status.sandbox.state != SandboxState::Ready {
            return Err(RuntimeError::WrongState(format!(
                "sandbox container {sandbox_id:?} is not running"
            )));
        }
        let log_path = match config.log_path.as_str() {
            "" => String::new(),
            path => format!("{}/{path}", sandbox.config.log_directory),
        };
        let metadata = config.metadata.as_ref().ok_or(RuntimeError::Invalid(
            "container config must include metadata",
        ))?;
        self.refuse_twin(sandbox_id, &metadata.name, metadata.attempt)?;
        let wanted = config.image.as_ref().map_or("", |image| &image.image);
        let image = self
            .images
            .status(wanted)
            .ok_or_else(|| RuntimeError::NotFound {
                kind: "image",
                id: wanted.to_owned(),
            })?;
        let (image_id, image_ref) = (image.id.clone(), image.id.clone());
        let id = self.next_id();
        let status = ContainerStatus {
            id: id.clone(),
            name: metadata.name.clone(),
            attempt: metadata.attempt,
            state: ContainerState::Created,
            created_at: now,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: wanted.to_owned(),
            image_ref,
            image_id,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config
                .mounts
                .iter()
                .cloned()
                .map(MountStatus::from)
                .collect(),
            log_path,
            resources: resources(config),
            user: None,
            stop_signal: None,
        };
        let record = ContainerRecord {
            program: self.programs.of(&metadata.name, metadata.attempt),
            status,
            sandbox_id: sandbox_id.to_owned(),
            death: None,
        };
        self.containers.insert(id.clone(), record);
        self.tell(now, EventKind::Created, &id, sandbox_id);
        Ok(id)
    }

    fn refuse_twin(&self, sandbox_id: &str, name: &str, attempt: u32) -> Result<(), RuntimeError> {
        let twin = self.containers.values().find(|record| {
            record.sandbox_id == sandbox_id
                && record.status.name == name
                && record.status.attempt == attempt
        });
        twin.map_or(Ok(()), |twin| {
            Err(RuntimeError::NameReserved {
                kind: "container",
                name: format!("{name}_{sandbox_id}_{attempt}"),
                holder: twin.status.id.clone(),
            })
        })
    }

    /// `StartContainer`.
    ///
    /// # Errors
    /// When it is not there, was started before, its sandbox is down or its program can't start.
    pub fn start_container(&mut self, now: Timestamp, id: &str) -> Result<(), RuntimeError> {
        let sandbox_id = self.container(id)?.sandbox_id.clone();
        if self.sandbox(&sandbox_id)?.status.sandbox.state != SandboxState::Ready {
            return Err(RuntimeError::WrongState(format!(
                "sandbox container {sandbox_id:?} is not running"
            )));
        }
        let record = self.container_mut(id)?;
        if record.status.state != ContainerState::Created {
            return Err(RuntimeError::WrongState(format!(
                "container {id:?} is in state {:?}",
                record.status.state
            )));
        }
        if let Some(reason) = record.program.start_fails.clone() {
            record.status.started_at = Some(now);
            record.status.message = reason.clone();
            self.end(now, id, 128, "StartError");
            return Err(RuntimeError::StartFailed(reason));
        }
        record.status.state = ContainerState::Running;
        record.status.started_at = Some(now);
        let exits = record.program.exits;
        record.death = exits.map(|(after, code)| Death {
            at: later(now, after),
            code,
        });
        let printed = output(record, now);
        self.output.extend(printed);
        self.tell(now, EventKind::Started, id, &sandbox_id);
        self.tick(now);
        Ok(())
    }

    /// `StopContainer` begins: the stop signal now, SIGKILL after `grace`. Says when the process
    /// will have ended, `None` if it does not run. Idempotent; a shorter grace counts.
    pub fn stop_container(
        &mut self,
        now: Timestamp,
        id: &str,
        grace: Duration,
    ) -> Option<Timestamp> {
        let record = self.containers.get_mut(id)?;
        if record.status.state != ContainerState::Running {
            return None;
        }
        let death = match record.program.on_term {
            OnTerm::Ends { after, code } if after < grace => Death {
                at: later(now, after),
                code,
            },
            _ => Death {
                at: later(now, grace),
                code: KILLED,
            },
        };
        let sooner = record.death.filter(|planned| planned.at <= death.at);
        let death = sooner.unwrap_or(death);
        record.death = Some(death);
        self.tick(now);
        Some(death.at)
    }

    /// `RemoveContainer`, by force if it runs. Idempotent.
    pub fn remove_container(&mut self, now: Timestamp, id: &str) {
        self.kill_container(now, id);
        if let Some(record) = self.containers.remove(id) {
            self.tell(now, EventKind::Deleted, id, &record.sandbox_id);
        }
    }

    /// Its process ends now, with this exit code.
    pub fn exit_container(&mut self, now: Timestamp, id: &str, code: i32) {
        let reason = if code == 0 { "Completed" } else { "Error" };
        if self.is_running(id) {
            self.end(now, id, code, reason);
        }
    }

    /// The kernel kills it for its memory.
    pub fn oom_kill_container(&mut self, now: Timestamp, id: &str) {
        if self.is_running(id) {
            self.end(now, id, KILLED, "OOMKilled");
        }
    }

    /// Lets happen what is due, in order and each at its own time.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((id, death)) = self.next_death().filter(|(_, death)| death.at <= now) {
            let reason = if death.code == 0 {
                "Completed"
            } else {
                "Error"
            };
            self.end(death.at, &id, death.code, reason);
        }
    }

    /// When the next thing happens by itself.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_death().map(|(_, death)| death.at)
    }

    /// `ContainerStatus`.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn container_status(&self, id: &str) -> Result<ContainerStatus, RuntimeError> {
        Ok(self.container(id)?.status.clone())
    }

    /// `ListContainers`.
    #[must_use]
    pub fn list_containers(&self, filter: &ContainerFilter) -> Vec<Container> {
        let wanted_state = filter.state.as_ref().map(|value| value.state);
        self.containers
            .values()
            .filter(|r| filter.id.is_empty() || r.status.id.starts_with(&filter.id))
            .filter(|r| filter.pod_sandbox_id.is_empty() || r.sandbox_id == filter.pod_sandbox_id)
            .filter(|r| {
                wanted_state.is_none_or(|state| state == crate::wire::state(r.status.state))
            })
            .filter(|r| holds_all(&r.status.labels, &filter.label_selector))
            .map(listed)
            .collect()
    }

    /// `UpdateContainerResources`.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn update_container_resources(
        &mut self,
        id: &str,
        resources: LinuxContainerResources,
    ) -> Result<(), RuntimeError> {
        self.container_mut(id)?.status.resources = Some(Resources::from(resources));
        Ok(())
    }

    /// A running container prints a line.
    pub fn print(&mut self, now: Timestamp, id: &str, stream: Stream, line: &str) {
        if let Some(record) = self.containers.get(id) {
            self.output.push(Output {
                container_id: id.to_owned(),
                log_path: record.status.log_path.clone(),
                at: now,
                stream,
                line: line.to_owned(),
            });
        }
    }

    pub(super) fn kill_containers_of(&mut self, now: Timestamp, sandbox_id: &str) {
        for id in self.containers_of(sandbox_id) {
            self.kill_container(now, &id);
        }
    }

    pub(super) fn containers_of(&self, sandbox_id: &str) -> Vec<String> {
        let containers = self.containers.iter();
        containers
            .filter(|(_, record)| record.sandbox_id == sandbox_id)
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(super) fn container(&self, id: &str) -> Result<&ContainerRecord, RuntimeError> {
        self.containers.get(id).ok_or_else(|| missing(id))
    }

    fn container_mut(&mut self, id: &str) -> Result<&mut ContainerRecord, RuntimeError> {
        self.containers.get_mut(id).ok_or_else(|| missing(id))
    }

    fn kill_container(&mut self, now: Timestamp, id: &str) {
        if self.is_running(id) {
            self.end(now, id, KILLED, "Error");
        }
    }

    fn is_running(&self, id: &str) -> bool {
        let record = self.containers.get(id);
        record.is_some_and(|record| record.status.state == ContainerState::Running)
    }

    fn next_death(&self) -> Option<(String, Death)> {
        let deaths = self.containers.iter();
        deaths
            .filter_map(|(id, record)| Some((id, record.death?)))
            .min_by_key(|(id, death)| (death.at, *id))
            .map(|(id, death)| (id.clone(), death))
    }

    fn end(&mut self, at: Timestamp, id: &str, code: i32, reason: &str) {
        let Some(record) = self.containers.get_mut(id) else {
            return;
        };
        record.death = None;
        record.status.state = ContainerState::Exited;
        record.status.finished_at = Some(at);
        record.status.exit_code = code;
        reason.clone_into(&mut record.status.reason);
        let sandbox_id = record.sandbox_id.clone();
        self.tell(at, EventKind::Stopped, id, &sandbox_id);
    }
}

fn missing(id: &str) -> RuntimeError {
    RuntimeError::NotFound {
        kind: "container",
        id: id.to_owned(),
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn resources(config: &ContainerConfig) -> Option<Resources> {
    let linux = config.linux.as_ref()?;
    linux.resources.clone().map(Resources::from)
}

fn output(record: &ContainerRecord, at: Timestamp) -> Vec<Output> {
    let lines = record.program.prints.iter();
    lines
        .map(|(stream, line)| Output {
            container_id: record.status.id.clone(),
            log_path: record.status.log_path.clone(),
            at,
            stream: *stream,
            line: line.clone(),
        })
        .collect()
}

fn listed(record: &ContainerRecord) -> Container {
    let status = &record.status;
    Container {
        id: status.id.clone(),
        sandbox_id: record.sandbox_id.clone(),
        name: status.name.clone(),
        attempt: status.attempt,
        state: status.state,
        created_at: status.created_at,
        image: status.image.clone(),
        image_ref: status.image_ref.clone(),
        image_id: status.image_id.clone(),
        labels: status.labels.clone(),
        annotations: status.annotations.clone(),
    }
}
