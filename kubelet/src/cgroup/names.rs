//! Names of cgroups, and how each driver spells them. Pure.

use std::fmt;

use keelson_api::qos::QosClass;

/// Who makes cgroups: the runtime and the kubelet must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// Directories made by hand.
    #[default]
    Cgroupfs,
    /// Slices made by systemd.
    Systemd,
}

/// The level of the tree a pod lives on, by its QoS class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Right below the pods' root.
    Guaranteed,
    /// Below `burstable`.
    Burstable,
    /// Below `besteffort`.
    BestEffort,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 3] = [Self::Guaranteed, Self::Burstable, Self::BestEffort];

    fn segment(self) -> Option<&'static str> {
        match self {
            Self::Guaranteed => None,
            Self::Burstable => Some("burstable"),
            Self::BestEffort => Some("besteffort"),
        }
    }
}

impl From<QosClass> for Tier {
    fn from(class: QosClass) -> Self {
        match class {
            QosClass::Guaranteed => Self::Guaranteed,
            QosClass::Burstable => Self::Burstable,
            QosClass::BestEffort => Self::BestEffort,
        }
    }
}

/// A cgroup, named independently of the driver: segments below the root of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CgroupName(Vec<String>);

/// A `cgroupRoot` that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cgroupRoot {0:?} must be a path such as / or /system without '.' and '..' segments")]
pub struct BadCgroupRoot(pub String);

impl CgroupName {
    /// Reads `cgroupRoot`: a path, its segments plain or systemd slices (`a.slice/a-b.slice`).
    ///
    /// # Errors
    /// [`BadCgroupRoot`] when a segment would not name a directory.
    pub fn parse(root: &str) -> Result<Self, BadCgroupRoot> {
        let segments: Vec<_> = root
            .split('/')
            .filter(|s| !s.is_empty())
            .map(unsliced)
            .collect();
        let plain = |s: &String| s != "." && s != ".." && !s.is_empty() && !s.contains('\0');
        if !segments.iter().all(plain) {
            return Err(BadCgroupRoot(root.to_owned()));
        }
        Ok(Self(segments))
    }

    /// A cgroup inside this one.
    #[must_use]
    pub fn child(&self, segment: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_owned());
        Self(segments)
    }

    /// The cgroup around this one; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        let keep = self.0.len().saturating_sub(1);
        Self(self.0[..keep].to_vec())
    }

    /// Whether this is the root of the hierarchy.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// `kubepods` below this root, the cgroup of all pods.
    #[must_use]
    pub fn pods(&self) -> Self {
        self.child("kubepods")
    }

    /// The cgroup of a tier, where `self` is that of all pods.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> Self {
        tier.segment()
            .map_or_else(|| self.clone(), |segment| self.child(segment))
    }

    /// The cgroup of one pod, where `self` is that of all pods.
    #[must_use]
    pub fn pod(&self, tier: Tier, uid: &str) -> Self {
        self.tier(tier).child(&format!("pod{uid}"))
    }

    /// Path below the mount point of a hierarchy, without a leading slash.
    #[must_use]
    pub fn directory(&self, driver: Driver) -> String {
        match driver {
            Driver::Cgroupfs => self.0.join("/"),
            Driver::Systemd => self.slices().join("/"),
        }
    }

    /// What CRI takes as `cgroup_parent`.
    #[must_use]
    pub fn cri_parent(&self, driver: Driver) -> String {
        format!("/{}", self.directory(driver))
    }

    /// The name of this cgroup's systemd unit; `-.slice` for the root.
    #[must_use]
    pub fn slice(&self) -> String {
        self.slices().pop().unwrap_or_else(|| "-.slice".to_owned())
    }

    /// Slices from the outermost to this one. systemd reads `-` as a level, so it becomes `_`.
    fn slices(&self) -> Vec<String> {
        let escaped: Vec<_> = self
            .0
            .iter()
            .map(|segment| segment.replace('-', "_"))
            .collect();
        (1..=escaped.len())
            .map(|end| format!("{}.slice", escaped[..end].join("-")))
            .collect()
    }

    /// The pod whose cgroup is the directory called `directory` in the cgroup `self` of a tier.
    #[must_use]
    pub fn pod_uid(&self, driver: Driver, directory: &str) -> Option<String> {
        let segment = match driver {
            Driver::Cgroupfs => directory.to_owned(),
            Driver::Systemd => {
                let own = self.slice();
                let rest = directory.strip_prefix(own.strip_suffix(".slice")?)?;
                rest.strip_prefix('-')?
                    .strip_suffix(".slice")?
                    .replace('_', "-")
            }
        };
        let uid = segment.strip_prefix("pod").filter(|uid| !uid.is_empty())?;
        Some(uid.to_owned())
    }
}

