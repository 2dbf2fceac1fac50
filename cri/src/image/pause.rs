//! The pause image: nothing but our pause program, which `build.rs` compiles for the same target.

use super::layer::{File, Layer};
use super::manifest::{ImageError, Settings};
use super::{Archive, build};

/// The program: static, without any library, a few KiB.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// The name that our own containerd configuration uses. It is never pulled.
pub const NAME: &str = "localhost/keelson/pause:1";

/// The pause image under a name, usually [`NAME`]. It runs as an ordinary user where nothing
/// else is asked for.
///
/// # Errors
/// When the name is not a full reference.
pub fn archive(name: &str) -> Result<Archive, ImageError> {
    let program = File {
        path: "pause",
        mode: 0o755,
        content: PROGRAM,
    };
    let layer = Layer::from_files(&[program])
        .unwrap_or_else(|error| unreachable!("one short name: {error}"));
    let settings = Settings {
        entrypoint: vec!["/pause".to_owned()],
        user: "65535:65535".to_owned(),
        working_dir: "/".to_owned(),
        ..Settings::default()
    };
    build(name, &[layer], &settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    #[test]
    fn is_small_and_static() {
        assert!(PROGRAM.len() <= 16 * 1024, "{} bytes", PROGRAM.len());
        assert_eq!(&PROGRAM[..4], b"\x7fELF");
        // Type ET_EXEC at offset 16: no interpreter, no relocation.
        assert_eq!(PROGRAM[16], 2);
        let image = archive(NAME).unwrap();
        assert!(image.bytes().len() <= 32 * 1024, "{}", image.bytes().len());
        assert_eq!(image, archive(NAME).unwrap());
    }

    fn start() -> (tempfile::TempDir, Child) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pause");
        fs::write(&path, PROGRAM).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let child = Command::new(&path).spawn().unwrap();
        (folder, child)
    }

    /// Waits until the program sleeps, which it does only where it waits for its signals.
    fn await_ready(child: &Child) {
        let status = format!("/proc/{}/status", child.id());
        let asleep = || fs::read_to_string(&status).unwrap().contains("State:\tS");
        let mut looks = 0;
        while !asleep() {
            looks += 1;
            assert!(looks < 1_000_000, "pause never waits for signals");
            std::thread::yield_now();
        }
    }

    #[test]
    fn ends_well_on_both_signals() {
        for signal in ["-TERM", "-INT"] {
            let (_folder, mut child) = start();
            await_ready(&child);
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args([signal, &id])
                    .status()
                    .unwrap()
                    .success()
            );
            let status = child.wait().unwrap();
            assert_eq!(
                (status.code(), status.signal()),
                (Some(0), None),
                "{signal}"
            );
        }
    }

    /// A shell as PID 1 leaves an orphan behind and becomes pause.
    const ORPHAN: &str = "(/bin/sleep 0.01 &); exec \"$0\"";

    #[test]
    #[ignore = "needs root: make test"]
    fn buries_orphans_as_pid_1() {
        let (folder, mut plain) = start();
        plain.kill().unwrap();
        plain.wait().unwrap();
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "sh", "-c", ORPHAN])
            .arg(folder.path().join("pause"))
            .spawn()
            .unwrap();
        let children = |pid: &str| {
            let path = format!("/proc/{pid}/task/{pid}/children");
            fs::read_to_string(path).unwrap().trim().to_owned()
        };
        let command = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        let until = |done: &dyn Fn() -> bool| {
            let mut looks = 0;
            while !done() {
                looks += 1;
                assert!(looks < 1_000_000, "an orphan stays");
                std::thread::yield_now();
            }
        };
        let parent = unshare.id().to_string();
        until(&|| !children(&parent).is_empty());
        let init = children(&parent);
        until(&|| command(&init).trim() == "pause");
        until(&|| children(&init).is_empty());
        assert!(
            unshare.try_wait().unwrap().is_none(),
            "pause ended with its orphan"
        );
        unshare.kill().unwrap();
        unshare.wait().unwrap();
    }
}
