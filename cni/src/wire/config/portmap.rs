//! The portmap plugin's fields.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::{Input, fields};
use crate::wire::error_code::{Code, Failure, Outcome};

/// Transport of a mapped port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Transport {
    /// The protocol's number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// One mapped port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// Port of the host.
    pub host_port: u16,
    /// Port of the container.
    pub container_port: u16,
    /// Transport.
    pub transport: Transport,
    /// Address of the host; `None` for all of them.
    pub host_ip: Option<IpAddr>,
    /// Only this family; `None` for both. Set by an unspecified host address.
    pub only_v6: Option<bool>,
}

impl PortMapping {
    /// Whether the mapping is for a container address of this family.
    #[must_use]
    pub fn is_for(&self, v6: bool) -> bool {
        self.only_v6.is_none_or(|only| only == v6)
    }
}

/// What the portmap plugin is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapConfig {
    /// The ports.
    pub mappings: Vec<PortMapping>,
    /// `snat`: the container reaches itself and the host's localhost reaches it.
    pub snat: bool,
    /// `masqAll`: every sender's address is rewritten.
    pub masquerade_all: bool,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    backend: String,
    snat: bool,
    masq_all: bool,
    #[serde(rename = "conditionsV4")]
    conditions_v4: Vec<Value>,
    #[serde(rename = "conditionsV6")]
    conditions_v6: Vec<Value>,
    mark_masq_bit: Option<i64>,
    external_set_mark_chain: Option<String>,
    runtime_config: RuntimeConfig,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            backend: String::new(),
            snat: true,
            masq_all: false,
            conditions_v4: Vec::new(),
            conditions_v6: Vec::new(),
            mark_masq_bit: None,
            external_set_mark_chain: None,
            runtime_config: RuntimeConfig::default(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    port_mappings: Vec<WireMapping>,
}

/// containerd writes the names with a capital first letter; decoders that ignore case take both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMapping {
    #[serde(default, alias = "HostPort")]
    host_port: i64,
    #[serde(default, alias = "ContainerPort")]
    container_port: i64,
    #[serde(default, alias = "Protocol")]
    protocol: String,
    #[serde(default, rename = "hostIP", alias = "HostIP")]
    host_ip: String,
}

impl PortMapConfig {
    /// Reads and checks the portmap plugin's fields.
    ///
    /// # Errors
    /// Code 7 with the wrong field, code 2 with a field that only iptables could honour.
    pub fn read(input: &Input) -> Outcome<Self> {
        let wire: Wire = fields(&input.value)?;
        refuse_unsupported(&wire)?;
        if !matches!(wire.backend.as_str(), "" | "nftables" | "iptables") {
            let why = format!(
                "{:?} is neither \"nftables\" nor \"iptables\"",
                wire.backend
            );
            return Err(Failure::config("backend", why));
        }
        if wire
            .mark_masq_bit
            .is_some_and(|bit| !(0..32).contains(&bit))
        {
            return Err(Failure::config("markMasqBit", "must be between 0 and 31"));
        }
        let mappings = wire
            .runtime_config
            .port_mappings
            .iter()
            .enumerate()
            .map(|(index, mapping)| {
                convert(&format!("runtimeConfig.portMappings[{index}]"), mapping)
            })
            .collect::<Outcome<_>>()?;
        Ok(Self {
            mappings,
            snat: wire.snat,
            masquerade_all: wire.masq_all,
        })
    }
}

fn refuse_unsupported(wire: &Wire) -> Outcome<()> {
    let refuse = |field: &str, value: String| {
        let why = format!("{field}: {value} is not supported, the rules are nftables maps");
        Err(Failure::new(Code::UnsupportedField, why))
    };
    if !wire.conditions_v4.is_empty() {
        return refuse(
            "conditionsV4",
            Value::from(wire.conditions_v4.clone()).to_string(),
        );
    }
    if !wire.conditions_v6.is_empty() {
        return refuse(
            "conditionsV6",
            Value::from(wire.conditions_v6.clone()).to_string(),
        );
    }
    match &wire.external_set_mark_chain {
        Some(chain) => refuse("externalSetMarkChain", format!("{chain:?}")),
        None => Ok(()),
    }
}

