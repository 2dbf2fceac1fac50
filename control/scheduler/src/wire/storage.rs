//! Claims, volumes, classes of storage, and what CSI drivers say.

use std::collections::BTreeMap;

use keelson_client::Object;
use serde::Deserialize;

use super::affinity::{LabelSelector, NodeSelector, read_selector, selector};
use super::quantity::whole;
use super::{Metadata, null_is_default, watched};
use crate::intern::Word;
use crate::model::storage::{Capacity, Claim, CsiNode, StorageClass, Volume};
use crate::model::{NodeTerm, Requirement, Selector, Test};
use keelson_api::WireQuantity;

const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Names the node that a claim's new volume has to be reachable from.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Metadata with what only claims need.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimMetadata {
    uid: Word,
    namespace: Word,
    name: Word,
    resource_version: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, Word>,
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_is_default")]
    owner_references: Vec<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    uid: Word,
    controller: bool,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClaimObject {
    metadata: ClaimMetadata,
    spec: ClaimSpec,
}

watched!(ClaimObject);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec {
    storage_class_name: Option<Word>,
    volume_name: Word,
    volume_mode: Option<Word>,
    #[serde(deserialize_with = "null_is_default")]
    access_modes: Vec<Word>,
    resources: ClaimResources,
    selector: Option<SelectorObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimResources {
    #[serde(deserialize_with = "null_is_default")]
    requests: BTreeMap<String, WireQuantity>,
}

/// A selector that is kept as scheduling sees it.
#[derive(Debug)]
struct SelectorObject(Selector);

impl<'de> Deserialize<'de> for SelectorObject {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        LabelSelector::deserialize(from).map(|read| Self(selector(Some(read))))
    }
}

fn size(amounts: &BTreeMap<String, WireQuantity>) -> i64 {
    amounts.get("storage").map_or(0, whole)
}

fn mode(given: Option<&Word>) -> Word {
    given.cloned().unwrap_or_else(|| Word::of("Filesystem"))
}

impl ClaimObject {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> crate::model::PodKey {
        crate::model::PodKey {
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
        }
    }

    /// As scheduling sees it.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let notes = &self.metadata;
        let note = |name: &str| notes.annotations.get(name).cloned();
        let spec = &self.spec;
        let mut owners = notes.owner_references.iter();
        let owner = owners.find(|owner| owner.controller);
        Claim {
            uid: notes.uid.clone(),
            class: note(OLD_CLASS).or_else(|| spec.storage_class_name.clone()),
            bound: !spec.volume_name.is_empty() && note(COMPLETED).is_some(),
            volume: spec.volume_name.clone(),
            one_pod: spec
                .access_modes
                .iter()
                .any(|mode| mode.text() == "ReadWriteOncePod"),
            modes: spec.access_modes.clone(),
            mode: mode(spec.volume_mode.as_ref()),
            size: size(&spec.resources.requests),
            selector: spec.selector.as_ref().map(|selector| selector.0.clone()),
            selected_node: note(SELECTED_NODE).unwrap_or_default(),
            owner: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            deleting: notes.deletion_timestamp.is_some(),
        }
    }
}

