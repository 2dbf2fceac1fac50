//! Turns one action into calls: the runtime, the mount table, cgroups, hooks and probes.
//!
//! Decides nothing about pods. Every action ends in events: one outcome under its key, and after
//! a failure that may have happened all the same a full listing of the pod. Dropping the future
//! gives the action up.

mod container;
pub mod credential_plugins;
mod mounts;
mod probes;
mod resize;
mod resources;
mod sandbox;
mod user_namespace;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};
use keelson_cri::{Client, CriError};
use tokio::sync::Semaphore;

use self::credential_plugins::CredentialPlugins;
use crate::cgroup;
use crate::join::objects::ObjectSource;
use crate::journal::Journal;
use crate::metrics::names;
use crate::model::desired::Role;
use crate::model::objects::Objects;
use crate::model::{Action, Event, FailReason, Key, PodOrigin, PodSpec, PodUid};
use crate::node::Node;
use crate::observe::{clock, listing};
use crate::probe::Prober;
use crate::user_namespaces::UserNamespaces;

/// How many starts the runtime is offered at once: more gain nothing and cost latency.
const STARTS_AT_ONCE: usize = 4;
/// How long to wait before listing a pod again when the runtime did not answer.
const LIST_AGAIN: Duration = Duration::from_millis(500);

/// One action of one pod, and what it may need to know.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which pod.
    pub uid: PodUid,
    /// Its manifest.
    pub pod: Arc<Pod>,
    /// Where it comes from.
    pub origin: PodOrigin,
    /// The digest of it.
    pub spec: Arc<PodSpec>,
    /// Addresses of its sandbox.
    pub ips: Vec<IpAddr>,
    /// Ids of its running containers by name.
    pub containers: BTreeMap<Arc<str>, Arc<str>>,
    /// CPU that burstable pods request together, in milli-CPU.
    pub burstable_milli_cpu: u64,
    /// What to do.
    pub action: Action,
    /// What the pod refers to in the API, fetched when the action needs it.
    pub objects: Objects,
}

/// Makes calls for actions. Shared by all of them.
#[derive(Debug)]
pub struct Executor {
    /// The runtime.
    pub cri: Client,
    /// What this node is.
    pub node: Arc<Node>,
    /// The cgroup tree.
    pub cgroups: Arc<cgroup::Manager>,
    /// Runs probes and hooks.
    pub prober: Prober<Client>,
    /// The ids of pods with user namespaces of their own.
    pub user_namespaces: Arc<UserNamespaces>,
    /// For what should be told at once, before an action ends.
    pub journal: Arc<Journal>,
    /// Where pods' references are looked up; nowhere on a node of its own.
    pub objects: Option<ObjectSource>,
    /// Programs that know credentials of images.
    pub credential_plugins: Arc<CredentialPlugins>,
    starts: Semaphore,
    pulls: Semaphore,
}

/// A failure on the way: what the API calls it, and the words.
#[derive(Debug)]
pub(crate) struct Failure {
    reason: FailReason,
    message: String,
    look: bool,
}

impl Failure {
    pub(crate) fn new(reason: FailReason, message: impl ToString) -> Self {
        Self {
            reason,
            message: message.to_string(),
            look: false,
        }
    }

    /// A failed call: when the runtime is away that is not the pod's fault, and what may have
    /// happened must be looked at.
    pub(crate) fn call(reason: FailReason, error: &CriError) -> Self {
        let reason = if error.is_unavailable() {
            FailReason::RuntimeUnavailable
        } else {
            reason
        };
        let look = error.is_ambiguous() || error.is_already_exists();
        Self {
            reason,
            message: error.to_string(),
            look,
        }
    }

    /// Look at the pod whatever the cause was.
    pub(crate) fn and_look(mut self) -> Self {
        self.look = true;
        self
    }
}

impl Executor {
    /// An executor that pulls at most so many images at once.
    #[must_use]
    pub fn new(
        cri: Client,
        node: Arc<Node>,
        cgroups: Arc<cgroup::Manager>,
        user_namespaces: Arc<UserNamespaces>,
        journal: Arc<Journal>,
        pulls_at_once: usize,
    ) -> Self {
        Self {
            prober: Prober::new(cri.clone()),
            cri,
            node,
            cgroups,
            user_namespaces,
            journal,
            objects: None,
            credential_plugins: Arc::default(),
            starts: Semaphore::new(STARTS_AT_ONCE),
            pulls: Semaphore::new(pulls_at_once),
        }
    }

    /// The same one, which looks up what pods refer to.
    #[must_use]
    pub fn with_objects(self, objects: Option<ObjectSource>) -> Self {
        Self { objects, ..self }
    }

    /// The same one, which asks programs for credentials of images.
    #[must_use]
    pub fn with_credential_plugins(self, credential_plugins: Arc<CredentialPlugins>) -> Self {
        Self {
            credential_plugins,
            ..self
        }
    }

