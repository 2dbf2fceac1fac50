//! Asks systemd to make, change and stop slices: three D-Bus calls, over the system bus or, where
//! there is none, systemd's own socket. What the slices get is decided in [`properties`]; bytes
//! are made and read in [`message`]; both are pure.
//!
//! Caveat: calls block until systemd has finished the job, or for [`TIMEOUT`].

mod connection;
pub mod message;
pub mod properties;

use std::io;
use std::path::Path;
use std::time::Duration;

use self::connection::Connection;
use self::message::Value;
use super::hierarchy::Version;
use super::names::CgroupName;
use super::plan::Limits;

/// How long systemd may stay silent.
const TIMEOUT: Duration = Duration::from_secs(20);
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// A call to systemd failed.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// Neither socket takes a connection.
    #[error(
        "connect to systemd at {socket}: {source}: is systemd the init of this machine? If not, \
         set the runtime's cgroup driver to cgroupfs"
    )]
    Connect {
        /// The last one tried.
        socket: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection broke, or systemd did not answer in time.
    #[error("{method} {unit}: {source}")]
    Transport {
        /// The call.
        method: &'static str,
        /// The unit it was about.
        unit: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// systemd answered with an error.
    #[error("{method} {unit}: {name}: {text}")]
    Refused {
        /// The call.
        method: &'static str,
        /// The unit it was about.
        unit: String,
        /// D-Bus name of the error.
        name: String,
        /// systemd's words.
        text: String,
    },
    /// The job ended otherwise than `done`.
    #[error("{method} {unit}: the job ended as {result:?}")]
    Job {
        /// The call.
        method: &'static str,
        /// The unit it was about.
        unit: String,
        /// systemd's word, for example `failed`.
        result: String,
    },
}

/// Starts the slice of `name`; one that is there gets `limits` as its new properties.
pub(super) fn start_slice(
    name: &CgroupName,
    limits: &Limits,
    version: Version,
) -> Result<(), SystemdError> {
    let body = properties::start_transient(name, limits, version);
    match connect()?.run_job("StartTransientUnit", &name.slice(), &body) {
        Err(SystemdError::Refused { name: error, .. }) if error == UNIT_EXISTS => {
            set_properties(name, limits, version)
        }
        done => done,
    }
}

/// Changes the limits of a slice until it stops.
pub(super) fn set_properties(
    name: &CgroupName,
    limits: &Limits,
    version: Version,
) -> Result<(), SystemdError> {
    let body = properties::set_unit(name, limits, version);
    connect()?
        .call("SetUnitProperties", &name.slice(), &body)
        .map(drop)
}

/// Stops the slice of `name`; one that is not there is stopped.
pub(super) fn stop_slice(name: &CgroupName) -> Result<(), SystemdError> {
    let slice = name.slice();
    let body = [Value::text(&slice), Value::text("replace")];
    match connect()?.run_job("StopUnit", &slice, &body) {
        Err(SystemdError::Refused { name: error, .. }) if error == NO_SUCH_UNIT => Ok(()),
        done => done,
    }
}

fn connect() -> Result<Connection, SystemdError> {
    let bus = Path::new("/run/dbus/system_bus_socket");
    match Connection::to_bus(bus) {
        Ok(connection) => Ok(connection),
        Err(_) => Connection::to_systemd(Path::new("/run/systemd/private")),
    }
}
