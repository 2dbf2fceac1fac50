//! One call of a plugin: which plugin, which command, what it reads and what it prints.

use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;

use serde_json::json;

use crate::plugin::Plugin;
use crate::plugin::bridge::Bridge;
use crate::plugin::host_local::HostLocal;
use crate::plugin::loopback::Loopback;
use crate::plugin::portmap::PortMap;
use crate::wire::config::{self, Input};
use crate::wire::env::{Command, Env};
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::version::{SUPPORTED, Version};

/// Names of the plugins, which a multi-call program has to answer to.
pub const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

const NEWEST: Version = Version::V110;

/// Runs the plugin `name` (one of [`PLUGINS`]) as the CNI protocol has it: the environment and stdin
/// say what to do, stdout takes the result or the error object.
pub fn run(name: &str) -> ExitCode {
    let (reply, code) = match call(name) {
        Ok(reply) => (reply, ExitCode::SUCCESS),
        Err((failure, version)) => (failure.to_json(version), ExitCode::FAILURE),
    };
    match stdout().write_all(reply.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn call(name: &str) -> Result<String, (Failure, Version)> {
    let unversioned = |failure| (failure, NEWEST);
    let plugin = plugin(name).map_err(unversioned)?;
    let env = Env::read(|key| std::env::var(key).ok()).map_err(unversioned)?;
    if env.command == Command::Version {
        return Ok(versions());
    }
    let mut raw = Vec::new();
    stdin()
        .read_to_end(&mut raw)
        .map_err(|error| unversioned(Failure::new(Code::Io, format!("read stdin: {error}"))))?;
    let (value, version) = config::version(&raw).map_err(unversioned)?;
    Input::read(raw, value, version)
        .and_then(|input| dispatch(plugin, &input, &env))
        .map_err(|failure| (failure, version))
}

fn plugin(name: &str) -> Outcome<&'static dyn Plugin> {
    Ok(match name {
        "bridge" => &Bridge,
        "host-local" => &HostLocal,
        "loopback" => &Loopback,
        "portmap" => &PortMap,
        other => {
            let known = PLUGINS.join(", ");
            let what = format!("{other:?} is no CNI plugin of keelson: it has {known}");
            return Err(Failure::new(Code::Internal, what));
        }
    })
}

fn dispatch(plugin: &dyn Plugin, input: &Input, env: &Env) -> Outcome<String> {
    require_version(env.command, input.version)?;
    note_ignored(input);
    match env.command {
        Command::Add => {
            let attached = plugin.add(input, env)?;
            let value = attached.to_value(input.version);
            return Ok(serde_json::to_string_pretty(&value).unwrap_or_default());
        }
        Command::Del => plugin.del(input, env)?,
        Command::Check => plugin.check(input, env)?,
        Command::Gc => plugin.gc(input, env)?,
        Command::Status => plugin.status(input, env)?,
        Command::Version => {}
    }
    Ok(String::new())
}

/// CHECK came with 0.4.0, GC and STATUS with 1.1.0.
fn require_version(command: Command, version: Version) -> Outcome<()> {
    let since = match command {
        Command::Check => Version::V040,
        Command::Gc | Command::Status => Version::V110,
        _ => Version::V031,
    };
    if version >= since {
        return Ok(());
    }
    let what = format!("cniVersion: {version} does not have {command:?}, it came with {since}");
    Err(Failure::new(Code::IncompatibleVersion, what))
}

/// What is asked for and not done must not pass in silence.
fn note_ignored(input: &Input) {
    if input.value.pointer("/runtimeConfig/bandwidth").is_some() {
        eprintln!("runtimeConfig.bandwidth is not supported and has no effect");
    }
    for field in ["backend", "ipMasqBackend"] {
        if input.value.get(field).and_then(|v| v.as_str()) == Some("iptables") {
            eprintln!("{field}: iptables is not used, the rules are nftables");
        }
    }
}

fn versions() -> String {
    let supported = SUPPORTED.map(Version::as_str);
    json!({"cniVersion": NEWEST.as_str(), "supportedVersions": supported}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_plugin() {
        assert!(PLUGINS.iter().all(|name| plugin(name).is_ok()));
        assert!(plugin("dhcp").is_err());
    }

    #[test]
    fn commands_need_their_version() {
        for (command, version, good) in [
            (Command::Add, Version::V031, true),
            (Command::Check, Version::V031, false),
            (Command::Check, Version::V040, true),
            (Command::Gc, Version::V100, false),
            (Command::Status, Version::V110, true),
        ] {
            let result = require_version(command, version);
            assert_eq!(result.is_ok(), good, "{command:?} {version}");
            assert!(result.err().is_none_or(|failure| failure.code == 1));
        }
    }
}