    /// Does one job and tells how it ended.
    pub async fn run(&self, mut job: Job) -> Vec<Event> {
        let key = job.action.key();
        let outcome = match self.gather(&mut job).await {
            Ok(()) => self.perform(&job).await,
            Err(failure) => Err(failure),
        };
        count(&job, outcome.as_ref().err());
        match outcome {
            Ok(event) => vec![event],
            Err(failure) => {
                let look = failure.look;
                let failed = failed(key, failure);
                match look {
                    true => vec![failed, self.list_until_told(&job.uid).await],
                    false => vec![failed],
                }
            }
        }
    }

    /// Fetches what the pod refers to, for those actions that use it.
    async fn gather(&self, job: &mut Job) -> Result<(), Failure> {
        let reason = match job.action {
            Action::SetUpVolumes => FailReason::Mount,
            Action::StartContainer { .. } => FailReason::CreateContainerConfigError,
            _ => return Ok(()),
        };
        if let (Some(source), PodOrigin::Api) = (&self.objects, &job.origin) {
            let gathered = match job.action {
                Action::StartContainer { .. } => {
                    source.gather_for_container(&job.uid, &job.pod).await
                }
                _ => source.gather(&job.uid, &job.pod).await,
            };
            job.objects = gathered.map_err(|error| Failure::new(reason, error))?;
        }
        Ok(())
    }

    async fn perform(&self, job: &Job) -> Result<Event, Failure> {
        match &job.action {
            Action::SetUpCgroup => self.set_up_cgroup(job).await,
            Action::Resize { .. } => self.resize(job).await,
            Action::SetUpVolumes => self.set_up_volumes(job).await,
            Action::TearDown { keep_logs } => self.tear_down(job, *keep_logs).await,
            Action::CreateSandbox { attempt } => self.create_sandbox(job, *attempt).await,
            Action::StopSandbox { id } => self.stop_sandbox(id).await,
            Action::RemoveSandbox { id } => self.remove_sandbox(id).await,
            Action::EnsureImage { container } => self.ensure_image(job, container).await,
            Action::StartContainer { .. } => self.start_container(job).await,
            Action::RunPostStart { container, id } => self.post_start(job, container, id).await,
            Action::KillContainer { .. } => self.kill_container(job).await,
            Action::RemoveContainer { container, id } => {
                self.remove_container(job, container, id).await
            }
            Action::RunProbe {
                container,
                id,
                kind,
            } => Ok(self.run_probe(job, container, id, *kind).await),
            // The loop cancels by itself; there is nothing to call.
            Action::Cancel(key) => Ok(Event::Cancelled(key.clone())),
        }
    }

    /// Lists a pod, trying until the runtime answers.
    pub async fn list_until_told(&self, uid: &PodUid) -> Event {
        loop {
            match listing::list_pod(&self.cri, &self.node, uid, clock::mono()).await {
                Ok(listed) => return listed,
                Err(error) => {
                    tracing::debug!(pod = %uid, %error, "listing failed, trying again");
                    tokio::time::sleep(LIST_AGAIN).await;
                }
            }
        }
    }
}

/// Counts starts of containers. The code of a failure is the reason that the API shows, which is
/// the reason's name.
fn count(job: &Job, failure: Option<&Failure>) {
    let (Action::StartContainer { container, .. } | Action::EnsureImage { container }) =
        &job.action
    else {
        return;
    };
    let kind = match job.spec.container(container).map(|c| c.role) {
        Some(Role::Init | Role::Sidecar) => "init_container",
        Some(Role::Ephemeral) => "ephemeral_container",
        _ => "container",
    };
    if matches!(job.action, Action::StartContainer { .. }) {
        names::STARTED_CONTAINERS_TOTAL.inc(&[kind]);
    }
    if let Some(failure) = failure {
        let code = format!("{:?}", failure.reason);
        names::STARTED_CONTAINERS_ERRORS_TOTAL.inc(&[kind, &code]);
    }
}

fn failed(key: Key, failure: Failure) -> Event {
    Event::Failed {
        key,
        reason: failure.reason,
        message: failure.message,
    }
}

/// The container of that name in the manifest; an ephemeral one in the form of the others.
pub(crate) fn manifest_container(pod: &Pod, name: &str) -> Option<Container> {
    let spec = pod.spec.as_ref()?;
    let regular = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    regular
        .clone()
        .find(|c| c.name == name)
        .cloned()
        .or_else(|| {
            let ephemeral = spec.ephemeral_containers.iter().flatten();
            ephemeral.clone().find(|c| c.name == name).map(as_container)
        })
}

fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let of = ephemeral.clone();
    Container {
        name: of.name,
        image: of.image,
        image_pull_policy: of.image_pull_policy,
        command: of.command,
        args: of.args,
        working_dir: of.working_dir,
        env: of.env,
        env_from: of.env_from,
        security_context: of.security_context,
        stdin: of.stdin,
        stdin_once: of.stdin_once,
        tty: of.tty,
        termination_message_path: of.termination_message_path,
        termination_message_policy: of.termination_message_policy,
        volume_mounts: of.volume_mounts,
        ..Default::default()
    }
}
