//! Which processes are in a cgroup.

use std::fs;
use std::path::Path;

use super::hierarchy::Hierarchy;

/// A process in one of the cgroups right below `directory`, a path below the mount points.
#[must_use]
pub fn one_below(hierarchy: &Hierarchy, directory: &str) -> Option<u32> {
    let mount = match hierarchy {
        Hierarchy::Unified { mount } => mount,
        Hierarchy::Legacy { controllers } => controllers.get("memory")?,
    };
    let entries = fs::read_dir(mount.join(directory)).ok()?.flatten();
    entries.filter_map(|entry| first_in(&entry.path())).next()
}

fn first_in(cgroup: &Path) -> Option<u32> {
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).ok()?;
    processes.lines().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_one_in_any_container() {
        let root = tempfile::tempdir().unwrap();
        let put = |cgroup: &str, processes: &str| {
            let path = root.path().join("pods/p").join(cgroup);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("cgroup.procs"), processes).unwrap();
        };
        let hierarchy = Hierarchy::Unified {
            mount: root.path().to_owned(),
        };
        assert_eq!(one_below(&hierarchy, "pods/p"), None);
        put("", "7\n");
        put("empty", "");
        assert_eq!(one_below(&hierarchy, "pods/p"), None);
        put("full", "42\n43\n");
        assert_eq!(one_below(&hierarchy, "pods/p"), Some(42));
    }
}
