//! What was read, before it is put into a summary. Plain values.

use std::collections::HashMap;

use jiff::Timestamp;
use keelson_cri::values::stats::InterfaceUsage;

use crate::cgroup::Usage;
use crate::cgroup::stats::Pressure;

/// Everything read for one summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When it was read.
    pub at: Timestamp,
    /// The machine.
    pub node: NodeReading,
    /// The pods that have a running container.
    pub pods: Vec<PodReading>,
}

/// What was read of the machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeReading {
    /// The node's name.
    pub name: String,
    /// Boot, as Unix time in seconds.
    pub boot_second: i64,
    /// CPU time of everything but idling, in nanoseconds.
    pub cpu_nanos: Option<u64>,
    /// Memory of the machine.
    pub memory: Option<NodeMemory>,
    /// Pressure of the whole machine.
    pub pressure: Pressure,
    /// Interfaces of the machine.
    pub interfaces: Vec<InterfaceUsage>,
    /// The interface of the default route.
    pub default_interface: Option<String>,
    /// Process IDs there may be, and tasks there are.
    pub processes: Option<(u64, u64)>,
    /// The file system of the kubelet's directory.
    pub fs: Option<FsReading>,
    /// The file system of images, with what images use.
    pub image_fs: Option<FsReading>,
    /// The file system of writable layers, with what they use.
    pub container_fs: Option<FsReading>,
    /// The kubelet itself.
    pub kubelet: Option<Usage>,
    /// All pods together.
    pub pods: Option<Usage>,
}

/// Memory of the machine, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeMemory {
    /// All there is.
    pub total: u64,
    /// Not used for anything.
    pub free: u64,
    /// Page cache that is easy to reclaim.
    pub inactive_file: u64,
    /// Anonymous memory.
    pub anonymous: u64,
    /// Swap there is.
    pub swap_total: u64,
    /// Swap not used.
    pub swap_free: u64,
    /// Page faults since boot.
    pub page_faults: u64,
    /// Page faults that had to read a disk.
    pub major_page_faults: u64,
}

/// A file system, and what the part of interest uses of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FsReading {
    /// Bytes left for users.
    pub available: u64,
    /// Bytes in all.
    pub capacity: u64,
    /// Bytes used.
    pub used: u64,
    /// Inodes left.
    pub inodes_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes used.
    pub inodes_used: u64,
}

/// What was read of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodReading {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Its cgroup.
    pub usage: Option<Usage>,
    /// Interfaces in its network namespace.
    pub interfaces: Vec<InterfaceUsage>,
    /// Packets through the same interfaces, by name.
    pub packets: Vec<(String, Packets)>,
    /// Its volumes that lie on the node.
    pub volumes: Vec<VolumeReading>,
    /// Its running containers.
    pub containers: Vec<ContainerReading>,
}

/// Packets through one interface since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packets {
    /// Received.
    pub received: u64,
    /// Received and dropped.
    pub receive_dropped: u64,
    /// Sent.
    pub sent: u64,
    /// To be sent and dropped.
    pub send_dropped: u64,
}

/// What was read of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeReading {
    /// Its name in the pod.
    pub name: String,
    /// Its file system, and what it uses of it.
    pub fs: FsReading,
    /// It lies on the node's disk, not in memory.
    pub on_disk: bool,
}

/// What was read of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerReading {
    /// Its name.
    pub name: String,
    /// The runtime's ID.
    pub id: String,
    /// Its image, as its status names it.
    pub image: String,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Its cgroup.
    pub usage: Option<Usage>,
    /// Bytes and inodes of its writable layer.
    pub writable: Option<(u64, u64)>,
    /// Bytes and number of its log files.
    pub logs: Option<(u64, u64)>,
}

/// CPU time at the reading before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastCpu {
    /// When that was.
    pub at: Option<Timestamp>,
    /// Nanoseconds in all, by container ID, pod UID, or the empty key for the node.
    pub nanos: HashMap<String, u64>,
}
