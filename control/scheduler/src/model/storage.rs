//! Claims, volumes, classes of storage and what CSI drivers say: as much as placing needs.

use crate::intern::Word;
use crate::model::{Labels, NodeTerm, PodKey};

/// A claim on storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// `metadata.uid`.
    pub uid: Word,
    /// The class that it names; `None` where it names none.
    pub class: Option<Word>,
    /// The volume that it is bound to or asks for; empty for none.
    pub volume: Word,
    /// Whether the binding is complete.
    pub bound: bool,
    /// Whether only one pod may use it (`ReadWriteOncePod`).
    pub one_pod: bool,
    /// Access modes asked for.
    pub modes: Vec<Word>,
    /// `Block` or `Filesystem`.
    pub mode: Word,
    /// Bytes.
    pub size: i64,
    /// Labels of volumes that will do; `None` for any.
    pub selector: Option<crate::model::Selector>,
    /// The annotation that names the node chosen for a new volume.
    pub selected_node: Word,
    /// Who it was made for, as uid, where an ephemeral volume of a pod is what it is.
    pub owner: Word,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: Word,
    /// Its class; empty for none.
    pub class: Word,
    /// The claim that it is for: namespace, name and uid; empty where it is free.
    pub claim: Option<(Word, Word, Word)>,
    /// Whether it is free to be claimed (`status.phase` is `Available`).
    pub available: bool,
    /// Bytes.
    pub size: i64,
    /// Access modes.
    pub modes: Vec<Word>,
    /// `Block` or `Filesystem`.
    pub mode: Word,
    /// Its labels.
    pub labels: Labels,
    /// Nodes that reach it; `None` for all.
    pub nodes: Option<Vec<NodeTerm>>,
    /// Its CSI driver and handle.
    pub csi: Option<(Word, Word)>,
}

/// A class of storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageClass {
    /// Who makes volumes.
    pub provisioner: Word,
    /// Whether volumes are bound when a pod that uses them is placed.
    pub waits: bool,
    /// Where volumes can be made; empty for anywhere.
    pub topologies: Vec<NodeTerm>,
}

/// What a node's CSI drivers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiNode {
    /// Driver and how many volumes it can attach; `None` for no limit.
    pub drivers: Vec<(Word, Option<i64>)>,
}

/// How much room a CSI driver has in a part of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// The class it is for.
    pub class: Word,
    /// Nodes that it is for; `None` for none.
    pub nodes: Option<crate::model::Selector>,
    /// Bytes left; `None` if not known.
    pub free: Option<i64>,
    /// The largest volume in bytes; `None` if not known.
    pub largest: Option<i64>,
}

/// What becomes of a claim when its pod is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The claim.
    pub claim: PodKey,
    /// The volume that it gets; `None` where one is made for it.
    pub volume: Option<Word>,
}
