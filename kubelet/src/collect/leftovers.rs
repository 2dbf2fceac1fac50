//! What pods left on the node after they were gone: directories, logs, links, cgroups.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::cgroup;
use crate::logs::layout::owner_of;
use crate::node::Node;
use crate::user_namespaces::UserNamespaces;
use crate::volume;

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// What is gone now.
    pub removed: Vec<String>,
    /// What could not be removed, and why.
    pub problems: Vec<String>,
}

/// Removes what belongs to no pod in `known`. Never stops at a problem, never recurses into a
/// mount.
#[must_use]
pub fn sweep(
    node: &Node,
    cgroups: &cgroup::Manager,
    user_namespaces: &UserNamespaces,
    known: &BTreeSet<String>,
) -> Swept {
    let mut swept = Swept::default();
    for uid in unknown(&names(&node.paths.pods()), known, Some) {
        match volume::tear_down(&node.paths.pod(&uid)) {
            Ok(()) => {
                swept.removed.push(format!("directory of pod {uid}"));
                let released = user_namespaces.release(&uid);
                swept.problems.extend(released.err().map(|e| e.to_string()));
            }
            Err(left) => swept.problems.extend(left.iter().map(ToString::to_string)),
        }
    }
    let logs = node.log_root.as_path();
    for dir in unknown(&names(logs), known, |name| {
        owner_of(name).map(|owner| owner.uid)
    }) {
        let path = logs.join(&dir);
        let removed = fs::remove_dir_all(&path);
        record(&mut swept, "logs", &path, removed);
    }
    drop_dangling_links(&mut swept, &node.log_links, logs);
    for pod in cgroups.pods().unwrap_or_default() {
        if known.contains(&pod.uid) {
            continue;
        }
        match cgroups.remove_pod(&pod) {
            Ok(()) => swept.removed.push(format!("cgroup of pod {}", pod.uid)),
            Err(error) => swept.problems.push(error.to_string()),
        }
    }
    swept
}

fn names(dir: &Path) -> Vec<OsString> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .collect()
}

/// Those entries whose uid, as `uid_of` reads it from the name, is not known. Names that carry no
/// uid are not ours.
fn unknown<'a>(
    entries: &'a [OsString],
    known: &BTreeSet<String>,
    uid_of: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<String> {
    let names = entries.iter().filter_map(|name| name.to_str());
    names
        .filter(|name| uid_of(name).is_some_and(|uid| !known.contains(uid)))
        .map(ToOwned::to_owned)
        .collect()
}

fn drop_dangling_links(swept: &mut Swept, dir: &Path, logs: &Path) {
    for name in names(dir) {
        let link = dir.join(name);
        let Ok(target) = fs::read_link(&link) else {
            continue;
        };
        if target.starts_with(logs) && !target.exists() {
            let removed = fs::remove_file(&link);
            record(swept, "log link", &link, removed);
        }
    }
}

fn record(swept: &mut Swept, what: &str, path: &Path, removed: io::Result<()>) {
    match removed {
        Ok(()) => swept.removed.push(format!("{what} {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => swept
            .problems
            .push(format!("remove {what} {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_an_unknown_uid_are_leftovers() {
        let known = BTreeSet::from(["u1".to_owned()]);
        let entries: Vec<OsString> = ["default_web_u1", "default_web_u2", "notes.txt"]
            .map(OsString::from)
            .into();
        let left = unknown(&entries, &known, |name| {
            owner_of(name).map(|owner| owner.uid)
        });
        assert_eq!(left, ["default_web_u2"]);
    }

    #[test]
    fn only_our_dangling_links_go() {
        let dir = tempfile::tempdir().unwrap();
        let (links, logs) = (dir.path().join("links"), dir.path().join("pods"));
        fs::create_dir_all(&links).unwrap();
        fs::create_dir_all(&logs).unwrap();
        fs::write(logs.join("0.log"), "x").unwrap();
        let link = |target: &Path, name: &str| {
            std::os::unix::fs::symlink(target, links.join(name)).unwrap();
        };
        link(&logs.join("0.log"), "alive");
        link(&logs.join("gone.log"), "dangling");
        link(Path::new("/nowhere/else"), "foreign");
        let mut swept = Swept::default();
        drop_dangling_links(&mut swept, &links, &logs);
        assert_eq!(swept.removed.len(), 1);
        let mut left = names(&links);
        left.sort();
        assert_eq!(left, ["alive", "foreign"]);
    }
}
