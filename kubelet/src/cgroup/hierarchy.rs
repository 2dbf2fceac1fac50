//! Which cgroup hierarchies this machine has, read off its mount table. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::names::{CgroupName, Driver};
use super::{v1, v2};
use crate::volume::mountinfo::MountEntry;

/// Version of the cgroup interface that carries the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2 alone.
    Unified {
        /// Its mount point.
        mount: PathBuf,
    },
    /// cgroup v1, maybe with an empty v2 hierarchy beside it (hybrid).
    Legacy {
        /// Mount point by controller; hierarchies without one by `name=NAME`, and the v2
        /// hierarchy of a hybrid layout by `unified`.
        controllers: BTreeMap<String, PathBuf>,
    },
}

/// The machine has no cgroups to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HierarchyError {
    /// Nothing is mounted.
    #[error("no cgroup hierarchy is mounted: mount cgroup2 on /sys/fs/cgroup")]
    None,
    /// Controllers that pods need are missing.
    #[error("cgroup v1 lacks the controllers {0}: mount them below /sys/fs/cgroup")]
    Missing(String),
}

const V1_CONTROLLERS: [&str; 13] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

impl Hierarchy {
    /// Reads the mount table.
    ///
    /// # Errors
    /// [`HierarchyError`] when pods cannot be contained on this machine.
    pub fn of(table: &[MountEntry]) -> Result<Self, HierarchyError> {
        let whole = |entry: &&MountEntry| entry.root == Path::new("/");
        let unified = table.iter().filter(whole).find(|e| e.fs_type == "cgroup2");
        let mut controllers = BTreeMap::new();
        for entry in table.iter().filter(whole).filter(|e| e.fs_type == "cgroup") {
            for name in controllers_of(&entry.super_options) {
                controllers
                    .entry(name)
                    .or_insert_with(|| entry.mount_point.clone());
            }
        }
        if controllers.is_empty() {
            let mount = unified.ok_or(HierarchyError::None)?.mount_point.clone();
            return Ok(Self::Unified { mount });
        }
        let missing: Vec<_> = v1::REQUIRED
            .into_iter()
            .filter(|c| !controllers.contains_key(*c))
            .collect();
        if !missing.is_empty() {
            return Err(HierarchyError::Missing(missing.join(", ")));
        }
        if let Some(entry) = unified {
            controllers.insert("unified".to_owned(), entry.mount_point.clone());
        }
        Ok(Self::Legacy { controllers })
    }

    /// Which version carries the limits.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Unified { .. } => Version::V2,
            Self::Legacy { .. } => Version::V1,
        }
    }

    /// What the user should know: controllers of which limits have no effect here.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let Self::Legacy { controllers } = self else {
            return Vec::new();
        };
        let missing = v1::OPTIONAL
            .into_iter()
            .filter(|c| !controllers.contains_key(*c));
        missing
            .map(|c| format!("cgroup v1 controller {c} is not mounted: its limits have no effect"))
            .collect()
    }

    /// Every directory that `name` is made of, one per hierarchy. Controllers mounted together
    /// count once.
    #[must_use]
    pub fn directories(&self, name: &CgroupName, driver: Driver) -> Vec<PathBuf> {
        let below = name.directory(driver);
        match self {
            Self::Unified { mount } => vec![mount.join(below)],
            Self::Legacy { controllers } => {
                let mut all: Vec<_> = controllers
                    .values()
                    .map(|mount| mount.join(&below))
                    .collect();
                all.sort();
                all.dedup();
                all
            }
        }
    }

    /// The directory of `name` that holds the files of `controller`; `None` when this machine
    /// lacks it.
    #[must_use]
    pub fn directory(
        &self,
        controller: &str,
        name: &CgroupName,
        driver: Driver,
    ) -> Option<PathBuf> {
        let mount = match self {
            Self::Unified { mount } => mount,
            Self::Legacy { controllers } => controllers.get(controller)?,
        };
        Some(mount.join(name.directory(driver)))
    }
}

fn controllers_of(super_options: &str) -> impl Iterator<Item = String> {
    let known = |word: &&str| V1_CONTROLLERS.contains(word) || word.starts_with("name=");
    super_options
        .split(',')
        .filter(known)
        .map(ToOwned::to_owned)
}

/// The controllers to enable for children, of those that `cgroup.controllers` lists.
#[must_use]
pub fn enabled(controllers_file: &str) -> String {
    let have = controllers_file
        .split_whitespace()
        .filter(|c| v2::CONTROLLERS.contains(c));
    have.map(|controller| format!("+{controller}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::mountinfo::parse;

    fn of(lines: &[&str]) -> Result<Hierarchy, HierarchyError> {
        let table: String = lines
            .iter()
            .map(|line| format!("1 1 0:1 / /sys/fs/cgroup{line}\n"))
            .collect();
        Hierarchy::of(&parse(table.as_bytes()).unwrap())
    }

    const CPU: &str = "/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
    const MEMORY: &str = "/memory rw - cgroup cgroup rw,memory";
    const NAMED: &str = "/systemd rw - cgroup cgroup rw,xattr,name=systemd";
    const EMPTY_V2: &str = "/unified rw - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn versions() {
        let unified = of(&[" rw - cgroup2 cgroup2 rw"]).unwrap();
        assert_eq!(
            unified,
            Hierarchy::Unified {
                mount: "/sys/fs/cgroup".into()
            }
        );
        assert_eq!(unified.version(), Version::V2);
        assert_eq!(of(&[CPU, MEMORY]).unwrap().version(), Version::V1);
        assert_eq!(of(&[" rw - tmpfs tmpfs rw"]), Err(HierarchyError::None));
        let lacking = of(&[CPU, EMPTY_V2]).unwrap_err();
        assert!(
            lacking.to_string().contains("lacks the controllers memory"),
            "{lacking}"
        );
    }

    #[test]
    fn hybrid_directories_are_all_found_once() {
        let hybrid = of(&[CPU, MEMORY, NAMED, EMPTY_V2]).unwrap();
        let pod = CgroupName::default().pods().child("podx");
        let got = hybrid.directories(&pod, Driver::Cgroupfs);
        let want = ["cpu,cpuacct", "memory", "systemd", "unified"]
            .map(|h| PathBuf::from(format!("/sys/fs/cgroup/{h}/kubepods/podx")));
        assert_eq!(got, want);
        assert_eq!(
            hybrid.directory("cpuacct", &pod, Driver::Cgroupfs).as_ref(),
            Some(&want[0])
        );
        assert_eq!(hybrid.directory("pids", &pod, Driver::Cgroupfs), None);
        let notes = hybrid.notes();
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[2].contains("pids"), "{notes:?}");
    }

    #[test]
    fn only_our_controllers_are_enabled() {
        assert_eq!(
            enabled("cpuset cpu io memory rdma pids misc\n"),
            "+cpuset +cpu +io +memory +pids"
        );
        assert_eq!(enabled(""), "");
    }
}
