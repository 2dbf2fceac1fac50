//! Compiles the gRPC health protocol; no protoc needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["health.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // The server is for tests.
        .server_mod_attribute("grpc.health.v1", "#[cfg(test)]")
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
