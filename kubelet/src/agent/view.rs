//! What the servers may ask: answers made from the pods as they are at that moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::watch;

use super::pod_loop::Records;
use super::records::Record;
use crate::journal::{Journal, Next, PodView, Wait};
use crate::logs::layout::LogOwner;
use crate::model::memory::Life;
use crate::model::{ContainerState, Mono, Now, ObservedContainer, PodUid};
use crate::node::Node;
use crate::observe::clock;
use crate::reconcile::waits;
use crate::serve::route::{ContainerTarget, PodTarget};
use crate::serve::view::{LogTarget, LogUnavailable, NodeView, TargetError};
use crate::status::{NodeFacts, pod_status};

/// A pod loop that has not turned for so long is stuck.
const STALE_AFTER: Duration = Duration::from_secs(120);

/// The pods as the servers see them.
#[derive(Debug)]
pub struct AgentView {
    /// The pods.
    pub records: Records,
    /// What this node is.
    pub node: Arc<Node>,
    /// When the pod loop last turned.
    pub turned: watch::Receiver<Mono>,
    /// What was decided.
    pub journal: Arc<Journal>,
    /// The configuration in force.
    pub config: serde_json::Value,
    /// Sent whenever the state of a container may have changed; log followers watch it.
    pub changes: watch::Receiver<u64>,
}

impl AgentView {
    fn facts(&self) -> NodeFacts {
        NodeFacts {
            recursive_read_only: self.node.recursive_read_only,
            host_ips: self.node.ips.clone(),
            runtime: self.node.runtime.as_str().into(),
        }
    }

    fn with_status(&self, record: &Record) -> Arc<Pod> {
        let now = clock::now();
        let mut pod = (*record.pod).clone();
        if let Some((at, grace)) = deletion(record, now) {
            pod.metadata.deletion_timestamp = Some(Time(at));
            pod.metadata.deletion_grace_period_seconds = Some(grace);
        }
        pod.status = Some(pod_status(
            now,
            &record.pod,
            &record.spec,
            &record.observed,
            &record.memory,
            &self.facts(),
        ));
        Arc::new(pod)
    }

    fn find<T>(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        read: impl FnOnce(&Record) -> T,
    ) -> Option<T> {
        let records = self.records.lock();
        let fits = |record: &&Record| {
            *record.spec.namespace == *namespace
                && *record.spec.name == *name
                && uid.is_none_or(|uid| record.spec.uid.as_str() == uid)
        };
        // Of an old and a new pod of one name, the one that stays is meant.
        let found = records
            .values()
            .filter(fits)
            .min_by_key(|record| record.leaving());
        found.map(read)
    }
}

fn instances<'a>(record: &'a Record, name: &str) -> Vec<&'a ObservedContainer> {
    let mut all: Vec<_> = record
        .observed
        .containers
        .iter()
        .filter(|c| *c.name == *name)
        .collect();
    all.sort_by_key(|c| std::cmp::Reverse((c.attempt, c.created_at)));
    all
}

fn log_of(
    record: &Record,
    target: &ContainerTarget,
    previous: bool,
) -> Result<Instance, LogUnavailable> {
    let (pod, container) = (target.pod.clone(), target.container.clone());
    if record.spec.container(&container).is_none() {
        return Err(LogUnavailable::NoContainer { container, pod });
    }
    let all = instances(record, &container);
    let started = |c: &&ObservedContainer| c.state != ContainerState::Created;
    let memory = record.memory.containers.get(container.as_str());
    let chosen = match previous {
        false => all.first().copied().filter(started),
        true => all.get(1).copied(),
    };
    let last = memory.and_then(|m| m.last.as_ref());
    match (chosen, previous) {
        (Some(found), _) => Ok(Instance {
            attempt: found.attempt,
            id: found.id.clone(),
            runs: found.state == ContainerState::Running,
        }),
        (None, true) => match (last, all.first()) {
            // Its container may be gone while its log is still there.
            (Some(last), Some(newest)) if newest.attempt > 0 => Ok(Instance {
                attempt: newest.attempt - 1,
                id: last.id.clone(),
                runs: false,
            }),
            _ => Err(LogUnavailable::NoPrevious { container, pod }),
        },
        (None, false) => {
            let error = memory.and_then(|m| m.start_error.as_ref().or(m.image.error.as_ref()));
            let reason = error.map_or("ContainerCreating".to_owned(), |(reason, _)| reason.clone());
            Err(LogUnavailable::Waiting {
                container,
                pod,
                reason,
            })
        }
    }
}

struct Instance {
    attempt: u32,
    id: Arc<str>,
    runs: bool,
}

impl NodeView for AgentView {
    fn pods(&self) -> Vec<Arc<Pod>> {
        let records = self.records.lock();
        records
            .values()
            .map(|record| self.with_status(record))
            .collect()
    }

    fn running_pods(&self) -> Vec<Arc<Pod>> {
        let records = self.records.lock();
        let runs = |record: &&Record| {
            record
                .observed
                .containers
                .iter()
                .any(|c| c.state == ContainerState::Running)
        };
        records
            .values()
            .filter(runs)
            .map(|record| Arc::new(running_pod(record)))
            .collect()
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.find(namespace, name, None, |record| self.with_status(record))
    }

    fn container_log(
        &self,
        target: &ContainerTarget,
        previous: bool,
    ) -> Result<LogTarget, LogUnavailable> {
        let uid = target.uid.as_deref();
        let found = self.find(&target.namespace, &target.pod, uid, |record| {
            let instance = log_of(record, target, previous)?;
            let owner = LogOwner {
                namespace: &record.spec.namespace,
                pod: &record.spec.name,
                uid: record.spec.uid.as_str(),
            };
            let path = owner.log_file(&self.node.log_root, &target.container, instance.attempt);
            Ok((path, instance))
        });
        let (path, instance) = found.unwrap_or_else(|| {
            Err(LogUnavailable::NoPod {
                pod: target.pod.clone(),
            })
        })?;
        Ok(LogTarget {
            path,
            running: self.running(instance),
        })
    }