/// A PersistentVolume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeObject {
    /// Its metadata.
    pub metadata: Metadata,
    spec: VolumeSpec,
    status: VolumeStatus,
}
watched!(VolumeObject);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VolumeSpec {
    storage_class_name: Word,
    claim_ref: Option<ClaimRef>,
    #[serde(deserialize_with = "null_is_default")]
    capacity: BTreeMap<String, WireQuantity>,
    #[serde(deserialize_with = "null_is_default")]
    access_modes: Vec<Word>,
    volume_mode: Option<Word>,
    node_affinity: Option<VolumeAffinity>,
    csi: Option<Csi>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimRef {
    namespace: Word,
    name: Word,
    uid: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeAffinity {
    #[serde(deserialize_with = "read_terms")]
    required: Option<Vec<NodeTerm>>,
}

fn read_terms<'de, D>(from: D) -> Result<Option<Vec<NodeTerm>>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let selector: Option<NodeSelector> = Option::deserialize(from)?;
    Ok(selector.map(NodeSelector::terms))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Csi {
    driver: Word,
    volume_handle: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeStatus {
    phase: String,
}

impl VolumeObject {
    /// As scheduling sees it.
    #[must_use]
    pub fn volume(&self) -> Volume {
        let spec = &self.spec;
        let claim = spec.claim_ref.as_ref();
        let affinity = spec.node_affinity.as_ref();
        let csi = spec.csi.as_ref();
        Volume {
            name: self.metadata.name.clone(),
            class: spec.storage_class_name.clone(),
            claim: claim.map(|c| (c.namespace.clone(), c.name.clone(), c.uid.clone())),
            available: self.status.phase == "Available",
            size: size(&spec.capacity),
            modes: spec.access_modes.clone(),
            mode: mode(spec.volume_mode.as_ref()),
            labels: self.metadata.labels.clone(),
            nodes: affinity.and_then(|affinity| affinity.required.clone()),
            csi: csi.map(|csi| (csi.driver.clone(), csi.volume_handle.clone())),
        }
    }
}

/// A StorageClass.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClassObject {
    /// Its metadata.
    pub metadata: Metadata,
    provisioner: Word,
    volume_binding_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    allowed_topologies: Vec<Topology>,
}
watched!(ClassObject);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Topology {
    #[serde(deserialize_with = "null_is_default")]
    match_label_expressions: Vec<TopologyLabel>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TopologyLabel {
    key: Word,
    #[serde(deserialize_with = "null_is_default")]
    values: Vec<Word>,
}

impl ClassObject {
    /// As scheduling sees it.
    #[must_use]
    pub fn class(&self) -> StorageClass {
        let topologies = self.allowed_topologies.iter().map(|topology| NodeTerm {
            labels: topology
                .match_label_expressions
                .iter()
                .map(|label| Requirement {
                    key: label.key.clone(),
                    test: Test::In(label.values.clone()),
                })
                .collect(),
            names: Vec::new(),
        });
        StorageClass {
            provisioner: self.provisioner.clone(),
            waits: self.volume_binding_mode == "WaitForFirstConsumer",
            topologies: topologies.collect(),
        }
    }
}

/// A CSINode.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeObject {
    /// Its metadata.
    pub metadata: Metadata,
    spec: CsiNodeSpec,
}
watched!(CsiNodeObject);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CsiNodeSpec {
    #[serde(deserialize_with = "null_is_default")]
    drivers: Vec<DriverOnNode>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DriverOnNode {
    name: Word,
    allocatable: Option<Attachable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attachable {
    count: Option<i64>,
}

impl CsiNodeObject {
    /// As scheduling sees it.
    #[must_use]
    pub fn node(&self) -> CsiNode {
        let drivers = self.spec.drivers.iter().map(|driver| {
            let count = driver.allocatable.as_ref().and_then(|a| a.count);
            (driver.name.clone(), count)
        });
        CsiNode {
            drivers: drivers.collect(),
        }
    }
}

/// A CSIDriver.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DriverObject {
    /// Its metadata.
    pub metadata: Metadata,
    spec: DriverSpec,
}
watched!(DriverObject);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DriverSpec {
    storage_capacity: bool,
}

impl DriverObject {
    /// Whether the driver tells how much room it has.
    #[must_use]
    pub fn tells_capacity(&self) -> bool {
        self.spec.storage_capacity
    }
}

/// A CSIStorageCapacity.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CapacityObject {
    /// Its metadata.
    pub metadata: Metadata,
    storage_class_name: Word,
    node_topology: Option<CapacityNodes>,
    capacity: Option<WireQuantity>,
    maximum_volume_size: Option<WireQuantity>,
}
watched!(CapacityObject);

#[derive(Debug)]
struct CapacityNodes(Selector);

impl<'de> Deserialize<'de> for CapacityNodes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_selector(from).map(Self)
    }
}

impl CapacityObject {
    /// As scheduling sees it.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity {
            class: self.storage_class_name.clone(),
            nodes: self.node_topology.as_ref().map(|nodes| nodes.0.clone()),
            free: self.capacity.as_ref().map(whole),
            largest: self.maximum_volume_size.as_ref().map(whole),
        }
    }
}
