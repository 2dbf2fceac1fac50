//! The pods' part of the cgroup tree on this machine: what the executor calls. Holds no state but
//! where the tree is, so it can be shared and asked again after a crash.
//!
//! Guarantees: every call may be repeated; what is there is adopted, what is gone is gone.
//! Assumptions: nobody else makes cgroups below `ROOT/kubepods`, except the runtime inside pods.
//! Caveat: calls block, the removing ones up to seven seconds for processes that will not end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::apply::{self, CgroupError};
use super::hierarchy::{Hierarchy, Version};
use super::names::{CgroupName, Driver, Tier};
use super::plan::{Limits, qos_limits};
use super::processes;
use super::stats::{Usage, read_usage};
use super::systemd;
use crate::volume::mount;

/// The cgroup of one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodCgroup {
    /// UID of the pod.
    pub uid: String,
    /// The tier it was put on.
    pub tier: Tier,
}

/// Makes, changes, reads and removes the cgroups of pods.
#[derive(Debug, Clone)]
pub struct Manager {
    hierarchy: Hierarchy,
    driver: Driver,
    pods: CgroupName,
    page_sizes: Vec<u64>,
}

impl Manager {
    /// Looks at what is mounted. `driver` is what the runtime says it uses; `cgroup_root` is
    /// `KubeletConfiguration.cgroupRoot`, below which `kubepods` will be made.
    ///
    /// # Errors
    /// The machine lacks what is needed, or the root is malformed.
    pub fn detect(driver: Driver, cgroup_root: &str) -> Result<Self, CgroupError> {
        let table = mount::table().map_err(CgroupError::MountTable)?;
        let hierarchy = Hierarchy::of(&table)?;
        let pods = CgroupName::parse(cgroup_root)?.pods();
        Ok(Self {
            hierarchy,
            driver,
            pods,
            page_sizes: page_sizes(),
        })
    }

    /// cgroup version of this machine.
    #[must_use]
    pub fn version(&self) -> Version {
        self.hierarchy.version()
    }

