//! Runs an IPAM plugin other than host-local, the way the protocol has it: found in CNI_PATH, called
//! with the same environment and configuration. The only place that starts a process.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command as Process, Output, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::wire::config::Input;
use crate::wire::env::{Command, Env};
use crate::wire::error_code::{Code, Failure, Outcome};
use crate::wire::result::Attached;

/// Calls `plugin` for the command of `env`; only ADD has a result.
///
/// # Errors
/// When it is not found or does not start; otherwise its own error with its own code.
pub fn call(plugin: &str, command: Command, input: &Input, env: &Env) -> Outcome<Option<Attached>> {
    let path = find(plugin, env)?;
    let output = run(&path, command, &input.raw).map_err(|error| {
        let what = format!("run IPAM plugin {}: {error}", path.display());
        Failure::new(Code::Io, what)
    })?;
    if !output.status.success() {
        return Err(refused(plugin, &output));
    }
    if command != Command::Add {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        let what = format!("result of IPAM plugin {plugin}: {error}");
        Failure::new(Code::Decoding, what)
    })?;
    Attached::read(&format!("result of {plugin}"), &value).map(Some)
}

fn find(plugin: &str, env: &Env) -> Outcome<PathBuf> {
    if plugin.contains('/') {
        return Err(Failure::config(
            "ipam.type",
            format!("{plugin:?} is no plugin name"),
        ));
    }
    let found = env
        .path
        .iter()
        .map(|folder| folder.join(plugin))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        let folders: Vec<_> = env.path.iter().map(|p| p.display().to_string()).collect();
        let why = format!(
            "plugin {plugin:?} is in no folder of CNI_PATH ({})",
            folders.join(":")
        );
        Failure::config("ipam.type", why)
    })
}

fn run(path: &PathBuf, command: Command, stdin: &[u8]) -> std::io::Result<Output> {
    let mut child = Process::new(path)
        .env("CNI_COMMAND", name(command))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A plugin that does not read its input says why on its output.
        let _ = pipe.write_all(stdin);
    }
    child.wait_with_output()
}

fn name(command: Command) -> &'static str {
    match command {
        Command::Add => "ADD",
        Command::Del => "DEL",
        Command::Check => "CHECK",
        Command::Gc => "GC",
        Command::Status => "STATUS",
        Command::Version => "VERSION",
    }
}

fn refused(plugin: &str, output: &Output) -> Failure {
    #[derive(Deserialize)]
    struct Wire {
        code: u32,
        msg: String,
        #[serde(default)]
        details: String,
    }
    match serde_json::from_slice::<Wire>(&output.stdout) {
        Ok(wire) => Failure {
            code: wire.code,
            message: format!("IPAM plugin {plugin}: {}", wire.msg),
            details: wire.details,
        },
        Err(_) => Failure::new(
            Code::Internal,
            format!(
                "IPAM plugin {plugin} ended with {} and no error object",
                output.status
            ),
        ),
    }
}