fn convert(field: &str, wire: &WireMapping) -> Outcome<PortMapping> {
    let port = |name: &str, number: i64| match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Failure::config(
            &format!("{field}.{name}"),
            format!("{number} is no port"),
        )),
    };
    let transport = match wire.protocol.to_lowercase().as_str() {
        "tcp" | "" => Transport::Tcp,
        "udp" => Transport::Udp,
        "sctp" => Transport::Sctp,
        other => {
            let why = format!("{other:?} is neither tcp, udp nor sctp");
            return Err(Failure::config(&format!("{field}.protocol"), why));
        }
    };
    let (host_ip, only_v6) = match wire.host_ip.as_str() {
        "" => (None, None),
        text => {
            let addr: IpAddr = text.parse().map_err(|_| {
                Failure::config(
                    &format!("{field}.hostIP"),
                    format!("{text:?} is not an IP address"),
                )
            })?;
            (
                (!addr.is_unspecified()).then_some(addr),
                Some(addr.is_ipv6()),
            )
        }
    };
    Ok(PortMapping {
        host_port: port("hostPort", wire.host_port)?,
        container_port: port("containerPort", wire.container_port)?,
        transport,
        host_ip,
        only_v6,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;
    use serde_json::json;

    fn read(extra: Value) -> Outcome<PortMapConfig> {
        let mut value = json!({"cniVersion": "1.0.0", "name": "n"});
        for (key, field) in extra.as_object().unwrap() {
            value[key] = field.clone();
        }
        PortMapConfig::read(&input(value)?)
    }

    fn mapping(value: Value) -> Value {
        json!({"runtimeConfig": {"portMappings": [value]}})
    }

    #[test]
    fn reads_mappings() {
        for document in [
            json!({"hostPort": 80, "containerPort": 8080, "protocol": "UDP", "hostIP": "::"}),
            json!({"HostPort": 80, "ContainerPort": 8080, "Protocol": "udp", "HostIP": "::"}),
        ] {
            let config = read(mapping(document)).unwrap();
            assert!(config.snat);
            assert_eq!(
                config.mappings,
                [PortMapping {
                    host_port: 80,
                    container_port: 8080,
                    transport: Transport::Udp,
                    host_ip: None,
                    only_v6: Some(true)
                }]
            );
        }
    }

    #[test]
    fn refusals_name_the_field() {
        let map = "runtimeConfig.portMappings[0]";
        for (value, code, field) in [
            (
                mapping(json!({"hostPort": 0, "containerPort": 1})),
                7,
                format!("{map}.hostPort"),
            ),
            (
                mapping(json!({"hostPort": 1, "containerPort": 70000})),
                7,
                format!("{map}.containerPort"),
            ),
            (
                mapping(json!({"hostPort": 1, "containerPort": 1, "protocol": "icmp"})),
                7,
                format!("{map}.protocol"),
            ),
            (
                mapping(json!({"hostPort": 1, "containerPort": 1, "hostIP": "a"})),
                7,
                format!("{map}.hostIP"),
            ),
            (
                json!({"conditionsV4": ["-s", "x"]}),
                2,
                "conditionsV4".into(),
            ),
            (
                json!({"externalSetMarkChain": "X"}),
                2,
                "externalSetMarkChain".into(),
            ),
            (json!({"backend": "pf"}), 7, "backend".into()),
            (json!({"markMasqBit": 40}), 7, "markMasqBit".into()),
            (json!({"snat": 1}), 7, "snat".into()),
        ] {
            let failure = read(value).unwrap_err();
            assert_eq!(failure.code, code);
            assert!(failure.message.starts_with(&field), "{}", failure.message);
        }
    }
}
