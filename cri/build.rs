//! Compiles the protocol files (no protoc needed) and the pause program that goes into its image.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROTOS: [&str; 8] = [
    "runtime.proto",
    "containerd/version.proto",
    "containerd/introspection.proto",
    "containerd/events.proto",
    "containerd/task_events.proto",
    "containerd/streaming.proto",
    "containerd/transfer.proto",
    "containerd/transfer_types.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=pause");
    compile_protos()?;
    compile_pause()
}

fn compile_protos() -> Result<(), Box<dyn Error>> {
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let files = protox::compile(PROTOS, ["proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .generate_default_stubs(true)
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .btree_map(".")
        // Credentials must not reach a log: its Debug is written by hand.
        .skip_debug(["runtime.v1.AuthConfig"])
        .compile_fds_with_config(files, config)?;
    Ok(())
}

/// Builds `pause/pause.rs` for the target: no standard library, no start files, a few KiB.
fn compile_pause() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?).join("pause");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--crate-name",
            "pause",
        ])
        .arg("--target")
        .arg(variable("TARGET")?)
        .args([
            "-C",
            "opt-level=z",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
        ])
        .args([
            "-C",
            "relocation-model=static",
            "-C",
            "target-feature=+crt-static",
        ])
        .args([
            "-C",
            "debuginfo=0",
            "-C",
            "codegen-units=1",
            "-C",
            "overflow-checks=off",
        ])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-nostdlib"])
        .args([
            "-C",
            "link-arg=-static",
            "-C",
            "link-arg=-Wl,--build-id=none,-z,noseparate-code",
        ]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut flag = OsString::from("linker=");
        flag.push(linker);
        rustc.arg("-C").arg(flag);
    }
    rustc.arg("-o").arg(&out).arg(Path::new("pause/pause.rs"));
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("building pause/pause.rs failed: {rustc:?}: {status}").into());
    }
    Ok(())
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}
