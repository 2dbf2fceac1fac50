//! Processes that are ours without doubt: shims that serve our containerd's address.

use std::fs;
use std::path::Path;

/// Shims whose `-address` is the socket of our containerd.
#[must_use]
pub fn shims(socket: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_shim_of(&line, socket))
        })
        .collect()
}

/// Whether a command line (words ended by NUL) is a containerd shim's for `socket`.
fn is_shim_of(line: &[u8], socket: &Path) -> bool {
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    let named = words.first().is_some_and(|name| {
        String::from_utf8_lossy(name)
            .rsplit('/')
            .next()
            .is_some_and(|base| base.starts_with("containerd-shim"))
    });
    let address = words.iter().position(|word| *word == b"-address");
    let served = address.and_then(|at| words.get(at + 1));
    named && served.is_some_and(|served| *served == socket.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_containerds_shim_is_not_ours() {
        let check = |line: &str, expected: bool| {
            let line = line.replace(' ', "\0");
            assert_eq!(
                is_shim_of(line.as_bytes(), Path::new("/run/k/c.sock")),
                expected,
                "{line}"
            );
        };
        check(
            "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id a -address /run/k/c.sock ",
            true,
        );
        check(
            "containerd-shim-runc-v2 -namespace k8s.io -id a -address /run/k/c.sock",
            true,
        );
        check(
            "containerd-shim-runc-v2 -id a -address /run/k/c.sock.ttrpc ",
            false,
        );
        check("containerd-shim-runc-v2 -id a -address", false);
        check("grep containerd-shim -address /run/k/c.sock ", false);
    }
}