/// `a-b.slice` as a segment is its last step, `b`; others stay.
fn unsliced(segment: &str) -> String {
    match segment.strip_suffix(".slice") {
        Some(name) => name.rsplit('-').next().unwrap_or(name).to_owned(),
        None => segment.to_owned(),
    }
}

impl fmt::Display for CgroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0a1b-2c3d";

    fn check(root: &str, tier: Tier, cgroupfs: &str, systemd: &str) {
        let pod = CgroupName::parse(root).unwrap().pods().pod(tier, UID);
        assert_eq!(pod.cri_parent(Driver::Cgroupfs), cgroupfs);
        assert_eq!(pod.cri_parent(Driver::Systemd), systemd);
        assert!(systemd.ends_with(&format!("/{}", pod.slice())));
    }

    #[test]
    fn both_drivers() {
        check(
            "/",
            Tier::Guaranteed,
            "/kubepods/pod0a1b-2c3d",
            "/kubepods.slice/kubepods-pod0a1b_2c3d.slice",
        );
        check(
            "",
            Tier::Burstable,
            "/kubepods/burstable/pod0a1b-2c3d",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b_2c3d.slice",
        );
        check(
            "/my-root",
            Tier::BestEffort,
            "/my-root/kubepods/besteffort/pod0a1b-2c3d",
            "/my_root.slice/my_root-kubepods.slice/my_root-kubepods-besteffort.slice/\
             my_root-kubepods-besteffort-pod0a1b_2c3d.slice",
        );
        check(
            "/a.slice/a-b.slice",
            Tier::Guaranteed,
            "/a/b/kubepods/pod0a1b-2c3d",
            "/a.slice/a-b.slice/a-b-kubepods.slice/a-b-kubepods-pod0a1b_2c3d.slice",
        );
    }

    #[test]
    fn roots() {
        assert!(CgroupName::parse("/").unwrap().is_root());
        assert_eq!(CgroupName::default().slice(), "-.slice");
        assert!(CgroupName::parse("/a/../b").is_err());
        assert!(CgroupName::parse("/a//b/").is_ok_and(|n| n.to_string() == "/a/b"));
        assert_eq!(
            CgroupName::parse("/a/b").unwrap().parent().to_string(),
            "/a"
        );
    }

    #[test]
    fn only_pods_are_pods() {
        let pods = CgroupName::default().pods();
        let check = |driver, directory: &str, want: Option<&str>| {
            let got = pods.pod_uid(driver, directory);
            assert_eq!(got.as_deref(), want, "{directory}");
        };
        check(Driver::Cgroupfs, "podabc", Some("abc"));
        check(Driver::Cgroupfs, "burstable", None);
        check(Driver::Cgroupfs, "pod", None);
        check(Driver::Systemd, "kubepods-pod0a1b_2c3d.slice", Some(UID));
        check(Driver::Systemd, "kubepods-burstable.slice", None);
        check(Driver::Systemd, "other-podx.slice", None);
    }

    proptest! {
        #[test]
        fn a_uid_comes_back(uid in "[0-9a-f]{1,8}(-[0-9a-f]{1,4}){0,4}", tier in 0..3_usize) {
            let pods = CgroupName::parse("/r-1").unwrap().pods();
            let tier = Tier::ALL[tier];
            for driver in [Driver::Cgroupfs, Driver::Systemd] {
                let path = pods.pod(tier, &uid).directory(driver);
                let directory = path.rsplit('/').next().unwrap();
                prop_assert_eq!(pods.tier(tier).pod_uid(driver, directory), Some(uid.clone()));
            }
        }
    }
}
