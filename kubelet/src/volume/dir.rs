//! Walks and removes directory trees through file descriptors. Follows no symlink and never
//! enters another mount (`openat2` with `RESOLVE_NO_XDEV`), so a tree that a pod filled with
//! traps cannot lead it outside. Holds at most [`MAX_DEPTH`] descriptors.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Deepest nesting that is walked. Removal goes deeper, by moving what is below up first.
const MAX_DEPTH: usize = 128;

/// One file, directory or link met on a walk.
pub(super) struct Entry<'a> {
    /// An `O_PATH` descriptor of the thing itself.
    pub fd: BorrowedFd<'a>,
    /// What it is.
    pub stat: Stat,
}

impl Entry<'_> {
    /// Sets the mode of what the descriptor names; not for symlinks.
    pub fn chmod(&self, mode: u32) -> io::Result<()> {
        // An O_PATH descriptor takes no fchmod; its link in /proc names exactly this inode.
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        Ok(rfs::chmod(link, Mode::from_raw_mode(mode))?)
    }
}

/// Opens a directory for reading; the last segment of `path` must not be a link.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rfs::open(path, flags, Mode::empty())?)
}

/// Opens an entry of `parent`; `EXDEV` when something is mounted there.
fn open_entry(parent: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    // RESOLVE_NO_SYMLINKS would refuse a link as last segment even with O_PATH | O_NOFOLLOW.
    let resolve = if flags.contains(OFlags::PATH) {
        resolve - ResolveFlags::NO_SYMLINKS
    } else {
        resolve
    };
    rfs::openat2(parent, name, flags, Mode::empty(), resolve)
}

fn is_dot(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Calls `visit` with everything below `root`, parents first, until it breaks. What vanishes
/// meanwhile is skipped.
///
/// # Errors
/// The first failure, of `visit` or of the walk; nesting beyond [`MAX_DEPTH`] is one.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut stack = vec![Dir::read_from(root)?];
    while let Some(dir) = stack.last_mut() {
        let Some(found) = dir.read() else {
            stack.pop();
            continue;
        };
        let found = found?;
        if is_dot(found.file_name()) {
            continue;
        }
        let fd = match open_entry(dir.fd()?, found.file_name(), OFlags::PATH) {
            Ok(fd) => fd,
            Err(Errno::XDEV | Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let stat = rfs::fstat(&fd)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if visit(&Entry {
            fd: fd.as_fd(),
            stat,
        })?
        .is_break()
        {
            return Ok(());
        }
        if is_dir {
            if stack.len() >= MAX_DEPTH {
                return Err(io::Error::from(Errno::NAMETOOLONG));
            }
            stack.push(read_dir(&fd)?);
        }
    }
    Ok(())
}

/// Reads the directory that an `O_PATH` descriptor names.
fn read_dir(dir: &OwnedFd) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rfs::openat(dir, c".", flags, Mode::empty())?;
    Ok(Dir::new(readable)?)
}

/// One directory that is being emptied.
struct Level {
    dir: Dir,
    /// Its name in the level above.
    name: CString,
    /// Something below could not be removed, so neither can it.
    stuck: bool,
    rewinds: u8,
}

/// Removes the directory `path` and all in it. What is mounted there, or cannot be removed, is
/// left and returned with its path; gone already is success.
pub(super) fn remove_tree(path: &Path) -> Vec<(PathBuf, io::Error)> {
    let mut removal = Removal {
        root: path,
        stack: Vec::new(),
        failures: Vec::new(),
        hoisted: 0,
        reread_first: false,
    };
    if let Err(error) = removal.run()
        && error.kind() != io::ErrorKind::NotFound
    {
        removal.failures.push((path.to_owned(), error));
    }
    removal.failures
}

struct Removal<'a> {
    root: &'a Path,
    stack: Vec<Level>,
    failures: Vec<(PathBuf, io::Error)>,
    /// Directories moved up to the first level because they lay too deep.
    hoisted: u32,
    /// Some were moved since the first level was last read.
    reread_first: bool,
}

