//! Writes the files of a volume whose content the kubelet knows (downwardAPI, projected, and
//! later configMap, secret and tokens) so that readers see all of it or none.
//!
//! The files lie in a directory of their own, named by the time; `..data` is a symlink to it, and
//! every visible name is a symlink through `..data`. One rename of `..data` changes everything at
//! once. A crash leaves at most directories that nothing points to, which the next write removes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Component, Path, PathBuf};

use super::ownership::{self, Ownership};

/// The symlink that is swapped, and the name it has before it is.
const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// What it says.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Files by relative path, which may have directories in it.
pub type Payload = BTreeMap<String, FileContent>;

/// Why a path cannot be in a payload; empty when it can.
///
/// # Errors
/// What would be right.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    let relative = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || path.len() > 4096 || !relative || path.ends_with('/') {
        return Err("must be a relative path without '.', '..' and a final '/'");
    }
    if path.starts_with("..") {
        return Err("must not start with '..', which marks the kubelet's own names");
    }
    if path.split('/').any(|segment| segment.len() > 255) {
        return Err("must not have segments longer than 255 bytes");
    }
    Ok(())
}

/// Makes the volume at `dir`, which must exist, show `payload`; returns whether that changed
/// anything. `stamp` names the new directory and should differ from call to call, for example a
/// time; the group of `ownership` may read the files.
///
/// # Errors
/// The step that failed. What was shown before is shown still.
pub fn write(
    dir: &Path,
    payload: &Payload,
    stamp: &str,
    ownership: Option<Ownership>,
) -> io::Result<bool> {
    if let Some(bad) = payload.keys().find(|path| check_path(path).is_err()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, bad.clone()));
    }
    let current = fs::read_link(dir.join(DATA)).ok();
    let shown = current.as_ref().map(|name| dir.join(name));
    let changed = !shown.is_some_and(|shown| is_same(&shown, payload));
    let data = match current {
        Some(name) if !changed => name,
        _ => swap_in(dir, payload, stamp, ownership)?,
    };
    link_names(dir, payload)?;
    remove_stale(dir, payload, data.as_os_str())?;
    Ok(changed)
}

/// Writes the files beside what is shown, then shows them.
fn swap_in(
    dir: &Path,
    payload: &Payload,
    stamp: &str,
    ownership: Option<Ownership>,
) -> io::Result<PathBuf> {
    let name = new_directory(dir, stamp)?;
    let files = dir.join(&name);
    for (path, content) in payload {
        write_file(&files.join(path), content)?;
    }
    if let Some(ownership) = ownership {
        ownership::apply(&files, ownership, true)?;
    }
    let new = dir.join(NEW_DATA);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(&name, &new)?;
    fs::rename(&new, dir.join(DATA))?;
    Ok(name)
}

/// `..STAMP`, or `..STAMP.N` when that is taken.
fn new_directory(dir: &Path, stamp: &str) -> io::Result<PathBuf> {
    let names = (0..1000).map(|n| match n {
        0 => format!("..{stamp}"),
        n => format!("..{stamp}.{n}"),
    });
    for name in names {
        match DirBuilder::new().mode(0o755).create(dir.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                fs::set_permissions(dir.join(&name), Permissions::from_mode(0o755))?;
                return Ok(PathBuf::from(name));
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

fn write_file(path: &Path, content: &FileContent) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)?;
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&content.bytes)?;
    // Last, and past the umask: a mode of 0 would forbid the writing.
    file.set_permissions(Permissions::from_mode(content.mode))
}

/// Whether a directory holds exactly these files. Group bits that `fsGroup` added do not count.
fn is_same(files: &Path, payload: &Payload) -> bool {
    let equal = |(path, content): (&String, &FileContent)| {
        let path = files.join(path);
        let mode = fs::symlink_metadata(&path).map(|meta| meta.mode() & 0o777 & !0o040);
        mode.is_ok_and(|mode| mode == content.mode & 0o777 & !0o040)
            && fs::read(&path).is_ok_and(|bytes| bytes == content.bytes)
    };
    payload.iter().all(equal) && count_files(files).is_ok_and(|count| count == payload.len())
}

