//! The demo: two pods and the folder that their image is made of. Needs no registry: the image's
//! only program is the host's static busybox under its many names.

pub mod deployment;

use crate::layout::Layout;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The image's name: one that no registry answers to.
pub const IMAGE: &str = "localhost/keelson/demo:1";

/// The port of the host that the web server answers on.
pub const HOST_PORT: u16 = 8080;

/// The demo's pods, by name, in namespace `default`.
pub const PODS: [&str; 2] = ["web", "client"];

/// Names by which busybox is called in the pods, and by people who look around in them.
const APPLETS: &[&str] = &[
    "awk", "cat", "chmod", "cp", "date", "dd", "df", "echo", "env", "false", "find", "grep",
    "head", "hostname", "httpd", "id", "ip", "kill", "ls", "mkdir", "mount", "mv", "nc", "netstat",
    "nslookup", "ping", "ps", "rm", "sed", "seq", "sh", "sleep", "stat", "tail", "test", "timeout",
    "top", "touch", "true", "vi", "wc", "wget",
];

/// Why the demo could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no static busybox to make the image of.
    #[error("no busybox in PATH to make the demo image of: apt-get install busybox-static")]
    NoBusybox,
    /// A file could not be written.
    #[error("write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The manifests: file name and text.
#[must_use]
pub fn manifests(layout: &Layout) -> [(&'static str, String); 2] {
    let shared = layout.demo().join("shared");
    let fill = |text: &str| text.replace("@SHARED@", &shared.display().to_string());
    [
        (
            "keelson-demo-web.yaml",
            fill(include_str!("../demo/web.yaml")),
        ),
        (
            "keelson-demo-client.yaml",
            fill(include_str!("../demo/client.yaml")),
        ),
    ]
}

/// Lays the image's files out below `folder`, with `busybox` under all its names.
///
/// # Errors
/// When a file cannot be written; the path is named.
pub fn lay_out(folder: &Path, busybox: &Path) -> Result<(), DemoError> {
    let bin = folder.join("bin");
    for path in [
        &bin,
        &folder.join("etc"),
        &folder.join("tmp"),
        &folder.join("www"),
    ] {
        fs::create_dir_all(path).map_err(|source| write_error(path, source))?;
    }
    write(
        &folder.join("etc/passwd"),
        b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )?;
    write(&folder.join("etc/group"), b"root:x:0:\nnogroup:x:65534:\n")?;
    let program = bin.join("busybox");
    fs::copy(busybox, &program).map_err(|source| write_error(&program, source))?;
    for name in APPLETS {
        link(&bin.join(name))?;
    }
    Ok(())
}

fn link(path: &Path) -> Result<(), DemoError> {
    match symlink("busybox", path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(write_error(path, error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &[u8]) -> Result<(), DemoError> {
    fs::write(path, text).map_err(|source| write_error(path, source))
}

fn write_error(path: &Path, source: io::Error) -> DemoError {
    DemoError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_pods_of_our_image() {
        let layout = Layout::new(Path::new("/"));
        for ((file, text), pod) in manifests(&layout).iter().zip(PODS) {
            assert!(text.contains(&format!("  name: {pod}\n")), "{file}");
            assert!(text.contains(IMAGE), "{file}");
            assert!(!text.contains('@'), "{file}");
            assert!(text.contains("/var/lib/keelson/demo/shared"), "{file}");
        }
        assert!(
            manifests(&layout)[0]
                .1
                .contains(&format!("hostPort: {HOST_PORT}"))
        );
    }

    #[test]
    fn the_image_can_be_laid_out_twice() {
        let folder = tempfile::tempdir().unwrap();
        let busybox = folder.path().join("busybox");
        fs::write(&busybox, "a program").unwrap();
        let rootfs = folder.path().join("rootfs");
        lay_out(&rootfs, &busybox).unwrap();
        lay_out(&rootfs, &busybox).unwrap();
        assert_eq!(
            fs::read_to_string(rootfs.join("bin/wget")).unwrap(),
            "a program"
        );
    }
}
