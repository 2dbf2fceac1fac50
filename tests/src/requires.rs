//! What a case needs of the machine. A case that cannot run is counted as skipped by name and
//! reason in the file that the runner reads, never silently as passed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Ends the running test as skipped when `condition` does not hold.
#[macro_export]
macro_rules! requires {
    ($condition:expr, $why:expr) => {
        if !$condition {
            $crate::requires::skip(module_path!(), $why);
            return;
        }
    };
}

/// Notes that a case was skipped, where `tests/run.sh` counts it.
///
/// # Panics
/// When nobody counts: then skipping would be silent.
pub fn skip(case: &str, why: &str) {
    let name = std::thread::current().name().unwrap_or(case).to_owned();
    let Some(path) = std::env::var_os("KEELSON_TEST_SKIPS") else {
        panic!("{name} cannot run here ({why}), and nobody counts skipped cases: use `make test`");
    };
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .expect("the runner's list of skips");
    writeln!(file, "{name}: {why}").expect("a line in the list of skips");
}

/// The release binary under test.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn keelson() -> PathBuf {
    let built = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
            PathBuf::from,
        );
        target.join("release/keelson")
    };
    let path = std::env::var_os("KEELSON_TEST_KEELSON").map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "{} was not built: `make build`",
        path.display()
    );
    path
}

/// The folder of containerd's programs.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn containerd() -> PathBuf {
    let named = std::env::var_os("KEELSON_TEST_CONTAINERD_BIN").map(PathBuf::from);
    let fetched = std::fs::read_dir("/opt/keelson")
        .into_iter()
        .flatten()
        .flatten();
    let mut found = named
        .into_iter()
        .chain(fetched.map(|entry| entry.path().join("usr/bin")));
    found
        .find(|folder| folder.join("containerd").is_file())
        .expect("a containerd >= 2: `make runtime` fetches it")
}

/// kubectl.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn kubectl() -> PathBuf {
    let named = std::env::var_os("KUBECTL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("kubectl"));
    named
        .into_iter()
        .chain(installed)
        .find(|file| file.is_file())
        .expect("kubectl: `make test` fetches it")
}

/// A static busybox, which the test images are made of.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn busybox() -> PathBuf {
    let path = PathBuf::from("/usr/bin/busybox");
    let found = if path.is_file() {
        path
    } else {
        PathBuf::from("/bin/busybox")
    };
    assert!(
        found.is_file(),
        "no busybox: apt-get install busybox-static"
    );
    found
}
