//! The result of an ADD: read in any supported version, held once, written in the version asked for.

use std::net::IpAddr;

use keelson_netlink::Cidr;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error_code::{Code, Failure, Outcome};
use super::text;
use super::version::Version;

/// What an ADD made, independent of the protocol version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attached {
    /// Interfaces made or used, on the host and in the container.
    pub interfaces: Vec<Interface>,
    /// Addresses given to the container.
    pub ips: Vec<IpConfig>,
    /// Routes of the container.
    pub routes: Vec<Route>,
    /// Name resolution for the container.
    pub dns: Dns,
}

/// An interface of a result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU; since 1.1.0.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// Path of the namespace it is in; empty on the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// Path of a user-space device's socket; since 1.1.0.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// PCI address; since 1.1.0.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Which of the interfaces has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address and its prefix.
    #[serde(deserialize_with = "text::parse", serialize_with = "text::write")]
    pub address: Cidr,
    /// The gateway of its subnet.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text::parse_optional",
        serialize_with = "text::write_optional"
    )]
    pub gateway: Option<IpAddr>,
}

/// A route of a result or of an IPAM configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    #[serde(deserialize_with = "text::parse", serialize_with = "text::write")]
    pub dst: Cidr,
    /// Next hop; absent means the gateway of the address.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text::parse_optional",
        serialize_with = "text::write_optional"
    )]
    pub gw: Option<IpAddr>,
    /// Path MTU; since 1.1.0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// Advertised segment size; since 1.1.0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advmss: u32,
    /// Metric; since 1.1.0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// Table; since 1.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Scope; since 1.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    /// A route with nothing but a destination and a next hop.
    #[must_use]
    pub fn to(dst: Cidr, gw: Option<IpAddr>) -> Self {
        Self {
            dst,
            gw,
            mtu: 0,
            advmss: 0,
            priority: 0,
            table: None,
            scope: None,
        }
    }
}

/// Name resolution.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains to search.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options of the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Attached {
    /// Reads a result of any supported version; `field` names where it stands, for the error.
    ///
    /// # Errors
    /// Code 1 for a version that is not supported, code 7 for a wrong field.
    pub fn read(field: &str, value: &Value) -> Outcome<Self> {
        let version = value.get("cniVersion").and_then(Value::as_str);
        if let Some(version) = version
            && version.parse::<Version>().is_err()
        {
            return Err(Failure::new(
                Code::IncompatibleVersion,
                format!("{field}.cniVersion: version {version:?} is not supported"),
            ));
        }
        serde_path_to_error::deserialize(value)
            .map_err(|error| Failure::config(&format!("{field}.{}", error.path()), error.inner()))
    }

    /// The JSON of this result in one version: addresses carry their family up to 0.4.0, and what
    /// came with 1.1.0 is left out before it.
    #[must_use]
    pub fn to_value(&self, version: Version) -> Value {
        let mut out = Map::new();
        out.insert("cniVersion".into(), version.as_str().into());
        for (key, list) in [
            ("interfaces", json!(self.interfaces)),
            ("ips", json!(self.ips)),
            ("routes", json!(self.routes)),
        ] {
            if list != json!([]) {
                out.insert(key.into(), list);
            }
        }
        if !self.dns.is_empty() {
            out.insert("dns".into(), json!(self.dns));
        }
        if version < Version::V110 {
            strip(&mut out, "interfaces", &["mtu", "socketPath", "pciID"]);
            strip(
                &mut out,
                "routes",
                &["mtu", "advmss", "priority", "table", "scope"],
            );
        }
        if version < Version::V100 {
            self.add_families(&mut out);
        }
        Value::Object(out)
    }

    fn add_families(&self, out: &mut Map<String, Value>) {
        let Some(Value::Array(ips)) = out.get_mut("ips") else {
            return;
        };
        for (value, ip) in ips.iter_mut().zip(&self.ips) {
            value["version"] = if ip.address.is_v6() { "6" } else { "4" }.into();
        }
    }
}

fn strip(out: &mut Map<String, Value>, list: &str, keys: &[&str]) {
    let Some(Value::Array(items)) = out.get_mut(list) else {
        return;
    };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        item.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::super::version::SUPPORTED;
    use super::*;

    fn sample() -> Value {
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "cni0", "mac": "00:11:22:33:44:55", "mtu": 1400},
                {"name": "eth0", "sandbox": "/run/netns/a"}
            ],
            "ips": [
                {"interface": 1, "address": "10.1.0.5/16", "gateway": "10.1.0.1"},
                {"address": "fd00::5/64"}
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1300}, {"dst": "::/0"}],
            "dns": {"nameservers": ["10.1.0.2"]}
        })
    }

    #[test]
    fn converts_between_versions() {
        let attached = Attached::read("prevResult", &sample()).unwrap();
        assert_eq!(attached.to_value(Version::V110), sample());
        let v100 = attached.to_value(Version::V100);
        assert_eq!(v100["interfaces"][0].get("mtu"), None);
        assert_eq!(v100["routes"][0].get("mtu"), None);
        assert_eq!(v100["ips"][0].get("version"), None);
        let v040 = attached.to_value(Version::V040);
        assert_eq!(v040["ips"][0]["version"], "4");
        assert_eq!(v040["ips"][1]["version"], "6");
    }

    #[test]
    fn every_version_reads_back() {
        let attached = Attached::read("prevResult", &sample()).unwrap();
        for version in SUPPORTED {
            let again = Attached::read("prevResult", &attached.to_value(version)).unwrap();
            assert_eq!(again.ips, attached.ips, "{version}");
            assert_eq!(again.to_value(version), attached.to_value(version));
        }
    }

    #[test]
    fn names_the_wrong_field() {
        for (value, code, text) in [
            (json!({"cniVersion": "0.2.0"}), 1, "0.2.0"),
            (
                json!({"ips": [{"address": "10.0.0.1"}]}),
                7,
                "prevResult.ips[0].address",
            ),
            (json!({"routes": [{"gw": "1.1.1.1"}]}), 7, "routes[0]"),
            (json!(3), 7, "prevResult"),
        ] {
            let failure = Attached::read("prevResult", &value).unwrap_err();
            assert_eq!(failure.code, code, "{value}");
            assert!(failure.message.contains(text), "{}", failure.message);
        }
    }
}
