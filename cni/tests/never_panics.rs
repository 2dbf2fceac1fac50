//! Whatever comes on stdin, reading it ends in a value or in an error that names something.

use keelson_cni::wire::config::bridge::BridgeConfig;
use keelson_cni::wire::config::host_local::HostLocalConfig;
use keelson_cni::wire::config::portmap::PortMapConfig;
use keelson_cni::wire::config::{Input, version};
use keelson_cni::wire::env::Env;
use keelson_cni::wire::error_code::Failure;
use proptest::prelude::*;
use serde_json::{Map, Value};

const KEYS: [&str; 32] = [
    "name",
    "bridge",
    "vlan",
    "mtu",
    "ipam",
    "type",
    "subnet",
    "ranges",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dst",
    "gw",
    "runtimeConfig",
    "portMappings",
    "hostPort",
    "containerPort",
    "protocol",
    "hostIP",
    "prevResult",
    "interfaces",
    "ips",
    "address",
    "interface",
    "mac",
    "args",
    "cni",
    "vlanTrunk",
    "minID",
    "dns",
    "cni.dev/valid-attachments",
];
const TEXTS: [&str; 14] = [
    "",
    "net",
    "br0",
    "10.0.0.0/8",
    "10.0.0.0/30",
    "10.0.0.1",
    "fd00::/64",
    "::/0",
    "0.0.0.0/32",
    "255.255.255.255/32",
    "tcp",
    "02:00:00:00:00:01",
    "host-local",
    "ffff::/128",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..70_000_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 96, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(&KEYS[..]), inner), 0..8).prop_map(
                |list| {
                    let pairs = list.into_iter().map(|(key, value)| (key.to_owned(), value));
                    Value::Object(pairs.collect::<Map<_, _>>())
                }
            ),
        ]
    })
}

fn read(raw: &[u8]) -> Result<(), Failure> {
    let env = Env::read(|name| (name == "CNI_COMMAND").then(|| "GC".to_owned()))?;
    let (value, version) = version(raw)?;
    let input = Input::read(raw.to_vec(), value, version)?;
    BridgeConfig::read(&input, &env)?;
    HostLocalConfig::read(&input, &env)?;
    PortMapConfig::read(&input)?;
    Ok(())
}

proptest! {
    #[test]
    fn on_arbitrary_json(mut value in value()) {
        if let Value::Object(map) = &mut value {
            map.insert("cniVersion".into(), "1.1.0".into());
            map.entry("name").or_insert("net".into());
        }
        if let Err(failure) = read(value.to_string().as_bytes()) {
            prop_assert!(failure.code != 0 && !failure.message.is_empty());
        }
    }

    #[test]
    fn on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn on_arbitrary_environments(command in any::<String>(), id in any::<String>(), args in any::<String>()) {
        let read = Env::read(|name| match name {
            "CNI_COMMAND" => Some(command.clone()),
            "CNI_ARGS" => Some(args.clone()),
            _ => Some(id.clone()),
        });
        prop_assert!(read.is_ok() || read.is_err_and(|failure| failure.code == 4));
    }
}