impl Removal<'_> {
    fn run(&mut self) -> io::Result<()> {
        let parent = open(self.root.parent().unwrap_or(Path::new("/")))?;
        let name = CString::new(self.root.file_name().unwrap_or_default().as_bytes())?;
        let root = open_entry(parent.as_fd(), &name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.push(root, name)?;
        while let Some(level) = self.stack.last_mut() {
            match level.dir.read() {
                Some(entry) => {
                    let entry = entry?;
                    let kind = entry.file_type();
                    let name = entry.file_name();
                    if !is_dot(name) {
                        let name = name.to_owned();
                        self.remove_entry(name, kind);
                    }
                }
                None => self.finish_level(parent.as_fd()),
            }
        }
        Ok(())
    }

    fn push(&mut self, dir: OwnedFd, name: CString) -> io::Result<()> {
        let dir = Dir::new(dir)?;
        self.stack.push(Level {
            dir,
            name,
            stuck: false,
            rewinds: 0,
        });
        Ok(())
    }

    fn remove_entry(&mut self, name: CString, kind: FileType) {
        let tried = match kind {
            FileType::Directory => self.enter(&name),
            // An unknown kind shows itself by the errno.
            _ => match self.unlink(&name) {
                Err(Errno::ISDIR | Errno::PERM) if kind == FileType::Unknown => self.enter(&name),
                other => other.map_err(io::Error::from),
            },
        };
        match tried {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.fail(&name, error),
        }
    }

    fn unlink(&self, name: &CStr) -> Result<(), Errno> {
        let Some(level) = self.stack.last() else {
            return Ok(());
        };
        rfs::unlinkat(level.dir.fd()?, name, AtFlags::empty())
    }

    fn enter(&mut self, name: &CStr) -> io::Result<()> {
        let Some(level) = self.stack.last() else {
            return Ok(());
        };
        let here = level.dir.fd()?;
        if rfs::unlinkat(here, name, AtFlags::REMOVEDIR).is_ok() {
            return Ok(());
        }
        if self.stack.len() >= MAX_DEPTH {
            return self.hoist(name);
        }
        let dir = open_entry(here, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.push(dir, name.to_owned())
    }

    /// Moves a directory that lies too deep up to the first level, which is read again later.
    fn hoist(&mut self, name: &CStr) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.stack.first(), self.stack.last()) else {
            return Ok(());
        };
        let to = CString::new(format!(".keelson-deep-{}", self.hoisted))?;
        rfs::renameat(last.dir.fd()?, name, first.dir.fd()?, &to)?;
        self.hoisted += 1;
        self.reread_first = true;
        Ok(())
    }

    fn finish_level(&mut self, outside: BorrowedFd<'_>) {
        let last = self.stack.len() - 1;
        let again = last == 0 && std::mem::take(&mut self.reread_first);
        let level = &mut self.stack[last];
        if again {
            level.dir.rewind();
            return;
        }
        let Some(level) = self.stack.pop() else {
            return;
        };
        let parent = self.stack.last().map(|above| above.dir.fd());
        let removed = match parent {
            Some(above) => above.and_then(|fd| rfs::unlinkat(fd, &level.name, AtFlags::REMOVEDIR)),
            None => rfs::unlinkat(outside, &level.name, AtFlags::REMOVEDIR),
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(_) if level.stuck => self.stick(),
            // Something was added while the directory was read.
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.rewinds < 3 => self.reread(level),
            Err(error) => self.fail(&level.name, error.into()),
        }
    }

    fn reread(&mut self, mut level: Level) {
        level.dir.rewind();
        level.rewinds += 1;
        self.stack.push(level);
    }

    fn stick(&mut self) {
        if let Some(level) = self.stack.last_mut() {
            level.stuck = true;
        }
    }

    fn fail(&mut self, name: &CStr, error: io::Error) {
        // The first level is the root; with no level left, the root itself failed.
        let above = self.stack.iter().skip(1).map(|level| level.name.as_c_str());
        let own = (!self.stack.is_empty()).then_some(name);
        let names = above
            .chain(own)
            .map(|name| OsStr::from_bytes(name.to_bytes()));
        let path = names.fold(self.root.to_owned(), |path, name| path.join(name));
        self.failures.push((path, error));
        self.stick();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &Path) -> usize {
        let root = open(path).unwrap();
        let mut count = 0;
        walk(root.as_fd(), &mut |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        count
    }

    #[test]
    fn a_walk_sees_all_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/f"), "x").unwrap();
        symlink("/etc", root.path().join("a/link")).unwrap();
        assert_eq!(names(root.path()), 4);
    }

    #[test]
    fn removal_leaves_what_links_point_to() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("keep"), "x").unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        fs::write(tree.join("a/f"), "x").unwrap();
        assert!(remove_tree(&tree).is_empty());
        assert!(!tree.exists());
        assert!(outside.join("keep").exists());
    }

    #[test]
    fn gone_is_removed() {
        let root = tempfile::tempdir().unwrap();
        assert!(remove_tree(&root.path().join("none")).is_empty());
        assert!(remove_tree(&root.path().join("none/deeper")).is_empty());
    }

    #[test]
    fn a_very_deep_tree_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut here = open(&tree).unwrap();
        for _ in 0..700 {
            rfs::mkdirat(&here, c"d", Mode::from_raw_mode(0o755)).unwrap();
            here = open_entry(here.as_fd(), c"d", OFlags::RDONLY).unwrap();
        }
        assert_eq!(remove_tree(&tree).len(), 0);
        assert!(!tree.exists());
    }

    #[test]
    fn a_link_in_place_of_the_tree_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir_all(outside.join("keep")).unwrap();
        let tree = root.path().join("tree");
        symlink(&outside, &tree).unwrap();
        assert_eq!(remove_tree(&tree).len(), 1);
        assert!(outside.join("keep").exists());
    }
}
