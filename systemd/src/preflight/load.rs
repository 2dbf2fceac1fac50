//! Has the kernel load what it carries as a module and nobody has used yet.

use rustix::mount::{FsOpenFlags, fsopen};

/// Has overlayfs loaded, which a machine that never ran a container lacks. The kernel looks for the
/// module of a file system when one is opened by name, so nothing is mounted and no program run.
/// Whether it helped shows in `/proc/filesystems`.
pub fn load_overlay() {
    // A kernel without it says so here, and the preflight tells with its cure.
    drop(fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC));
}
