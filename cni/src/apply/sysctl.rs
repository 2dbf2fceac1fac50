//! Kernel settings under /proc/sys/net, of the calling thread's network namespace.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::plan::Setting;
use crate::wire::error_code::{Code, Failure, Outcome};

/// Writes a setting unless it has the value already (writing can have side effects, and /proc/sys
/// may be read-only).
///
/// # Errors
/// When a required setting cannot be written.
pub fn write(setting: &Setting) -> Outcome<()> {
    match try_write(setting) {
        Err(error) if setting.required => Err(Failure::new(
            Code::Internal,
            format!("set net/{} to {}: {error}", setting.path, setting.value),
        )),
        _ => Ok(()),
    }
}

fn try_write(setting: &Setting) -> io::Result<()> {
    let path = PathBuf::from("/proc/sys/net").join(&setting.path);
    if fs::read_to_string(&path)?.trim() == setting.value {
        return Ok(());
    }
    fs::write(path, setting.value)
}
