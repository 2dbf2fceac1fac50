//! Feeds arbitrary bytes to the CNI configuration parser: `cargo fuzz run config`.

#![no_main]

use keelson_cni::wire::config::bridge::BridgeConfig;
use keelson_cni::wire::config::host_local::HostLocalConfig;
use keelson_cni::wire::config::portmap::PortMapConfig;
use keelson_cni::wire::config::{Input, version};
use keelson_cni::wire::env::Env;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let env = Env::read(|name| (name == "CNI_COMMAND").then(|| "GC".to_owned()));
    let (Ok(env), Ok((value, version))) = (env, version(raw)) else {
        return;
    };
    let Ok(input) = Input::read(raw.to_vec(), value, version) else {
        return;
    };
    let _ = BridgeConfig::read(&input, &env);
    let _ = HostLocalConfig::read(&input, &env);
    let _ = PortMapConfig::read(&input);
});
