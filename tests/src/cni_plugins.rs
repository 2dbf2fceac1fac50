//! The CNI plugins alone, chosen by the name the program is called by, for tests and benchmarks.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    keelson_cni::run(&name.to_string_lossy())
}
