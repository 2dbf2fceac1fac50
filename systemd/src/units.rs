//! systemd's part, where systemd is process 1: writing the units and asking it to act on them.

use crate::cluster::Cluster;
use crate::configuration::kubelet_args;
use crate::layout::Layout;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The units as they are written for the machine's own node, in the order in which they start.
const UNITS: [(&str, &str); 2] = [
    (
        "keelson-containerd.service",
        include_str!("../units/keelson-containerd.service"),
    ),
    (
        "keelson-kubelet.service",
        include_str!("../units/keelson-kubelet.service"),
    ),
];

/// Where an administrator's units are.
const FOLDER: &str = "/etc/systemd/system";

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// `systemctl` could not be run.
    #[error("run systemctl: {0}")]
    Run(io::Error),
    /// It failed; the text is its own.
    #[error("systemctl {what}: {said}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it answered.
        said: String,
    },
    /// A unit's file could not be removed.
    #[error("remove {path}: {source}")]
    Remove {
        /// The unit's file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// True when systemd runs this machine.
#[must_use]
pub fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The unit which runs `daemon` (`containerd` or `kubelet`).
#[must_use]
pub fn unit_of(daemon: &str) -> String {
    format!("keelson-{daemon}.service")
}

/// The units' files: path and text. `containerd` is the program's file.
#[must_use]
pub fn files(
    layout: &Layout,
    containerd: &Path,
    cluster: Option<&Cluster>,
) -> Vec<(PathBuf, String)> {
    let words: Vec<_> = kubelet_args(layout, cluster)
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let fill = |text: &str| {
        text.replace("@CONTAINERD@", &containerd.display().to_string())
            .replace("@CONTAINERD_FOLDER@", &folder_of(containerd))
            .replace(
                "@CONTAINERD_CONFIG@",
                &layout.containerd_config().display().to_string(),
            )
            .replace("@KEELSON@", &layout.binary().display().to_string())
            .replace("@KUBELET_ARGS@", &words.join(" "))
    };
    UNITS
        .iter()
        .map(|(name, text)| (Path::new(FOLDER).join(name), fill(text)))
        .collect()
}

fn folder_of(program: &Path) -> String {
    program
        .parent()
        .unwrap_or(Path::new("/usr/bin"))
        .display()
        .to_string()
}

/// Reads the units anew, then starts one for good, and starts it anew if it runs with another
/// configuration (`changed`).
///
/// # Errors
/// With systemd's own words.
pub fn start(unit: &str, changed: bool) -> Result<(), UnitError> {
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--quiet", unit])?;
    systemctl(&[if changed { "restart" } else { "start" }, unit])
}

/// True while systemd counts the unit as active.
#[must_use]
pub fn is_active(unit: &str) -> bool {
    systemctl(&["is-active", "--quiet", unit]).is_ok()
}

/// True when there is such a unit.
#[must_use]
pub fn exists(unit: &str) -> bool {
    Path::new(FOLDER).join(unit).exists()
}

/// Stops and disables a unit.
///
/// # Errors
/// With systemd's own words.
pub fn stop(unit: &str) -> Result<(), UnitError> {
    systemctl(&["disable", "--quiet", "--now", unit])
}

/// Stops a slice with all slices and scopes inside. One that is not there is stopped.
///
/// # Errors
/// With systemd's own words.
pub fn stop_slice(slice: &str) -> Result<(), UnitError> {
    systemctl(&["stop", slice])
}

/// The last `lines` lines of what a unit said, or nothing where there is no journal.
#[must_use]
pub fn log(unit: &str, lines: usize) -> Vec<u8> {
    let lines = lines.to_string();
    let output = Command::new("journalctl")
        .args([
            "--no-pager",
            "--output=cat",
            "--lines",
            &lines,
            "--unit",
            unit,
        ])
        .output();
    output.map(|output| output.stdout).unwrap_or_default()
}

/// Removes the unit's file, and what systemd remembers of it.
///
/// # Errors
/// When the file cannot be removed or systemd does not read its units anew.
pub fn remove(unit: &str) -> Result<(), UnitError> {
    let path = Path::new(FOLDER).join(unit);
    // One that never failed has nothing to forget.
    let _ = systemctl(&["reset-failed", unit]);
    match std::fs::remove_file(&path) {
        Ok(()) => systemctl(&["daemon-reload"]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(UnitError::Remove { path, source }),
    }
}

fn systemctl(args: &[&str]) -> Result<(), UnitError> {
    let output = Command::new("systemctl")
        .args(args)
        .output()
        .map_err(UnitError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(UnitError::Refused {
        what: args.join(" "),
        said,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled() {
        let layout = Layout::new(Path::new("/"));
        for (path, text) in files(&layout, Path::new("/opt/x/usr/bin/containerd"), None) {
            assert!(!text.contains('@'), "{path:?}:\n{text}");
            assert!(text.contains("[Install]"), "{path:?}");
        }
    }
}
