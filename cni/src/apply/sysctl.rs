//! Kernel settings under /proc/sys/net, of the calling thread's network namespace.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::plan::Setting;
use crate::wire::error_code::{Code, Failure, Outcome};

/// Longer than any number or word that is written.
const LONGEST: usize = 64;

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
    match File::options().read(true).write(true).open(&path) {
        Ok(file) if holds(&file, setting.value)? => Ok(()),
        Ok(file) => file.write_all_at(setting.value.as_bytes(), 0),
        // What has the value already need not be writable.
        Err(_) if holds(&File::open(&path)?, setting.value)? => Ok(()),
        Err(error) => Err(error),
    }
}

fn holds(file: &File, value: &str) -> io::Result<bool> {
    let mut now = [0; LONGEST];
    let length = file.read_at(&mut now, 0)?;
    Ok(now[..length].trim_ascii() == value.as_bytes())
}
