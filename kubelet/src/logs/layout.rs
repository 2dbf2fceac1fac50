//! Where logs are: upstream's paths and names. Pure.

use std::path::{Path, PathBuf};

/// Longest file name of common file systems, in bytes.
const MAX_FILE_NAME: usize = 255;

/// Whose logs they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOwner<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
}

impl LogOwner<'_> {
    /// `ROOT/NAMESPACE_POD_UID`, the directory handed to the runtime with the sandbox.
    pub fn pod_directory(&self, root: &Path) -> PathBuf {
        root.join(format!("{}_{}_{}", self.namespace, self.pod, self.uid))
    }

    /// The directory of one container's instances.
    pub fn container_directory(&self, root: &Path, container: &str) -> PathBuf {
        self.pod_directory(root).join(container)
    }

    /// The log of one instance, as seen from the host.
    pub fn log_file(&self, root: &Path, container: &str, instance: u32) -> PathBuf {
        self.pod_directory(root)
            .join(relative_log_path(container, instance))
    }

    /// The name of the link that log shippers follow.
    pub fn link_name(&self, container: &str, container_id: &str) -> String {
        const SUFFIX: &str = ".log";
        let mut name = format!("{}_{}_{container}-{container_id}", self.pod, self.namespace);
        let mut end = name.len().min(MAX_FILE_NAME - SUFFIX.len());
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name + SUFFIX
    }
}

/// The path of one instance's log below the pod's directory, as the runtime is told.
pub fn relative_log_path(container: &str, instance: u32) -> String {
    format!("{container}/{instance}.log")
}

/// The instance after all those that left a log among `names`.
pub fn next_instance<'a>(names: impl IntoIterator<Item = &'a str>) -> u32 {
    let instances = names.into_iter().filter_map(instance_of);
    instances.max().map_or(0, |last| last.saturating_add(1))
}

/// Namespace, name and UID from the name of a pod's log directory.
pub fn owner_of(directory: &str) -> Option<LogOwner<'_>> {
    let mut parts = directory.split('_');
    let owner = LogOwner {
        namespace: parts.next()?,
        pod: parts.next()?,
        uid: parts.next()?,
    };
    parts.next().is_none().then_some(owner)
}

fn instance_of(name: &str) -> Option<u32> {
    let (number, rest) = name.split_once(".log")?;
    (rest.is_empty() || rest.starts_with('.')).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: LogOwner<'_> = LogOwner {
        namespace: "default",
        pod: "web",
        uid: "u-1",
    };

    #[test]
    fn paths() {
        let root = Path::new("/var/log/pods");
        assert_eq!(
            OWNER.log_file(root, "app", 3),
            Path::new("/var/log/pods/default_web_u-1/app/3.log")
        );
        assert_eq!(
            OWNER.container_directory(root, "app"),
            Path::new("/var/log/pods/default_web_u-1/app")
        );
        assert_eq!(OWNER.link_name("app", "abc"), "web_default_app-abc.log");
        assert_eq!(owner_of("default_web_u-1"), Some(OWNER));
        assert_eq!(owner_of("default_web"), None);
        assert_eq!(owner_of("a_b_c_d"), None);
    }

    #[test]
    fn a_long_link_name_is_cut_before_its_suffix() {
        let name = OWNER.link_name(&"c".repeat(300), "id");
        assert_eq!(name.len(), MAX_FILE_NAME);
        assert!(name.ends_with("cc.log"));
    }

    #[test]
    fn instances() {
        for (names, expected) in [
            (&[][..], 0),
            (&["0.log"], 1),
            (&["0.log", "2.log.20200101-000000.gz", "1.log"], 3),
            (&["x.log", "9.logs", "readme"], 0),
        ] {
            assert_eq!(next_instance(names.iter().copied()), expected, "{names:?}");
        }
    }
}