    /// What the user should be told once: limits that have no effect here.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.hierarchy.notes()
    }

    /// Huge page sizes of this machine in bytes, for [`super::Policy`].
    #[must_use]
    pub fn page_sizes(&self) -> &[u64] {
        &self.page_sizes
    }

    /// What CRI takes as `cgroup_parent` of a pod's sandbox.
    #[must_use]
    pub fn pod_cgroup_parent(&self, pod: &PodCgroup) -> String {
        self.name(pod).cri_parent(self.driver)
    }

    fn name(&self, pod: &PodCgroup) -> CgroupName {
        self.pods.pod(pod.tier, &pod.uid)
    }

    /// Makes the pods' root and the tiers, and sets their limits: `node` is what
    /// [`super::node_limits`] decided, or nothing when `enforceNodeAllocatable` lacks `pods`.
    ///
    /// # Errors
    /// The step that failed.
    pub fn set_up_qos(&self, node: &Limits, burstable_milli_cpu: u64) -> Result<(), CgroupError> {
        self.set_up(&self.pods, node)?;
        self.update_qos(burstable_milli_cpu)
    }

    /// Sets the tiers' weights again, after pods came or went.
    ///
    /// # Errors
    /// The step that failed.
    pub fn update_qos(&self, burstable_milli_cpu: u64) -> Result<(), CgroupError> {
        [Tier::Burstable, Tier::BestEffort]
            .into_iter()
            .try_for_each(|tier| {
                let limits = qos_limits(tier, burstable_milli_cpu, &self.page_sizes);
                self.set_up(&self.pods.tier(tier), &limits)
            })
    }

    /// Makes the cgroup of a pod, or adopts it, and sets its limits.
    ///
    /// # Errors
    /// The step that failed.
    pub fn set_up_pod(&self, pod: &PodCgroup, limits: &Limits) -> Result<(), CgroupError> {
        self.set_up(&self.name(pod), limits)
    }

    /// Changes the limits of a pod's cgroup, which must be there.
    ///
    /// # Errors
    /// The step that failed.
    pub fn update_pod(&self, pod: &PodCgroup, limits: &Limits) -> Result<(), CgroupError> {
        let name = self.name(pod);
        if self.driver == Driver::Systemd {
            systemd::set_properties(&name, limits, self.version())?;
        }
        apply::write_limits(&self.hierarchy, &name, self.driver, limits)
    }

    fn set_up(&self, name: &CgroupName, limits: &Limits) -> Result<(), CgroupError> {
        if self.driver == Driver::Systemd {
            systemd::start_slice(name, limits, self.version())?;
        }
        apply::create(&self.hierarchy, name, self.driver)?;
        apply::write_limits(&self.hierarchy, name, self.driver, limits)
    }

    /// Kills what is left in a pod's cgroup and removes it. Gone already is success.
    ///
    /// # Errors
    /// The step that failed; [`CgroupError::Unkillable`] names processes stuck in the kernel.
    pub fn remove_pod(&self, pod: &PodCgroup) -> Result<(), CgroupError> {
        self.remove(&self.name(pod))
    }

    /// Kills and removes everything below and including the pods' root: what `down` does.
    ///
    /// # Errors
    /// The step that failed.
    pub fn remove_all(&self) -> Result<(), CgroupError> {
        for pod in self.pods().map_err(|source| self.listing_failed(source))? {
            self.remove_pod(&pod)?;
        }
        for tier in [Tier::Burstable, Tier::BestEffort, Tier::Guaranteed] {
            self.remove(&self.pods.tier(tier))?;
        }
        Ok(())
    }

    fn listing_failed(&self, source: io::Error) -> CgroupError {
        let path = PathBuf::from(self.pods.directory(self.driver));
        CgroupError::Step {
            step: "list pods in cgroup",
            path,
            source,
        }
    }

    fn remove(&self, name: &CgroupName) -> Result<(), CgroupError> {
        apply::destroy(&self.hierarchy.directories(name, self.driver))?;
        if self.driver == Driver::Systemd {
            systemd::stop_slice(name)?;
        }
        Ok(())
    }

    /// Every pod that has a cgroup in any hierarchy: those that no pod is known for are orphans.
    ///
    /// # Errors
    /// A tier could not be listed.
    pub fn pods(&self) -> io::Result<Vec<PodCgroup>> {
        let mut found = BTreeMap::new();
        for tier in Tier::ALL {
            let name = self.pods.tier(tier);
            for directory in self.hierarchy.directories(&name, self.driver) {
                for entry in list(&directory)? {
                    if let Some(uid) = name.pod_uid(self.driver, &entry) {
                        found.insert(PodCgroup { uid, tier }, ());
                    }
                }
            }
        }
        Ok(found.into_keys().collect())
    }

    /// What all pods use; `None` before [`Self::set_up_qos`].
    #[must_use]
    pub fn total_usage(&self) -> Option<Usage> {
        read_usage(&self.hierarchy, &self.pods.directory(self.driver))
    }

    /// What a pod uses; `None` when its cgroup is gone.
    #[must_use]
    pub fn pod_usage(&self, pod: &PodCgroup) -> Option<Usage> {
        read_usage(&self.hierarchy, &self.name(pod).directory(self.driver))
    }

    /// A process of a pod, whichever.
    #[must_use]
    pub fn process_of(&self, pod: &PodCgroup) -> Option<u32> {
        processes::one_below(&self.hierarchy, &self.name(pod).directory(self.driver))
    }

    /// What a container of a pod uses, where `id` is the runtime's.
    #[must_use]
    pub fn container_usage(&self, pod: &PodCgroup, id: &str) -> Option<Usage> {
        let parent = self.name(pod).directory(self.driver);
        let scopes: &[&str] = match self.driver {
            Driver::Cgroupfs => &["", "crio-"],
            Driver::Systemd => &["cri-containerd-", "crio-"],
        };
        let suffix = if self.driver == Driver::Systemd {
            ".scope"
        } else {
            ""
        };
        let directories = scopes
            .iter()
            .map(|prefix| format!("{parent}/{prefix}{id}{suffix}"));
        directories
            .into_iter()
            .find_map(|directory| read_usage(&self.hierarchy, &directory))
    }
}

fn list(directory: &PathBuf) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        done => done?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
    names.collect()
}

/// Huge page sizes that the kernel offers, in bytes, smallest first: the entries below
/// `/sys/kernel/mm/hugepages` are called `hugepages-2048kB`.
#[must_use]
pub fn page_sizes() -> Vec<u64> {
    let names = list(&PathBuf::from("/sys/kernel/mm/hugepages")).unwrap_or_default();
    let size = |name: &String| {
        let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
        kib.parse::<u64>().ok()?.checked_mul(1024)
    };
    let mut sizes: Vec<u64> = names.iter().filter_map(size).collect();
    sizes.sort_unstable();
    sizes
}

#[cfg(test)]
mod tests;
