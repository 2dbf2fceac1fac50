//! Puts the binary into its folder, under its own name and those of the CNI plugins.

use super::{Outcome, UpError};
use crate::files::{put, put_link};
use crate::layout::Layout;

/// The names under which containerd calls the binary.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// Copies this program where the daemons run it from.
pub(super) fn binary(layout: &Layout) -> Result<Outcome, UpError> {
    let own = std::fs::read("/proc/self/exe").map_err(UpError::OwnBinary)?;
    let mut changed = put(&layout.binary(), &own, 0o755)?;
    for name in PLUGINS {
        changed |= put_link(&layout.cni_bin().join(name), "keelson")?;
    }
    Ok(Outcome::changed(changed))
}
