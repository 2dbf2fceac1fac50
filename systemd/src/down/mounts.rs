//! Mounts below our folders: which there are, and taking them away.

use nix::mount::{MntFlags, umount2};
use std::path::{Path, PathBuf};

/// Mount points below `folders`, in the order in which they can be unmounted: the latest first.
/// `mountinfo` is the text of `/proc/self/mountinfo`.
#[must_use]
pub fn below(mountinfo: &str, folders: &[&Path]) -> Vec<PathBuf> {
    let points = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    let mut ours: Vec<_> = points
        .filter(|point| folders.iter().any(|folder| point.starts_with(folder)))
        .collect();
    ours.reverse();
    ours
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let mut text = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        match after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text.into()
}

/// Unmounts everything below `folders`. What stays is in the answer, with the reason.
#[must_use]
pub fn unmount_below(folders: &[&Path]) -> Vec<String> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    below(&mountinfo, folders)
        .iter()
        .filter_map(|point| unmount(point).err())
        .collect()
}

fn unmount(point: &Path) -> Result<(), String> {
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    match umount2(point, flags) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        Err(errno) => Err(format!("mount {}: {errno}", point.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ours_only_and_the_latest_first() {
        let info = "\
22 1 8:1 / / rw shared:1 - ext4 /dev/sda rw
40 22 0:40 / /run/keelson/a rw - tmpfs tmpfs rw
41 40 0:41 / /run/keelson/a/b\\040c rw - tmpfs tmpfs rw
42 22 0:42 / /run/keelson-other rw - tmpfs tmpfs rw
";
        assert_eq!(
            below(info, &[Path::new("/run/keelson")]),
            [Path::new("/run/keelson/a/b c"), Path::new("/run/keelson/a")]
        );
    }
}
