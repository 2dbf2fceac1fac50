//! The host-local plugin's fields.

use std::net::IpAddr;
use std::path::PathBuf;

use keelson_netlink::Cidr;
use serde::Deserialize;

use super::{Input, fields};
use crate::ipam::range::{Range, RangeSet};
use crate::wire::env::Env;
use crate::wire::error_code::{Failure, Outcome};
use crate::wire::result::Route;
use crate::wire::text;

const DATA_DIR: &str = "/var/lib/cni/networks";

/// What host-local hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLocalConfig {
    /// One address is taken from each set.
    pub sets: Vec<RangeSet>,
    /// Routes for the container.
    pub routes: Vec<Route>,
    /// Folder of this network's leases.
    pub folder: PathBuf,
    /// A resolv.conf to read name resolution from.
    pub resolv_conf: Option<PathBuf>,
    /// Addresses asked for.
    pub requested: Vec<IpAddr>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    ipam: Option<Ipam>,
    runtime_config: RuntimeConfig,
    args: Args,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    #[serde(deserialize_with = "text::parse_optional")]
    subnet: Option<Cidr>,
    #[serde(deserialize_with = "text::parse_optional")]
    range_start: Option<IpAddr>,
    #[serde(deserialize_with = "text::parse_optional")]
    range_end: Option<IpAddr>,
    #[serde(deserialize_with = "text::parse_optional")]
    gateway: Option<IpAddr>,
    ranges: Vec<Vec<WireRange>>,
    routes: Vec<Route>,
    data_dir: String,
    resolv_conf: String,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct WireRange {
    #[serde(deserialize_with = "text::parse")]
    subnet: Cidr,
    #[serde(default, deserialize_with = "text::parse_optional")]
    range_start: Option<IpAddr>,
    #[serde(default, deserialize_with = "text::parse_optional")]
    range_end: Option<IpAddr>,
    #[serde(default, deserialize_with = "text::parse_optional")]
    gateway: Option<IpAddr>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    ip_ranges: Vec<Vec<WireRange>>,
    ips: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Args {
    cni: CniArgs,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CniArgs {
    ips: Vec<String>,
}

impl HostLocalConfig {
    /// Reads and checks the host-local plugin's fields.
    ///
    /// # Errors
    /// Code 7 with the wrong field.
    pub fn read(input: &Input, env: &Env) -> Outcome<Self> {
        let wire: Wire = fields(&input.value)?;
        let ipam = wire
            .ipam
            .ok_or_else(|| Failure::config("ipam", "missing"))?;
        let folder = match ipam.data_dir.as_str() {
            "" => PathBuf::from(DATA_DIR),
            given => PathBuf::from(given),
        };
        Ok(Self {
            sets: sets(&ipam, &wire.runtime_config.ip_ranges)?,
            folder: folder.join(&input.network),
            resolv_conf: (!ipam.resolv_conf.is_empty()).then(|| ipam.resolv_conf.into()),
            requested: requested(env, &wire.args.cni.ips, &wire.runtime_config.ips)?,
            routes: ipam.routes,
        })
    }
}

fn sets(ipam: &Ipam, from_runtime: &[Vec<WireRange>]) -> Outcome<Vec<RangeSet>> {
    let single = ipam.subnet.map(|subnet| {
        vec![WireRange {
            subnet,
            range_start: ipam.range_start,
            range_end: ipam.range_end,
            gateway: ipam.gateway,
        }]
    });
    let named = |name: &'static str, sets: &[Vec<WireRange>]| -> Vec<(String, Vec<WireRange>)> {
        let each =
            |(index, set): (usize, &Vec<WireRange>)| (format!("{name}[{index}]"), set.clone());
        sets.iter().enumerate().map(each).collect()
    };
    let mut all = named("runtimeConfig.ipRanges", from_runtime);
    all.extend(single.map(|set| ("ipam".to_owned(), set)));
    all.extend(named("ipam.ranges", &ipam.ranges));
    if all.is_empty() {
        return Err(Failure::config(
            "ipam.ranges",
            "missing: give subnet or ranges",
        ));
    }
    let mut sets: Vec<(String, RangeSet)> = Vec::new();
    for (field, ranges) in all {
        let set = range_set(&field, &ranges)?;
        if let Some((other, _)) = sets.iter().find(|(_, earlier)| earlier.overlaps(&set)) {
            return Err(Failure::config(&field, format!("overlaps with {other}")));
        }
        sets.push((field, set));
    }
    Ok(sets.into_iter().map(|(_, set)| set).collect())
}

fn range_set(field: &str, wire: &[WireRange]) -> Outcome<RangeSet> {
    let mut ranges = Vec::new();
    for (index, range) in wire.iter().enumerate() {
        let at = match field {
            "ipam" => field.to_owned(),
            _ => format!("{field}[{index}]"),
        };
        let range = Range::new(
            range.subnet,
            range.range_start,
            range.range_end,
            range.gateway,
        )
        .map_err(|error| Failure::config(&format!("{at}.{}", error.field()), error))?;
        ranges.push(range);
    }
    RangeSet::new(ranges).map_err(|error| Failure::config(field, error))
}

fn requested(env: &Env, args: &[String], runtime: &[String]) -> Outcome<Vec<IpAddr>> {
    let mut all = Vec::new();
    let named = |field: &'static str, texts: &[String]| {
        let each = |(index, text): (usize, &String)| (format!("{field}[{index}]"), text.clone());
        texts.iter().enumerate().map(each).collect::<Vec<_>>()
    };
    if let Some(text) = env.arg("ip").filter(|text| !text.is_empty()) {
        all.push(("CNI_ARGS IP".to_owned(), text.to_owned()));
    }
    all.extend(named("args.cni.ips", args));
    all.extend(named("runtimeConfig.ips", runtime));
    all.into_iter()
        .map(|(field, text)| {
            let addr = text.split('/').next().unwrap_or_default();
            addr.parse()
                .map_err(|_| Failure::config(&field, format!("{text:?} is not an IP address")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;
    use serde_json::{Value, json};

    fn read(ipam: Value, rest: Value) -> Outcome<HostLocalConfig> {
        let mut value = json!({"cniVersion": "1.0.0", "name": "net"});
        for (key, field) in rest.as_object().unwrap() {
            value[key] = field.clone();
        }
        value["ipam"] = ipam;
        let env = Env::read(|name| match name {
            "CNI_COMMAND" => Some("GC".into()),
            "CNI_ARGS" => Some("IP=10.1.0.77".into()),
            _ => None,
        })
        .unwrap();
        HostLocalConfig::read(&input(value)?, &env)
    }

    #[test]
    fn sets_come_from_the_runtime_then_subnet_then_ranges() {
        let config = read(
            json!({"subnet": "10.1.0.0/24", "ranges": [[{"subnet": "fd00::/64"}]]}),
            json!({"runtimeConfig": {"ipRanges": [[{"subnet": "10.9.0.0/24"}]],
                   "ips": ["fd00::9/64"]}}),
        )
        .unwrap();
        let subnets: Vec<String> = config
            .sets
            .iter()
            .map(|set| set.ranges()[0].subnet.to_string())
            .collect();
        assert_eq!(subnets, ["10.9.0.0/24", "10.1.0.0/24", "fd00::/64"]);
        assert_eq!(config.folder, PathBuf::from("/var/lib/cni/networks/net"));
        assert_eq!(config.requested.len(), 2);
    }

    #[test]
    fn refusals_name_the_field() {
        for (ipam, field) in [
            (Value::Null, "ipam"),
            (json!({}), "ipam.ranges"),
            (json!({"ranges": [[]]}), "ipam.ranges[0]"),
            (json!({"subnet": "10.1.0.0"}), "ipam.subnet"),
            (json!({"subnet": "10.1.0.1/24"}), "ipam.subnet"),
            (json!({"subnet": "10.1.0.0/31"}), "ipam.subnet"),
            (
                json!({"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}),
                "ipam.rangeStart",
            ),
            (
                json!({"ranges": [[{"subnet": "10.1.0.0/24", "rangeEnd": "x"}]]}),
                "ipam.ranges[0][0].rangeEnd",
            ),
            (
                json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/16"}]]}),
                "ipam.ranges[1]",
            ),
            (
                json!({"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]]}),
                "ipam.ranges[0]",
            ),
            (
                json!({"subnet": "10.1.0.0/24", "routes": [{"dst": "x"}]}),
                "ipam.routes[0].dst",
            ),
        ] {
            let failure = read(ipam, json!({})).unwrap_err();
            assert_eq!(failure.code, 7);
            assert!(failure.message.starts_with(field), "{}", failure.message);
        }
    }
}
