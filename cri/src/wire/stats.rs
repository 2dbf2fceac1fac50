//! Conversion of usage statistics.

use crate::proto::runtime as pb;
use crate::values::stats::{
    ContainerStats, CpuUsage, FilesystemUsage, ImageFsInfo, InterfaceUsage, IoUsage, MemoryUsage,
    Pressure, SandboxStats, Stall, SwapUsage,
};

use super::{WireError, all, missing, timestamp};

fn value(counter: Option<pb::UInt64Value>) -> Option<u64> {
    counter.map(|counter| counter.value)
}

impl TryFrom<pb::ContainerStats> for ContainerStats {
    type Error = WireError;

    fn try_from(stats: pb::ContainerStats) -> Result<Self, WireError> {
        let about = stats
            .attributes
            .ok_or_else(|| missing("container stats", "", "attributes"))?;
        let metadata = about
            .metadata
            .ok_or_else(|| missing("container stats", &about.id, "metadata"))?;
        Ok(Self {
            id: about.id,
            name: metadata.name,
            attempt: metadata.attempt,
            labels: about.labels,
            cpu: stats.cpu.map(CpuUsage::from),
            memory: stats.memory.map(MemoryUsage::from),
            swap: stats.swap.map(SwapUsage::from),
            writable_layer: stats.writable_layer.map(FilesystemUsage::from),
            io: stats.io.map(IoUsage::from),
        })
    }
}

impl TryFrom<pb::PodSandboxStats> for SandboxStats {
    type Error = WireError;

    fn try_from(stats: pb::PodSandboxStats) -> Result<Self, WireError> {
        let about = stats
            .attributes
            .ok_or_else(|| missing("sandbox stats", "", "attributes"))?;
        let metadata = about
            .metadata
            .ok_or_else(|| missing("sandbox stats", &about.id, "metadata"))?;
        let linux = stats.linux.unwrap_or_default();
        Ok(Self {
            id: about.id,
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            labels: about.labels,
            cpu: linux.cpu.map(CpuUsage::from),
            memory: linux.memory.map(MemoryUsage::from),
            io: linux.io.map(IoUsage::from),
            interfaces: interfaces(linux.network.unwrap_or_default()),
            processes: linux
                .process
                .and_then(|process| value(process.process_count)),
            containers: all(linux.containers)?,
        })
    }
}

/// The default interface first. Some runtimes repeat it among the others.
fn interfaces(network: pb::NetworkUsage) -> Vec<InterfaceUsage> {
    let first = network.default_interface;
    let default_name = first.as_ref().map(|interface| interface.name.clone());
    let others = network
        .interfaces
        .into_iter()
        .filter(|interface| Some(&interface.name) != default_name.as_ref());
    first
        .into_iter()
        .chain(others)
        .map(InterfaceUsage::from)
        .collect()
}

impl From<pb::CpuUsage> for CpuUsage {
    fn from(usage: pb::CpuUsage) -> Self {
        Self {
            at: timestamp(usage.timestamp),
            usage_core_nanos: value(usage.usage_core_nano_seconds),
            usage_nano_cores: value(usage.usage_nano_cores),
            pressure: usage.psi.map(Pressure::from),
        }
    }
}

impl From<pb::MemoryUsage> for MemoryUsage {
    fn from(usage: pb::MemoryUsage) -> Self {
        Self {
            at: timestamp(usage.timestamp),
            working_set: value(usage.working_set_bytes),
            available: value(usage.available_bytes),
            usage: value(usage.usage_bytes),
            rss: value(usage.rss_bytes),
            page_faults: value(usage.page_faults),
            major_page_faults: value(usage.major_page_faults),
            pressure: usage.psi.map(Pressure::from),
        }
    }
}

impl From<pb::SwapUsage> for SwapUsage {
    fn from(usage: pb::SwapUsage) -> Self {
        Self {
            at: timestamp(usage.timestamp),
            available: value(usage.swap_available_bytes),
            usage: value(usage.swap_usage_bytes),
        }
    }
}

impl From<pb::IoUsage> for IoUsage {
    fn from(usage: pb::IoUsage) -> Self {
        Self {
            at: timestamp(usage.timestamp),
            pressure: usage.psi.map(Pressure::from),
        }
    }
}

impl From<pb::FilesystemUsage> for FilesystemUsage {
    fn from(usage: pb::FilesystemUsage) -> Self {
        Self {
            at: timestamp(usage.timestamp),
            mountpoint: usage.fs_id.unwrap_or_default().mountpoint,
            used_bytes: value(usage.used_bytes),
            inodes_used: value(usage.inodes_used),
        }
    }
}

impl From<pb::ImageFsInfoResponse> for ImageFsInfo {
    fn from(reply: pb::ImageFsInfoResponse) -> Self {
        let usages = |list: Vec<pb::FilesystemUsage>| list.into_iter().map(Into::into).collect();
        Self {
            images: usages(reply.image_filesystems),
            containers: usages(reply.container_filesystems),
        }
    }
}

impl From<pb::NetworkInterfaceUsage> for InterfaceUsage {
    fn from(usage: pb::NetworkInterfaceUsage) -> Self {
        Self {
            name: usage.name,
            rx_bytes: value(usage.rx_bytes),
            rx_errors: value(usage.rx_errors),
            tx_bytes: value(usage.tx_bytes),
            tx_errors: value(usage.tx_errors),
        }
    }
}

impl From<pb::PsiStats> for Pressure {
    fn from(psi: pb::PsiStats) -> Self {
        let stall = |data: Option<pb::PsiData>| data.map(Stall::from).unwrap_or_default();
        Self {
            some: stall(psi.some),
            full: stall(psi.full),
        }
    }
}

impl From<pb::PsiData> for Stall {
    fn from(data: pb::PsiData) -> Self {
        Self {
            total: data.total,
            avg10: data.avg10,
            avg60: data.avg60,
            avg300: data.avg300,
        }
    }
}