    fn container_id(&self, target: &ContainerTarget) -> Result<String, TargetError> {
        let (pod, container) = (target.pod.clone(), target.container.clone());
        let uid = target.uid.as_deref();
        let found = self.find(&target.namespace, &target.pod, uid, |record| {
            if record.spec.container(&target.container).is_none() {
                return Err(TargetError::NoContainer {
                    container: container.clone(),
                    pod: pod.clone(),
                });
            }
            let all = instances(record, &target.container);
            let running = all.iter().find(|c| c.state == ContainerState::Running);
            running
                .map(|c| c.id.to_string())
                .ok_or_else(|| TargetError::NotRunning {
                    container: container.clone(),
                    pod: pod.clone(),
                })
        });
        found.unwrap_or(Err(TargetError::NoPod { pod }))
    }

    fn sandbox_id(&self, target: &PodTarget) -> Result<String, TargetError> {
        let pod = target.pod.clone();
        let uid = target.uid.as_deref();
        let found = self.find(&target.namespace, &target.pod, uid, |record| {
            record
                .observed
                .newest_sandbox()
                .filter(|s| s.ready)
                .map(|s| s.id.to_string())
        });
        match found {
            None => Err(TargetError::NoPod { pod }),
            Some(None) => Err(TargetError::NotRunning {
                container: "sandbox".to_owned(),
                pod,
            }),
            Some(Some(id)) => Ok(id),
        }
    }

    fn sync_loop_fresh(&self) -> Result<(), String> {
        let idle = clock::mono().since(*self.turned.borrow());
        match idle > STALE_AFTER {
            true => Err(format!(
                "the pod loop has not turned for {} s",
                idle.as_secs()
            )),
            false => Ok(()),
        }
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn pod_view(&self, pod: &Pod) -> PodView {
        let mut view = PodView::of(pod);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let records = self.records.lock();
        if let Some(record) = records.get(&PodUid::from(uid)) {
            add_timers(&mut view, record);
        }
        view
    }

    fn config_json(&self) -> serde_json::Value {
        self.config.clone()
    }
}

impl AgentView {
    /// Follows whether that instance runs, for as long as somebody asks.
    fn running(&self, instance: Instance) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(instance.runs);
        if instance.runs {
            let (records, mut changes) = (self.records.clone(), self.changes.clone());
            // Owned by its receivers: it ends with the last of them.
            tokio::spawn(async move {
                while runs(&records, &instance.id) {
                    tokio::select! {
                        () = sender.closed() => return,
                        changed = changes.changed() => if changed.is_err() { return },
                    }
                }
                sender.send_replace(false);
            });
        }
        receiver
    }
}

fn runs(records: &Records, id: &str) -> bool {
    let records = records.lock();
    let mut containers = records
        .values()
        .flat_map(|record| &record.observed.containers);
    containers.any(|c| *c.id == *id && c.state == ContainerState::Running)
}

/// When the pod's grace ends and how many seconds it has, where its source dropped it.
fn deletion(record: &Record, now: Now) -> Option<(Timestamp, i64)> {
    let Life::Terminating(way_out) = &record.memory.life else {
        return None;
    };
    if way_out.object_stays {
        return None;
    }
    let grace = SignedDuration::try_from(way_out.grace).ok()?;
    let begun = SignedDuration::try_from(now.mono.since(way_out.since)).ok()?;
    let end = now.wall.checked_sub(begun).ok()?.checked_add(grace).ok()?;
    Some((end, grace.as_secs()))
}

/// Adds what a pod waits for and when its timers end.
fn add_timers(view: &mut PodView, record: &Record) {
    let now = clock::now();
    let wall = |at: Mono| {
        let ahead = SignedDuration::try_from(at.since(now.mono)).ok()?;
        now.wall.checked_add(ahead).ok()
    };
    let past = |at: Mono| {
        let ago = SignedDuration::try_from(now.mono.since(at)).ok()?;
        now.wall.checked_sub(ago).ok()
    };
    for wait in waits(&record.spec, &record.observed, &record.memory, now.mono) {
        let subject = match &wait.container {
            Some(name) => format!("container {name}"),
            None => "pod".to_owned(),
        };
        if let Some(at) = wait.next {
            view.next.push(Next {
                what: format!("{subject}: next attempt"),
                at: wall(at),
            });
        }
        let since = wait.since.and_then(past);
        match view.waits.iter_mut().find(|known| known.subject == subject) {
            // The status has a name for it already; the moment is ours to add.
            Some(known) => known.since = known.since.or(since),
            None => view.waits.push(Wait {
                subject,
                reason: wait.what,
                message: String::new(),
                since,
            }),
        }
    }
}

/// A pod as `/runningpods` shows it: what runs, by the runtime's word.
fn running_pod(record: &Record) -> Pod {
    use k8s_openapi::api::core::v1::{Container, PodSpec};

    let running = record
        .observed
        .containers
        .iter()
        .filter(|c| c.state == ContainerState::Running);
    let mut pod = Pod::default();
    pod.metadata.name = record.pod.metadata.name.clone();
    pod.metadata.namespace = record.pod.metadata.namespace.clone();
    pod.metadata.uid = record.pod.metadata.uid.clone();
    pod.spec = Some(PodSpec {
        containers: running
            .map(|c| Container {
                name: c.name.to_string(),
                image: Some(c.image_ref.to_string()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    pod
}
