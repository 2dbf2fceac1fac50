//! A Pod object.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::affinity::{Affinity, SpreadObject, TolerationObject};
use super::null_is_default;
use super::quantity::{self, Listed};
use crate::intern::Word;
use crate::model::pod::VolumeRef;
use crate::model::{Amounts, Class, HostPort, Kind, Labels, Pod, PodKey, Requirement};

pub mod requests;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodObject {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: Word,
    name: Word,
    uid: Box<str>,
    resource_version: Box<str>,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "super::labels")]
    labels: Labels,
    #[serde(deserialize_with = "null_is_default")]
    owner_references: Vec<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: Word,
    name: Word,
    controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    node_name: Word,
    scheduler_name: Word,
    priority: i32,
    preemption_policy: String,
    #[serde(deserialize_with = "super::labels")]
    node_selector: Labels,
    affinity: Option<Affinity>,
    #[serde(deserialize_with = "null_is_default")]
    tolerations: Vec<TolerationObject>,
    #[serde(deserialize_with = "null_is_default")]
    topology_spread_constraints: Vec<SpreadObject>,
    #[serde(deserialize_with = "null_is_default")]
    scheduling_gates: Vec<Gate>,
    pub(super) containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) init_containers: Vec<Container>,
    pub(super) overhead: Listed,
    pub(super) resources: Option<Resources>,
    #[serde(deserialize_with = "null_is_default")]
    volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Gate {
    name: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: Box<str>,
    image: String,
    pub(super) restart_policy: Option<String>,
    pub(super) resources: Resources,
    #[serde(deserialize_with = "null_is_default")]
    ports: Vec<Port>,
}

