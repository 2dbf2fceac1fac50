//! The multi-call door: `argv[0]` or the first argument picks the program, which gets the rest.
//! The choice comes before anything is set up, because a CNI plugin lives for a millisecond.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// What a program gets: its name and the arguments after it.
type Program = fn(&str, &[OsString]) -> ExitCode;

const PROGRAMS: &[(&str, Program)] = &[
    ("kubelet", kubelet),
    ("kube-apiserver", apiserver),
    ("kube-controller-manager", controllers),
    ("kube-proxy", |_, args| keelson_proxy::command::main(args)),
    ("kube-scheduler", |_, args| {
        keelson_scheduler::command::main(args)
    }),
    ("bridge", plugin),
    ("host-local", plugin),
    ("loopback", plugin),
    ("portmap", plugin),
    ("up", front_door),
    ("down", front_door),
    ("join", front_door),
    ("token", front_door),
    ("certs", front_door),
    ("status", front_door),
    ("why", front_door),
    ("image", front_door),
    ("snapshot", snapshot),
    ("__session", front_door),
    (keelson_kubelet::volume::killable::PROBE_NAME, volume_probe),
];

/// Programs of the finished system that this build does not hold.
const NOT_YET: &[&str] = &["cloud-controller-manager", "csi-hostpath", "csi-nfs"];

const HELP: &str = include_str!("help.txt");

/// `up`, `down` and what tells about the node between them.
fn front_door(name: &str, args: &[OsString]) -> ExitCode {
    keelson_bootstrap::main(name, args, |network| {
        keelson_cni::apply::firewall::forget_network(network).map_err(|failure| failure.to_string())
    })
}

/// The node agent; it tells systemd when it serves, where that supervises it.
fn kubelet(_: &str, args: &[OsString]) -> ExitCode {
    keelson_kubelet::command::main(args, || drop(keelson_bootstrap::notify::notify("READY=1")))
}

/// Desired state becomes objects.
fn controllers(_: &str, args: &[OsString]) -> ExitCode {
    keelson_controllers::command::main(args)
}

/// The API server, supervised in the same way.
fn apiserver(_: &str, args: &[OsString]) -> ExitCode {
    keelson_apiserver::command::main(args, || drop(keelson_bootstrap::notify::notify("READY=1")))
}

/// Saves and restores what the API server keeps.
fn snapshot(_: &str, args: &[OsString]) -> ExitCode {
    keelson_store::snapshot::command::main(args)
}

/// A child that looks at a path which may hang.
fn volume_probe(_: &str, args: &[OsString]) -> ExitCode {
    keelson_kubelet::volume::probe_main(args)
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let called = args.first().map(base_name).unwrap_or_default();
    if let Some(program) = program(&called) {
        return program(&called, &args[1..]);
    }
    let Some(name) = args.get(1).map(base_name) else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    match program(&name) {
        Some(program) => program(&name, &args[2..]),
        None => answer(&name),
    }
}

fn plugin(name: &str, _: &[OsString]) -> ExitCode {
    keelson_cni::run(name)
}

fn base_name(name: &OsString) -> String {
    Path::new(name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn program(name: &str) -> Option<Program> {
    PROGRAMS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, program)| *program)
}

/// Answers what is not a program: a wish for help, a program to come, or a slip.
fn answer(name: &str) -> ExitCode {
    match name {
        "--help" | "-h" | "help" => print!("{HELP}"),
        "--version" | "-V" | "version" => println!("keelson {}", env!("CARGO_PKG_VERSION")),
        _ if NOT_YET.contains(&name) => {
            eprintln!("keelson: {name} is not supported yet: see README.md for what is built");
            return ExitCode::from(2);
        }
        _ => {
            eprintln!("keelson: there is no program {name}: `keelson --help` lists them");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
