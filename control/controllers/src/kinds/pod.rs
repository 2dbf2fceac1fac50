//! Pods.

use jiff::Timestamp;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::{Condition, Meta, NAMESPACE, condition, kind};

/// The index of pods by the node they run on.
pub const NODE: &str = "node";
/// The index of pods by the claims that they use, as `namespace/name`.
pub const CLAIM: &str = "claim";

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: PodSpec,
    /// `status`.
    pub status: PodStatus,
}

kind!(
    Pod,
    Resource::fixed("", "v1", "pods", "Pod", true),
    vec![
        Index::new(NODE, |pod: &Pod, words| {
            if !pod.spec.node_name.is_empty() {
                words.push(pod.spec.node_name.to_string());
            }
        }),
        Index::new(NAMESPACE, |pod: &Pod, words| words
            .push(pod.metadata.namespace.to_string())),
        Index::new(CLAIM, |pod: &Pod, words| {
            let namespace = &pod.metadata.namespace;
            words.extend(pod.claims().map(|name| format!("{namespace}/{name}")));
        }),
        crate::job::tracked(),
    ]
);

/// `spec` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node it is bound to; empty while it is not.
    pub node_name: Box<str>,
    /// Its host name, if it asked for one.
    pub hostname: Box<str>,
    /// The Service below which its host name is known.
    pub subdomain: Box<str>,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: Box<str>,
    /// How long it may take to end, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// Which taints it tolerates.
    pub tolerations: Vec<keelson_api::core::Toleration>,
    /// Where it may run; only the requirement on the node's name is read.
    pub affinity: Option<Box<Affinity>>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Its init containers.
    pub init_containers: Vec<Container>,
    /// Its volumes that are claims.
    pub volumes: Vec<Volume>,
}

/// `spec.affinity`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Affinity {
    /// Towards nodes.
    pub node_affinity: Option<NodeAffinity>,
}

/// `spec.affinity.nodeAffinity`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeAffinity {
    /// What the scheduler has to obey.
    pub required_during_scheduling_ignored_during_execution:
        Option<keelson_api::core::NodeSelector>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: Box<str>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// `Always` for an init container that runs beside the others.
    pub restart_policy: Option<Box<str>>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// Its name; may be empty.
    pub name: Box<str>,
    /// The number.
    pub container_port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
}

/// A volume of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    /// Its name.
    pub name: Box<str>,
    /// The claim it stands for.
    pub persistent_volume_claim: Option<ClaimSource>,
    /// Set where the claim belongs to the pod and is named after it; what it says is not read.
    pub ephemeral: Option<serde::de::IgnoredAny>,
}

/// `persistentVolumeClaim` of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimSource {
    /// The claim's name.
    pub claim_name: Box<str>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Box<str>,
    /// Why, in a word.
    pub reason: Box<str>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: Box<str>,
    /// All its addresses.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// When its node took it.
    pub start_time: Option<Timestamp>,
    /// Its containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// Its init containers.
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: Box<str>,
}

/// How a container is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: Box<str>,
    /// How often it was restarted.
    pub restart_count: i32,
    /// What it does now.
    pub state: ContainerState,
}

/// What a container does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// How it ended, if it did.
    pub terminated: Option<Terminated>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// The exit code.
    pub exit_code: i32,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Pod {
    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// Whether it counts: neither ended nor being removed.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.is_finished() && !self.metadata.is_leaving()
    }

    /// The names of the claims that it uses, those of its own included.
    pub fn claims(&self) -> impl Iterator<Item = String> {
        let own = &self.metadata.name;
        self.spec.volumes.iter().filter_map(move |volume| {
            let shared = volume.persistent_volume_claim.as_ref();
            let shared = shared.map(|source| source.claim_name.to_string());
            shared.or_else(|| {
                let ephemeral = volume.ephemeral.as_ref();
                ephemeral.map(|_| format!("{own}-{}", volume.name))
            })
        })
    }

    /// Its condition of a type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        condition::find(&self.status.conditions, kind)
    }

    /// Whether it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(Condition::holds)
    }

    /// Since when it has been ready.
    #[must_use]
    pub fn ready_since(&self) -> Option<Timestamp> {
        let ready = self.condition("Ready").filter(|ready| ready.holds())?;
        ready.last_transition_time
    }

    /// Whether it has been ready for so many seconds.
    #[must_use]
    pub fn is_available(&self, min_ready_seconds: i64, now: Timestamp) -> bool {
        if min_ready_seconds == 0 {
            return self.is_ready();
        }
        self.ready_since()
            .is_some_and(|since| now.as_second() - since.as_second() >= min_ready_seconds)
    }
}
