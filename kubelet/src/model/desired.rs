//! What is wanted: a pod as its source gave it, and the digest of it that decisions are made on.
//!
//! The digest ([`PodSpec`]) holds what the reconciler needs and nothing else; translating the rest
//! of the pod into runtime configuration is the business of `crate::spec`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::resources::{NeedsRestart, Resources};

/// `metadata.uid`: one life of one pod. A static pod's changes with its content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodUid(pub Arc<str>);

impl PodUid {
    /// The text of the uid.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for PodUid {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Where a pod comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PodOrigin {
    /// A manifest in the static pod folder.
    File(PathBuf),
    /// A manifest fetched from `staticPodURL`.
    Http(String),
    /// The apiserver.
    Api,
}

/// A pod that its source wants on this node: decoded, defaulted and valid.
#[derive(Clone, Debug)]
pub struct DesiredPod {
    /// Its identity.
    pub uid: PodUid,
    /// The whole object, `metadata.uid` included; `status` is ignored.
    pub pod: Arc<Pod>,
    /// Where it comes from.
    pub origin: PodOrigin,
}

impl DesiredPod {
    /// How long its containers have to end, where somebody asked for its end through the API.
    #[must_use]
    pub fn leaving(&self) -> Option<Duration> {
        let meta = &self.pod.metadata;
        meta.deletion_timestamp.as_ref()?;
        let spec = self.pod.spec.as_ref();
        let own = spec.and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = meta.deletion_grace_period_seconds.or(own).unwrap_or(30);
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Whether it can be taken on by a node that knows nothing of it: it is not on its way out and
    /// has not ended in an earlier life of the node.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        let status = self.pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        self.leaving().is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
    }
}

/// `spec.restartPolicy`, of the pod or of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// After every exit.
    Always,
    /// After an exit code other than zero.
    OnFailure,
    /// Not at all.
    Never,
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// Ask the registry before every start.
    Always,
    /// Pull what is not there.
    IfNotPresent,
    /// Use what is there or fail with `ErrImageNeverPull`.
    Never,
}

/// The part that a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// An init container: runs to completion before the next one.
    Init,
    /// An init container with `restartPolicy: Always`: started in the init order, runs on, and is
    /// stopped last.
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// One of `spec.ephemeralContainers`: never restarted, never waited for.
    Ephemeral,
}

impl Role {
    /// Where in the pod such a container of that name is defined, as events have it.
    #[must_use]
    pub fn field(self, name: &str) -> String {
        match self {
            Self::Init | Self::Sidecar => format!("spec.initContainers{{{name}}}"),
            Self::Main => format!("spec.containers{{{name}}}"),
            Self::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
        }
    }
}

/// Which of a container's three probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// `startupProbe`: holds back the other two until it succeeds once.
    Startup,
    /// `livenessProbe`: its failure kills the container.
    Liveness,
    /// `readinessProbe`: decides the Ready condition.
    Readiness,
}

/// Timing and thresholds of one probe (`core/v1 Probe`, defaults filled in).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeSpec {
    /// Wait after the container has started.
    pub initial_delay: Duration,
    /// Time between two probes.
    pub period: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Successes in a row that make a success.
    pub success_threshold: u32,
    /// Failures in a row that make a failure.
    pub failure_threshold: u32,
    /// `terminationGracePeriodSeconds` of the probe: the grace for a kill that it causes.
    pub grace: Option<Duration>,
}

/// `restartPolicyRules` of a container: the first rule that matches an exit code decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RestartRule {
    /// Exit codes in the set match (`In`), or those outside of it (`NotIn`) when `negated`.
    pub exit_codes: Vec<i32>,
    /// The operator was `NotIn`.
    pub negated: bool,
}

/// What decisions need to know of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// `name`, unique within the pod.
    pub name: Arc<str>,
    /// The part it plays.
    pub role: Role,
    /// `image`, as written.
    pub image: Arc<str>,
    /// `imagePullPolicy`.
    pub pull_policy: PullPolicy,
    /// The effective restart policy (the container's own where it has one).
    pub restart_policy: RestartPolicy,
    /// `restartPolicyRules` with action `Restart`.
    pub restart_rules: Vec<RestartRule>,
    /// Probes by kind.
    pub probes: BTreeMap<ProbeKind, ProbeSpec>,
    /// A `lifecycle.postStart` hook is set.
    pub post_start: bool,
    /// A `lifecycle.preStop` hook is set.
    pub pre_stop: bool,
    /// What of CPU and memory it is to have.
    pub resources: Resources,
    /// Which of them it takes on by a restart.
    pub needs_restart: NeedsRestart,
    /// Hash of the fields whose change needs a new container; written as a container annotation.
    pub hash: u64,
}

/// What decisions need to know of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSpec {
    /// Identity.
    pub uid: PodUid,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `spec.restartPolicy`.
    pub restart_policy: RestartPolicy,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace: Duration,
    /// `spec.activeDeadlineSeconds`.
    pub active_deadline: Option<Duration>,
    /// `spec.hostNetwork`: the pod shares the node's network and addresses.
    pub host_network: bool,
    /// What of CPU and memory the pod cgroup is to have.
    pub resources: Resources,
    /// Init containers and sidecars in the order of `spec.initContainers`, then `spec.containers`,
    /// then `spec.ephemeralContainers`.
    pub containers: Vec<ContainerSpec>,
}

impl PodSpec {
    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.containers.iter().find(|c| &*c.name == name)
    }

    /// Init containers and sidecars, in their order.
    pub fn inits(&self) -> impl DoubleEndedIterator<Item = &ContainerSpec> {
        self.containers
            .iter()
            .filter(|c| matches!(c.role, Role::Init | Role::Sidecar))
    }

    /// `spec.containers`.
    pub fn mains(&self) -> impl DoubleEndedIterator<Item = &ContainerSpec> {
        self.containers.iter().filter(|c| c.role == Role::Main)
    }

    /// `name_namespace(uid)`, as messages name a pod.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }
}
