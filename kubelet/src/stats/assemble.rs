//! From what was read to the summary. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keelson_cri::values::stats::InterfaceUsage;

use super::input::{
    ContainerReading, FsReading, LastCpu, NodeMemory, NodeReading, PodReading, Reading,
    VolumeReading,
};
use super::summary::{
    ContainerStats, CpuStats, FsStats, InterfaceStats, IoStats, MemoryStats, NetworkStats,
    NodeStats, PodReference, PodStats, ProcessStats, PsiData, PsiStats, RlimitStats, RuntimeStats,
    Summary, SwapStats, VolumeStats,
};
use crate::cgroup::Usage;
use crate::cgroup::stats::{Psi, PsiLine};

/// The interface that the network plugin gives a pod.
const POD_INTERFACE: &str = "eth0";

/// Builds the summary. `last` gives the rates of CPU use.
pub fn assemble(reading: &Reading, last: &LastCpu) -> Summary {
    let context = Context { reading, last };
    Summary {
        node: context.node(&reading.node),
        pods: reading.pods.iter().map(|pod| context.pod(pod)).collect(),
    }
}

/// What the next summary needs of this one for its rates.
pub fn remember(reading: &Reading) -> LastCpu {
    let mut last = LastCpu {
        at: Some(reading.at),
        ..LastCpu::default()
    };
    let mut keep = |key: &str, nanos: Option<u64>| {
        if let Some(nanos) = nanos {
            last.nanos.insert(key.to_owned(), nanos);
        }
    };
    keep("", reading.node.cpu_nanos);
    for pod in &reading.pods {
        keep(&pod.uid, pod.usage.and_then(|usage| usage.cpu_nanos));
        for one in &pod.containers {
            keep(&one.id, one.usage.and_then(|usage| usage.cpu_nanos));
        }
    }
    last
}

struct Context<'a> {
    reading: &'a Reading,
    last: &'a LastCpu,
}