fn count_files(dir: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

/// First segments of the payload's paths: what is seen at the top of the volume.
fn visible(payload: &Payload) -> BTreeSet<&str> {
    payload
        .keys()
        .filter_map(|path| path.split('/').next())
        .collect()
}

fn link_names(dir: &Path, payload: &Payload) -> io::Result<()> {
    for name in visible(payload) {
        match symlink(Path::new(DATA).join(name), dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes names that are no longer shown, and directories that nothing points to.
fn remove_stale(dir: &Path, payload: &Payload, data: &OsStr) -> io::Result<()> {
    let visible = visible(payload);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let kept = name == DATA || name == data;
        if kept || name.to_str().is_some_and(|name| visible.contains(name)) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            // Only ours start with two dots; a directory of another name is nobody's we know.
            if name.as_encoded_bytes().starts_with(b"..") {
                fs::remove_dir_all(entry.path())?;
            }
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let content = |text: &str| FileContent {
            bytes: text.into(),
            mode: 0o640,
        };
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), content(text)))
            .collect()
    }

    /// Paths that a reader sees, with what they say.
    fn seen(dir: &Path) -> BTreeMap<String, String> {
        fn walk(dir: &Path, prefix: &str, out: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name.starts_with("..") {
                    continue;
                }
                let path = dir.join(&name);
                if path.is_dir() {
                    walk(&path, &format!("{prefix}{name}/"), out);
                } else {
                    out.insert(format!("{prefix}{name}"), fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut out = BTreeMap::new();
        walk(dir, "", &mut out);
        out
    }

    fn check(dir: &Path, files: &[(&str, &str)], stamp: &str, changed: bool) {
        assert_eq!(
            write(dir, &payload(files), stamp, None).unwrap(),
            changed,
            "{files:?}"
        );
        let want = files
            .iter()
            .map(|(p, t)| ((*p).to_owned(), (*t).to_owned()))
            .collect();
        assert_eq!(seen(dir), want);
        let own = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
        let own = own
            .filter(|name| name.as_encoded_bytes().starts_with(b".."))
            .count();
        assert_eq!(own, 2, "..data and one directory");
    }

    #[test]
    fn content_comes_changes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        check(dir, &[("a", "1"), ("d/b", "2")], "t1", true);
        let mode = fs::metadata(dir.join("a")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o640);
        check(dir, &[("a", "1"), ("d/b", "2")], "t2", false);
        check(dir, &[("a", "1"), ("d/b", "3")], "t3", true);
        check(dir, &[("c", "x")], "t3", true);
        check(dir, &[], "t4", true);
    }

    #[test]
    fn a_reader_with_an_open_directory_sees_the_old_or_the_new() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        check(dir, &[("a", "1"), ("b", "1")], "t1", true);
        let before = fs::canonicalize(dir.join(DATA)).unwrap();
        swap_in(dir, &payload(&[("a", "2"), ("b", "2")]), "t2", None).unwrap();
        let old = ["a", "b"].map(|name| fs::read_to_string(before.join(name)).unwrap());
        let new = ["a", "b"].map(|name| fs::read_to_string(dir.join(name)).unwrap());
        assert_eq!(
            (old, new),
            (["1", "1"].map(String::from), ["2", "2"].map(String::from))
        );
    }

    #[test]
    fn what_a_crash_left_is_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        check(dir, &[("a", "1")], "t1", true);
        fs::create_dir(dir.join("..t2")).unwrap();
        fs::write(dir.join("..t2/a"), "half").unwrap();
        symlink("..t2", dir.join(NEW_DATA)).unwrap();
        symlink("..data/old", dir.join("old")).unwrap();
        check(dir, &[("a", "2")], "t2", true);
    }

    #[test]
    fn paths() {
        for good in ["a", "a/b", "a..b", ".hidden", "a/..b"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            "/a",
            "../a",
            "a/../b",
            "..a",
            "a/",
            "./a",
            long.as_str(),
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_sequence_ends_with_what_was_written_last(
            steps in prop::collection::vec(
                prop::collection::btree_map("[ab]|[de]/[ab]", "[0-9]{0,3}", 0..5), 1..6)) {
            let dir = tempfile::tempdir().unwrap();
            for (number, files) in steps.iter().enumerate() {
                let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
                write(dir.path(), &payload(&files), &number.to_string(), None).unwrap();
            }
            prop_assert_eq!(seen(dir.path()), steps.last().unwrap().clone());
        }
    }
}