impl Container {
    pub(super) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) requests: Listed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    host_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: Word,
    protocol: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    name: Word,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<serde::de::IgnoredAny>,
    csi: Option<CsiSource>,
    gce_persistent_disk: Option<Gce>,
    aws_elastic_block_store: Option<Aws>,
    iscsi: Option<Iscsi>,
    rbd: Option<Rbd>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource {
    claim_name: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiSource {
    driver: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Gce {
    pd_name: String,
    read_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Aws {
    #[serde(rename = "volumeID")]
    volume_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Iscsi {
    iqn: String,
    read_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rbd {
    pool: String,
    image: String,
    read_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    start_time: Option<String>,
    nominated_node_name: Word,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_is_default")]
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: Box<str>,
}

/// What a container was given so far, where its resources are being changed in place.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) allocated_resources: Listed,
}

impl Volume {
    fn counts(self) -> Option<VolumeRef> {
        let disk = |kind: &str, name: &str, shared| VolumeRef::Disk {
            identity: Word::of(&format!("{kind}/{name}")),
            shared,
        };
        if let Some(claim) = self.persistent_volume_claim {
            return Some(VolumeRef::Claim(claim.claim_name));
        }
        if self.ephemeral.is_some() {
            return Some(VolumeRef::Ephemeral(self.name));
        }
        if let Some(csi) = self.csi {
            return Some(VolumeRef::Csi(csi.driver));
        }
        if let Some(gce) = self.gce_persistent_disk {
            return Some(disk("gce", &gce.pd_name, gce.read_only));
        }
        if let Some(aws) = self.aws_elastic_block_store {
            return Some(disk("aws", &aws.volume_id, false));
        }
        if let Some(iscsi) = self.iscsi {
            return Some(disk("iscsi", &iscsi.iqn, iscsi.read_only));
        }
        let rbd = self.rbd?;
        let name = format!("{}/{}", rbd.pool, rbd.image);
        Some(disk("rbd", &name, rbd.read_only))
    }
}

/// The image with a tag, as nodes list it.
fn normalized(image: &str) -> Word {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains(':') {
        Word::of(image)
    } else {
        Word::of(&format!("{image}:latest"))
    }
}

fn host_ports(spec: &Spec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().filter(|c| c.is_sidecar());
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| &c.ports);
    let ports = ports.filter(|port| port.host_port != 0);
    ports
        .map(|port| HostPort {
            ip: port.host_ip.clone(),
            protocol: match port.protocol.is_empty() {
                true => Word::of("TCP"),
                false => port.protocol.clone(),
            },
            port: port.host_port,
        })
        .collect()
}

fn class(metadata: &mut Metadata, mut spec: Spec, statuses: &[ContainerStatus]) -> Class {
    let labels = std::mem::take(&mut metadata.labels);
    let namespace = &metadata.namespace;
    let affinity = spec.affinity.take().unwrap_or_default();
    let node = affinity.node_affinity.unwrap_or_default().terms();
    let near = affinity.pod_affinity.unwrap_or_default();
    let (near, near_preferred) = near.terms(namespace, &labels);
    let apart = affinity.pod_anti_affinity.unwrap_or_default();
    let (apart, apart_preferred) = apart.terms(namespace, &labels);
    let selector = std::mem::take(&mut spec.node_selector);
    let selector = selector.pairs().iter().cloned();
    let owner = metadata
        .owner_references
        .iter()
        .find(|owner| owner.controller);
    Class {
        namespace: namespace.clone(),
        priority: spec.priority,
        preempts: spec.preemption_policy != "Never",
        requests: requests::requests(&spec, statuses).tidy(),
        scored: requests::scored(&spec, statuses),
        ports: host_ports(&spec),
        node_selector: selector.map(|(k, v)| Requirement::equal(k, v)).collect(),
        node_required: node.0,
        node_preferred: node.1,
        near,
        near_preferred,
        apart,
        apart_preferred,
        images: spec
            .containers
            .iter()
            .map(|c| normalized(&c.image))
            .collect(),
        owner: owner.map(|owner| (owner.kind.clone(), owner.name.clone())),
        spread: {
            let spreads = spec.topology_spread_constraints.into_iter();
            spreads.map(|spread| spread.spread(&labels)).collect()
        },
        tolerations: {
            let tolerations = spec.tolerations.into_iter();
            tolerations
                .filter_map(TolerationObject::toleration)
                .collect()
        },
        volumes: spec
            .volumes
            .into_iter()
            .filter_map(Volume::counts)
            .collect(),
        gates: spec
            .scheduling_gates
            .into_iter()
            .map(|gate| gate.name)
            .collect(),
        scheduler: match spec.scheduler_name.is_empty() {
            true => Word::of("default-scheduler"),
            false => spec.scheduler_name,
        },
        labels,
    }
}

fn seconds(text: Option<&String>) -> Option<i64> {
    let time: Timestamp = text?.parse().ok()?;
    Some(time.as_second())
}

fn given(word: Word) -> Option<Word> {
    (!word.is_empty()).then_some(word)
}

impl From<PodObject> for Pod {
    fn from(object: PodObject) -> Self {
        let PodObject {
            mut metadata,
            mut spec,
            status,
        } = object;
        let node = given(std::mem::take(&mut spec.node_name));
        let mut conditions = status.conditions.into_iter();
        let preempted = |condition: &Condition| {
            condition.r#type == "DisruptionTarget"
                && condition.status == "True"
                && condition.reason == "PreemptionByScheduler"
        };
        let preempted = conditions.as_slice().iter().any(preempted);
        let refused = conditions
            .find(|condition| condition.r#type == "PodScheduled" && condition.status == "False");
        Self {
            class: class(&mut metadata, spec, &status.container_statuses).shared(),
            key: PodKey {
                namespace: metadata.namespace,
                name: metadata.name,
            },
            uid: metadata.uid,
            version: metadata.resource_version,
            node,
            nominated: given(status.nominated_node_name),
            started: seconds(status.start_time.as_ref()),
            created: seconds(metadata.creation_timestamp.as_ref()).unwrap_or(0),
            deleting: metadata.deletion_timestamp.is_some(),
            preempted,
            finished: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            refused: refused.map(|condition| condition.message),
        }
    }
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        PodObject::deserialize(from).map(Self::from)
    }
}

/// Amounts of a list, by kind.
fn listed(listed: &Listed) -> Amounts {
    quantity::read(listed)
}

/// Whether a resource is said of a list.
fn says(listed: &Listed, kind: &Kind) -> bool {
    listed.contains_key(kind.name())
}
