//! What runs low, and what that is called.

/// A quantity that thresholds are set on. The file system of writable layers is always that of
/// images or that of the node here, so it has no signal of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `memory.available`.
    MemoryAvailable,
    /// `allocatableMemory.available`: what pods together may still use.
    AllocatableMemoryAvailable,
    /// `nodefs.available`: the file system of volumes and logs.
    NodefsAvailable,
    /// `nodefs.inodesFree`.
    NodefsInodesFree,
    /// `imagefs.available`: the file system of images and writable layers.
    ImagefsAvailable,
    /// `imagefs.inodesFree`.
    ImagefsInodesFree,
    /// `pid.available`.
    PidAvailable,
}

/// What pods are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `memory`.
    Memory,
    /// `ephemeral-storage`.
    EphemeralStorage,
    /// `inodes`.
    Inodes,
    /// `pids`.
    Pids,
}

/// A condition of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// `MemoryPressure`.
    MemoryPressure,
    /// `DiskPressure`.
    DiskPressure,
    /// `PIDPressure`.
    PidPressure,
}

use Signal::{
    AllocatableMemoryAvailable, ImagefsAvailable, ImagefsInodesFree, MemoryAvailable,
    NodefsAvailable, NodefsInodesFree, PidAvailable,
};

impl Signal {
    /// The signal of a configuration's key. `None`: no such signal, or one that follows another
    /// here (`containerfs.*`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            MemoryAvailable,
            AllocatableMemoryAvailable,
            NodefsAvailable,
            NodefsInodesFree,
            ImagefsAvailable,
            ImagefsInodesFree,
            PidAvailable,
        ];
        all.into_iter().find(|signal| signal.as_str() == name)
    }

    /// Its name in configuration and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MemoryAvailable => "memory.available",
            AllocatableMemoryAvailable => "allocatableMemory.available",
            NodefsAvailable => "nodefs.available",
            NodefsInodesFree => "nodefs.inodesFree",
            ImagefsAvailable => "imagefs.available",
            ImagefsInodesFree => "imagefs.inodesFree",
            PidAvailable => "pid.available",
        }
    }

    /// What the pods that go use most of.
    #[must_use]
    pub fn resource(self) -> Resource {
        match self {
            MemoryAvailable | AllocatableMemoryAvailable => Resource::Memory,
            NodefsAvailable | ImagefsAvailable => Resource::EphemeralStorage,
            NodefsInodesFree | ImagefsInodesFree => Resource::Inodes,
            PidAvailable => Resource::Pids,
        }
    }

    /// The condition of the node while the signal is low.
    #[must_use]
    pub fn condition(self) -> Condition {
        match self.resource() {
            Resource::Memory => Condition::MemoryPressure,
            Resource::EphemeralStorage | Resource::Inodes => Condition::DiskPressure,
            Resource::Pids => Condition::PidPressure,
        }
    }

    /// Unused images are worth removing first.
    #[must_use]
    pub fn is_of_disk(self) -> bool {
        self.condition() == Condition::DiskPressure
    }
}

impl Resource {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::Pids => "pids",
        }
    }
}

impl Condition {
    /// Its type in the node's status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemoryPressure => "MemoryPressure",
            Self::DiskPressure => "DiskPressure",
            Self::PidPressure => "PIDPressure",
        }
    }
}