impl Context<'_> {
    fn time(&self) -> Time {
        Time(self.reading.at)
    }

    fn node(&self, node: &NodeReading) -> NodeStats {
        let boot = Timestamp::from_second(node.boot_second).unwrap_or(Timestamp::UNIX_EPOCH);
        let groups = [("kubelet", node.kubelet), ("pods", node.pods)];
        let groups = groups.into_iter().filter_map(|(name, usage)| {
            let reading = ContainerReading {
                name: name.to_owned(),
                usage: Some(usage?),
                ..ContainerReading::default()
            };
            Some(self.container(&reading))
        });
        let pressure = node.pressure;
        NodeStats {
            node_name: node.name.clone(),
            system_containers: groups.collect(),
            start_time: Time(boot),
            cpu: self.cpu("", node.cpu_nanos, pressure.cpu),
            memory: node
                .memory
                .map(|memory| self.node_memory(memory, pressure.memory)),
            io: self.io(pressure.io),
            network: self.network(&node.interfaces, node.default_interface.as_deref()),
            fs: node.fs.map(|fs| self.whole_fs(fs)),
            runtime: self.runtime(node),
            rlimit: node.processes.map(|(max, running)| RlimitStats {
                time: self.time(),
                max_pid: Some(max),
                running: Some(running),
            }),
            swap: node.memory.map(|memory| SwapStats {
                time: self.time(),
                swap_available_bytes: Some(memory.swap_free),
                swap_usage_bytes: Some(memory.swap_total.saturating_sub(memory.swap_free)),
            }),
        }
    }

    fn runtime(&self, node: &NodeReading) -> Option<RuntimeStats> {
        node.image_fs.or(node.container_fs)?;
        Some(RuntimeStats {
            image_fs: node.image_fs.map(|fs| self.whole_fs(fs)),
            container_fs: self.layers().map(|fs| self.whole_fs(fs)),
        })
    }

    fn pod(&self, pod: &PodReading) -> PodStats {
        let usage = pod.usage.unwrap_or_default();
        let pressure = usage.pressure.unwrap_or_default();
        PodStats {
            pod_ref: PodReference {
                name: pod.name.clone(),
                namespace: pod.namespace.clone(),
                uid: pod.uid.clone(),
            },
            start_time: pod.started.map(Time),
            containers: pod.containers.iter().map(|c| self.container(c)).collect(),
            cpu: self.cpu(&pod.uid, usage.cpu_nanos, pressure.cpu),
            memory: self.memory(&usage),
            io: self.io(pressure.io),
            network: self.network(&pod.interfaces, Some(POD_INTERFACE)),
            ephemeral_storage: self.ephemeral_storage(pod),
            volumes: pod
                .volumes
                .iter()
                .map(|volume| self.volume(volume))
                .collect(),
            process_stats: usage.pids.map(|count| ProcessStats {
                process_count: Some(count),
            }),
            swap: self.swap(&usage),
        }
    }

    fn container(&self, container: &ContainerReading) -> ContainerStats {
        let usage = container.usage.unwrap_or_default();
        let pressure = usage.pressure.unwrap_or_default();
        let node_fs = self.reading.node.fs;
        ContainerStats {
            name: container.name.clone(),
            start_time: container.started.map(Time),
            cpu: self.cpu(key_of(container), usage.cpu_nanos, pressure.cpu),
            memory: self.memory(&usage),
            io: self.io(pressure.io),
            rootfs: container
                .writable
                .map(|used| self.part_of(self.layers(), used)),
            logs: container.logs.map(|used| self.part_of(node_fs, used)),
            swap: self.swap(&usage),
        }
    }

    /// The file system of writable layers: that of images unless the runtime splits them.
    fn layers(&self) -> Option<FsReading> {
        self.reading
            .node
            .container_fs
            .or(self.reading.node.image_fs)
    }

    fn cpu(&self, key: &str, nanos: Option<u64>, psi: Option<Psi>) -> Option<CpuStats> {
        let nanos = nanos?;
        Some(CpuStats {
            time: self.time(),
            usage_nano_cores: self.rate(key, nanos),
            usage_core_nano_seconds: Some(nanos),
            psi: psi.map(psi_stats),
        })
    }

    /// Nanoseconds of CPU a second since the reading before.
    fn rate(&self, key: &str, nanos: u64) -> Option<u64> {
        let elapsed = self.reading.at.duration_since(self.last.at?).as_nanos();
        let used = nanos.checked_sub(*self.last.nanos.get(key)?)?;
        let rate = i128::from(used) * 1_000_000_000;
        u64::try_from(rate.checked_div(elapsed)?).ok()
    }

    fn memory(&self, usage: &Usage) -> Option<MemoryStats> {
        let memory = usage.memory?;
        let left = |limit: u64| limit.saturating_sub(memory.working_set);
        Some(MemoryStats {
            time: self.time(),
            available_bytes: memory.limit.map(left),
            usage_bytes: Some(memory.usage),
            working_set_bytes: Some(memory.working_set),
            rss_bytes: Some(memory.rss),
            page_faults: Some(memory.page_faults),
            major_page_faults: Some(memory.major_page_faults),
            psi: usage.pressure.and_then(|all| all.memory).map(psi_stats),
        })
    }

    fn node_memory(&self, memory: NodeMemory, psi: Option<Psi>) -> MemoryStats {
        let usage = memory.total.saturating_sub(memory.free);
        let working_set = usage.saturating_sub(memory.inactive_file);
        MemoryStats {
            time: self.time(),
            available_bytes: Some(memory.total.saturating_sub(working_set)),
            usage_bytes: Some(usage),
            working_set_bytes: Some(working_set),
            rss_bytes: Some(memory.anonymous),
            page_faults: Some(memory.page_faults),
            major_page_faults: Some(memory.major_page_faults),
            psi: psi.map(psi_stats),
        }
    }

    fn swap(&self, usage: &Usage) -> Option<SwapStats> {
        usage.swap_bytes.map(|used| SwapStats {
            time: self.time(),
            swap_available_bytes: None,
            swap_usage_bytes: Some(used),
        })
    }

    fn io(&self, psi: Option<Psi>) -> Option<IoStats> {
        psi.map(|psi| IoStats {
            time: self.time(),
            psi: Some(psi_stats(psi)),
        })
    }

    fn network(&self, all: &[InterfaceUsage], default: Option<&str>) -> Option<NetworkStats> {
        let named = all.iter().find(|one| Some(one.name.as_str()) == default);
        let first = named.or_else(|| all.first())?;
        Some(NetworkStats {
            time: self.time(),
            default: interface(first),
            interfaces: all.iter().map(interface).collect(),
        })
    }

    fn volume(&self, volume: &VolumeReading) -> VolumeStats {
        VolumeStats {
            fs: self.whole_fs(volume.fs),
            name: volume.name.clone(),
        }
    }

    fn whole_fs(&self, fs: FsReading) -> FsStats {
        self.part_of(Some(fs), (fs.used, fs.inodes_used))
    }

    /// A part of a file system: its own use, the room of the whole.
    fn part_of(&self, fs: Option<FsReading>, (used, inodes_used): (u64, u64)) -> FsStats {
        FsStats {
            time: self.time(),
            available_bytes: fs.map(|fs| fs.available),
            capacity_bytes: fs.map(|fs| fs.capacity),
            used_bytes: Some(used),
            inodes_free: fs.map(|fs| fs.inodes_free),
            inodes: fs.map(|fs| fs.inodes),
            inodes_used: Some(inodes_used),
        }
    }

    fn ephemeral_storage(&self, pod: &PodReading) -> Option<FsStats> {
        let containers = pod.containers.iter();
        let parts = containers.flat_map(|c| [c.writable, c.logs]).flatten();
        let volumes = pod.volumes.iter().filter(|volume| volume.on_disk);
        let volumes = volumes.map(|volume| (volume.fs.used, volume.fs.inodes_used));
        let sum = parts.chain(volumes).reduce(|a, b| (a.0 + b.0, a.1 + b.1))?;
        Some(self.part_of(self.reading.node.fs, sum))
    }
}

/// Groups of processes have no ID of the runtime.
fn key_of(container: &ContainerReading) -> &str {
    match container.id.as_str() {
        "" => &container.name,
        id => id,
    }
}

fn interface(usage: &InterfaceUsage) -> InterfaceStats {
    InterfaceStats {
        name: usage.name.clone(),
        rx_bytes: usage.rx_bytes,
        rx_errors: usage.rx_errors,
        tx_bytes: usage.tx_bytes,
        tx_errors: usage.tx_errors,
    }
}

fn psi_stats(psi: Psi) -> PsiStats {
    let line = |line: PsiLine| PsiData {
        total: line.total_micros.saturating_mul(1000),
        avg10: line.avg10,
        avg60: line.avg60,
        avg300: line.avg300,
    };
    PsiStats {
        full: line(psi.full),
        some: line(psi.some),
    }
}

#[cfg(test)]
pub(super) mod tests;
