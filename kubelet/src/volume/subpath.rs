//! subPath: finds, or makes, a part of a volume without ever leaving the volume, and binds it
//! where the runtime can take it. The path is resolved by the kernel below the volume's root
//! (`openat2` with `RESOLVE_BENEATH`), and the descriptor that comes out is what is bound: a
//! container that swaps a directory for a symlink meanwhile changes nothing.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self as rfs, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::mount;
use super::mountinfo::{self, MountEntry};

/// How often a lookup is repeated when the kernel saw a rename on the way.
const RACES: usize = 16;

/// Binds `sub_path` of `volume` on `target`, making missing directories with the volume's own
/// mode. What was bound before and still is the same stays; anything else is replaced.
///
/// # Errors
/// `EXDEV` when the path leads out of the volume; otherwise what the kernel says.
pub fn bind(volume: &Path, sub_path: &Path, target: &Path, table: &[MountEntry]) -> io::Result<()> {
    let root = open_volume(volume)?;
    let source = open_or_make(root.as_fd(), sub_path)?;
    if let Some(entry) = mountinfo::mounted_at(table, target) {
        if same_file(source.as_fd(), target)? {
            return Ok(());
        }
        mount::unmount_at(target, entry.is_foreign())?;
    }
    make_target(source.as_fd(), target)?;
    mount::bind(source.as_fd(), target)
}

/// A hostPath may itself be a link, so this follows it: the node's admin put it there.
fn open_volume(volume: &Path) -> io::Result<OwnedFd> {
    Ok(rfs::open(
        volume,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut tried = rfs::openat2(root, path, flags, Mode::empty(), resolve);
    for _ in 0..RACES {
        match tried {
            Err(Errno::AGAIN) => tried = rfs::openat2(root, path, flags, Mode::empty(), resolve),
            done => return done,
        }
    }
    tried
}

/// Opens `path` below `root`, making the directories of it that are missing.
fn open_or_make(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match open_beneath(root, path) {
        Err(Errno::NOENT) => {}
        done => return Ok(done?),
    }
    let mode = rfs::fstat(root)?.st_mode & 0o7777;
    let mut parent = open_beneath(root, Path::new("."))?;
    let mut so_far = PathBuf::new();
    for segment in path.components() {
        let Component::Normal(name) = segment else {
            continue;
        };
        so_far.push(name);
        parent = match open_beneath(root, &so_far) {
            Err(Errno::NOENT) => make_dir(parent.as_fd(), Path::new(name), mode)?,
            done => done?,
        };
    }
    Ok(parent)
}

/// Makes one directory in `parent`, which has been resolved, and opens it. A dangling link in
/// its place fails with `EEXIST` or `ELOOP`.
fn make_dir(parent: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<OwnedFd> {
    match rfs::mkdirat(parent, name, Mode::from_raw_mode(mode & 0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rfs::openat(parent, name, flags, Mode::empty())?;
    rfs::fchmod(&made, Mode::from_raw_mode(mode))?;
    Ok(made)
}

fn same_file(source: BorrowedFd<'_>, target: &Path) -> io::Result<bool> {
    let (source, target) = (rfs::fstat(source)?, rfs::lstat(target)?);
    Ok((source.st_dev, source.st_ino) == (target.st_dev, target.st_ino))
}

/// Makes what the source is bound on: a directory for a directory, a file for all else.
fn make_target(source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let is_dir = FileType::from_raw_mode(rfs::fstat(source)?.st_mode) == FileType::Directory;
    let stale = fs::symlink_metadata(target).is_ok_and(|meta| meta.is_dir() != is_dir);
    if stale {
        // Empty for sure: nothing but this module puts anything there.
        if is_dir {
            fs::remove_file(target)?
        } else {
            fs::remove_dir(target)?
        }
    }
    let mut dirs = DirBuilder::new();
    dirs.recursive(true).mode(0o750);
    if is_dir {
        return dirs.create(target);
    }
    dirs.create(target.parent().unwrap_or(target))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(target)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    struct Volume {
        dir: tempfile::TempDir,
    }

    impl Volume {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("v")).unwrap();
            fs::set_permissions(dir.path().join("v"), fs::Permissions::from_mode(0o2777)).unwrap();
            fs::create_dir(dir.path().join("outside")).unwrap();
            Self { dir }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn open(&self, sub_path: &str) -> io::Result<OwnedFd> {
            let root = open_volume(&self.path("v")).unwrap();
            open_or_make(root.as_fd(), Path::new(sub_path))
        }

        fn check(&self, sub_path: &str, want: Result<&str, Errno>) {
            let got = self.open(sub_path);
            match (got, want) {
                (Ok(fd), Ok(path)) => {
                    assert!(
                        same_file(fd.as_fd(), &self.path(path)).unwrap(),
                        "{sub_path}"
                    );
                }
                (Err(got), Err(want)) => {
                    assert_eq!(got.raw_os_error(), Some(want.raw_os_error()), "{sub_path}");
                }
                (got, want) => panic!("{sub_path}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn missing_directories_get_the_volumes_mode() {
        let volume = Volume::new();
        volume.check("a/./b", Ok("v/a/b"));
        let mode = fs::metadata(volume.path("v/a/b")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o2777);
        volume.check("a/b", Ok("v/a/b"));
    }

    #[test]
    fn links_may_lead_around_but_not_out() {
        let volume = Volume::new();
        fs::create_dir_all(volume.path("v/real/deep")).unwrap();
        fs::write(volume.path("v/real/file"), "x").unwrap();
        symlink("real", volume.path("v/inside")).unwrap();
        symlink("../outside", volume.path("v/up")).unwrap();
        symlink("/etc", volume.path("v/absolute")).unwrap();
        symlink("nowhere", volume.path("v/dangling")).unwrap();
        volume.check("inside/deep", Ok("v/real/deep"));
        volume.check("inside/file", Ok("v/real/file"));
        volume.check("inside/new", Ok("v/real/new"));
        volume.check("up", Err(Errno::XDEV));
        volume.check("up/new", Err(Errno::XDEV));
        volume.check("absolute/passwd", Err(Errno::XDEV));
        volume.check("real/file/x", Err(Errno::NOTDIR));
        assert!(volume.open("dangling").is_err());
        assert!(
            fs::read_dir(volume.path("outside"))
                .unwrap()
                .next()
                .is_none()
        );
    }

    #[test]
    fn the_target_takes_the_kind_of_the_source() {
        let volume = Volume::new();
        fs::write(volume.path("v/file"), "x").unwrap();
        let (file, dir) = (volume.open("file").unwrap(), volume.open("dir").unwrap());
        let target = volume.path("sub/0");
        make_target(file.as_fd(), &target).unwrap();
        assert!(target.is_file());
        make_target(dir.as_fd(), &target).unwrap();
        make_target(dir.as_fd(), &target).unwrap();
        assert!(target.is_dir());
        make_target(file.as_fd(), &target).unwrap();
        assert!(target.is_file());
    }
}
