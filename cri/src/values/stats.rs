//! Usage of resources as the runtime counts it. A value that it does not count is absent.

use jiff::Timestamp;

use super::Labels;

/// Usage of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStats {
    /// The runtime's id.
    pub id: String,
    /// Its name within the pod.
    pub name: String,
    /// Counts the instances that this container has had.
    pub attempt: u32,
    /// Labels of the container.
    pub labels: Labels,
    /// Processor.
    pub cpu: Option<CpuUsage>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Swap space.
    pub swap: Option<SwapUsage>,
    /// What it wrote over its image.
    pub writable_layer: Option<FilesystemUsage>,
    /// Block devices.
    pub io: Option<IoUsage>,
}

/// Usage of a whole pod.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxStats {
    /// The sandbox's id.
    pub id: String,
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// UID of the pod.
    pub uid: String,
    /// Labels of the sandbox.
    pub labels: Labels,
    /// Processor.
    pub cpu: Option<CpuUsage>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Block devices.
    pub io: Option<IoUsage>,
    /// Network interfaces, the default one first.
    pub interfaces: Vec<InterfaceUsage>,
    /// Number of processes.
    pub processes: Option<u64>,
    /// The pod's containers.
    pub containers: Vec<ContainerStats>,
}

/// Processor time.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuUsage {
    /// When it was read.
    pub at: Option<Timestamp>,
    /// Nanoseconds of one core, since the start.
    pub usage_core_nanos: Option<u64>,
    /// Nanoseconds of one core per second, now.
    pub usage_nano_cores: Option<u64>,
    /// Waiting for a processor.
    pub pressure: Option<Pressure>,
}

/// Memory in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryUsage {
    /// When it was read.
    pub at: Option<Timestamp>,
    /// What can't be reclaimed without cost.
    pub working_set: Option<u64>,
    /// The limit less the working set.
    pub available: Option<u64>,
    /// Everything, caches included.
    pub usage: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// Page faults since the start.
    pub page_faults: Option<u64>,
    /// Page faults that read from disk, since the start.
    pub major_page_faults: Option<u64>,
    /// Waiting for memory.
    pub pressure: Option<Pressure>,
}

/// Swap space in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapUsage {
    /// When it was read.
    pub at: Option<Timestamp>,
    /// Left of the limit.
    pub available: Option<u64>,
    /// In use.
    pub usage: Option<u64>,
}

/// Block devices.
#[derive(Clone, Debug, PartialEq)]
pub struct IoUsage {
    /// When it was read.
    pub at: Option<Timestamp>,
    /// Waiting for a device.
    pub pressure: Option<Pressure>,
}

/// A file system, or what one owner uses of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// When it was read.
    pub at: Option<Timestamp>,
    /// The path that names the file system.
    pub mountpoint: String,
    /// Bytes in use.
    pub used_bytes: Option<u64>,
    /// Inodes in use.
    pub inodes_used: Option<u64>,
}

/// The file systems that hold images and the containers' writable layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFsInfo {
    /// For images.
    pub images: Vec<FilesystemUsage>,
    /// For writable layers; the same as for images unless split.
    pub containers: Vec<FilesystemUsage>,
}

/// Traffic of a network interface since it came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceUsage {
    /// Its name in the pod.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: Option<u64>,
    /// Errors on receipt.
    pub rx_errors: Option<u64>,
    /// Bytes sent.
    pub tx_bytes: Option<u64>,
    /// Errors on sending.
    pub tx_errors: Option<u64>,
}

/// Pressure stall information.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited.
    pub full: Stall,
}

/// How long tasks waited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stall {
    /// Nanoseconds since the start.
    pub total: u64,
    /// Percent of the last 10 s.
    pub avg10: f64,
    /// Percent of the last 60 s.
    pub avg60: f64,
    /// Percent of the last 300 s.
    pub avg300: f64,
}
