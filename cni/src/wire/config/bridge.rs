//! The bridge plugin's fields.

use std::collections::BTreeSet;

use keelson_netlink::route::link::Mac;
use serde::Deserialize;

use super::{Input, fields};
use crate::wire::env::Env;
use crate::wire::error_code::{Failure, Outcome};

const VLAN_MAX: u16 = 4094;
const INTERFACE_NAME_MAX: usize = 15;

/// What the bridge plugin is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent switch of the configuration"
)]
pub struct BridgeConfig {
    /// `bridge`: name of the bridge.
    pub bridge: String,
    /// `isGateway` (implied by `isDefaultGateway`): the bridge gets the gateway's address.
    pub gateway: bool,
    /// `isDefaultGateway`: and the container its default route.
    pub default_gateway: bool,
    /// `forceAddress`: an address of the bridge that conflicts is replaced.
    pub force_address: bool,
    /// `ipMasq`: traffic that leaves the subnet takes the host's address.
    pub masquerade: bool,
    /// `mtu`; `None` leaves it to the kernel.
    pub mtu: Option<u32>,
    /// `hairpinMode`: the container can reach itself through the bridge.
    pub hairpin: bool,
    /// `promiscMode` of the bridge.
    pub promiscuous: bool,
    /// `vlan`: the port's native VLAN.
    pub vlan: Option<u16>,
    /// `vlanTrunk`: tagged VLANs of the port.
    pub trunk: BTreeSet<u16>,
    /// `preserveDefaultVlan`: the port stays in VLAN 1 too.
    pub preserve_default_vlan: bool,
    /// `macspoofchk`: frames with another source than the container's are dropped.
    pub mac_spoof_check: bool,
    /// `enabledad`: IPv6 duplicate detection, which makes ADD wait for it.
    pub detect_duplicates: bool,
    /// `disableContainerInterface`: the container's interface stays down.
    pub container_interface_down: bool,
    /// `portIsolation`: no frames between isolated ports.
    pub isolated: bool,
    /// Hardware address asked for by CNI_ARGS, `args.cni` or the runtime, the last one winning.
    pub mac: Option<Mac>,
    /// `ipam.type`; `None` makes a layer 2 attachment.
    pub ipam: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the wire's own switches")]
struct Wire {
    bridge: String,
    is_gateway: bool,
    is_default_gateway: bool,
    force_address: bool,
    ip_masq: bool,
    ip_masq_backend: Option<String>,
    mtu: u32,
    hairpin_mode: bool,
    promisc_mode: bool,
    vlan: u16,
    vlan_trunk: Vec<Trunk>,
    preserve_default_vlan: bool,
    macspoofchk: bool,
    enabledad: bool,
    disable_container_interface: bool,
    port_isolation: bool,
    runtime_config: WithMac,
    args: Args,
    ipam: Ipam,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WithMac {
    mac: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Args {
    cni: WithMac,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ipam {
    r#type: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Trunk {
    #[serde(rename = "minID")]
    min: Option<u16>,
    #[serde(rename = "maxID")]
    max: Option<u16>,
    id: Option<u16>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            bridge: "cni0".into(),
            is_gateway: false,
            is_default_gateway: false,
            force_address: false,
            ip_masq: false,
            ip_masq_backend: None,
            mtu: 0,
            hairpin_mode: false,
            promisc_mode: false,
            vlan: 0,
            vlan_trunk: Vec::new(),
            preserve_default_vlan: false,
            macspoofchk: false,
            enabledad: false,
            disable_container_interface: false,
            port_isolation: false,
            runtime_config: WithMac::default(),
            args: Args::default(),
            ipam: Ipam::default(),
        }
    }
}

impl BridgeConfig {
    /// Reads and checks the bridge plugin's fields.
    ///
    /// # Errors
    /// Code 7 with the wrong field.
    pub fn read(input: &Input, env: &Env) -> Outcome<Self> {
        let wire: Wire = fields(&input.value)?;
        let mac = mac(&wire, env)?;
        check(&wire)?;
        Ok(Self {
            gateway: wire.is_gateway || wire.is_default_gateway,
            default_gateway: wire.is_default_gateway,
            force_address: wire.force_address,
            masquerade: wire.ip_masq,
            mtu: (wire.mtu != 0).then_some(wire.mtu),
            hairpin: wire.hairpin_mode,
            promiscuous: wire.promisc_mode,
            vlan: (wire.vlan != 0).then_some(wire.vlan),
            trunk: trunk(&wire.vlan_trunk)?,
            preserve_default_vlan: wire.preserve_default_vlan,
            mac_spoof_check: wire.macspoofchk,
            detect_duplicates: wire.enabledad,
            container_interface_down: wire.disable_container_interface,
            isolated: wire.port_isolation,
            mac,
            ipam: (!wire.ipam.r#type.is_empty()).then_some(wire.ipam.r#type),
            bridge: wire.bridge,
        })
    }

    /// Whether the bridge has to filter by VLAN.
    #[must_use]
    pub fn uses_vlans(&self) -> bool {
        self.vlan.is_some() || !self.trunk.is_empty()
    }
}

fn check(wire: &Wire) -> Outcome<()> {
    if wire.bridge.is_empty() || wire.bridge.len() > INTERFACE_NAME_MAX {
        return Err(Failure::config("bridge", "must have 1 to 15 characters"));
    }
    if wire
        .bridge
        .contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
        || wire.bridge == "."
        || wire.bridge == ".."
    {
        return Err(Failure::config(
            "bridge",
            format!("{:?} is no interface name", wire.bridge),
        ));
    }
    if wire.vlan > VLAN_MAX {
        return Err(Failure::config("vlan", "must be between 0 and 4094"));
    }
    if wire.hairpin_mode && wire.promisc_mode {
        return Err(Failure::config(
            "hairpinMode",
            "cannot be set together with promiscMode",
        ));
    }
    if wire.disable_container_interface && !wire.ipam.r#type.is_empty() {
        return Err(Failure::config(
            "disableContainerInterface",
            "cannot be set together with ipam",
        ));
    }
    if wire.vlan != 0 && wire.bridge.len() + 1 + wire.vlan.to_string().len() > INTERFACE_NAME_MAX {
        return Err(Failure::config(
            "bridge",
            format!(
                "{}.{} would be longer than 15 characters",
                wire.bridge, wire.vlan
            ),
        ));
    }
    match wire.ip_masq_backend.as_deref() {
        None | Some("" | "nftables" | "iptables") => Ok(()),
        Some(other) => Err(Failure::config(
            "ipMasqBackend",
            format!("{other:?} is neither \"nftables\" nor \"iptables\""),
        )),
    }
}

fn mac(wire: &Wire, env: &Env) -> Outcome<Option<Mac>> {
    let asked = [
        ("runtimeConfig.mac", wire.runtime_config.mac.as_str()),
        ("args.cni.mac", wire.args.cni.mac.as_str()),
        ("CNI_ARGS MAC", env.arg("mac").unwrap_or_default()),
    ];
    let Some((field, text)) = asked.into_iter().find(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    let mac: Mac = text.parse().map_err(|e| Failure::config(field, e))?;
    if mac.0[0] & 1 != 0 || mac.0 == [0; 6] {
        return Err(Failure::config(
            field,
            format!("{mac} is no station's address"),
        ));
    }
    Ok(Some(mac))
}

fn trunk(items: &[Trunk]) -> Outcome<BTreeSet<u16>> {
    let mut all = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let refuse =
            |field: &str, why: &str| Failure::config(&format!("vlanTrunk[{index}].{field}"), why);
        let valid = |field: &str, id: u16| match id {
            1..=VLAN_MAX => Ok(id),
            _ => Err(refuse(field, "must be between 1 and 4094")),
        };
        match (item.min, item.max) {
            (Some(min), Some(max)) => {
                if valid("minID", min)? > valid("maxID", max)? {
                    return Err(refuse("minID", "is greater than maxID"));
                }
                all.extend(min..=max);
            }
            (Some(_), None) => return Err(refuse("maxID", "missing beside minID")),
            (None, Some(_)) => return Err(refuse("minID", "missing beside maxID")),
            (None, None) => {}
        }
        if let Some(id) = item.id {
            all.insert(valid("id", id)?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::tests::input;
    use super::*;
    use serde_json::{Value, json};

    fn env(args: &str) -> Env {
        Env::read(|name| match name {
            "CNI_COMMAND" => Some("GC".into()),
            "CNI_ARGS" => Some(args.into()),
            _ => None,
        })
        .unwrap()
    }

    fn read(extra: Value, args: &str) -> Outcome<BridgeConfig> {
        let mut value = json!({"cniVersion": "1.0.0", "name": "n", "type": "bridge"});
        for (key, field) in extra.as_object().unwrap() {
            value[key] = field.clone();
        }
        BridgeConfig::read(&input(value)?, &env(args))
    }

    #[test]
    fn defaults_and_switches() {
        let config = read(json!({}), "").unwrap();
        assert_eq!((config.bridge.as_str(), config.mtu), ("cni0", None));
        let config = read(
            json!({"isDefaultGateway": true, "vlan": 100, "ipam": {"type": "host-local"},
                   "vlanTrunk": [{"minID": 5, "maxID": 7}, {"id": 9}]}),
            "",
        )
        .unwrap();
        assert!(config.gateway && config.uses_vlans() && !config.preserve_default_vlan);
        assert_eq!(config.trunk, BTreeSet::from([5, 6, 7, 9]));
    }

    #[test]
    fn the_runtime_wins_over_arguments() {
        let first = json!({"args": {"cni": {"mac": "02:00:00:00:00:02"}},
                           "runtimeConfig": {"mac": "02:00:00:00:00:03"}});
        let mac = |value, args| read(value, args).unwrap().mac.unwrap().0[5];
        assert_eq!(mac(first.clone(), "MAC=02:00:00:00:00:01"), 3);
        assert_eq!(
            mac(json!({"args": first["args"]}), "MAC=02:00:00:00:00:01"),
            2
        );
        assert_eq!(mac(json!({}), "MAC=02:00:00:00:00:01"), 1);
    }

    #[test]
    fn refusals_name_the_field() {
        for (extra, field) in [
            (json!({"bridge": "a/b"}), "bridge"),
            (json!({"bridge": "0123456789abcdef"}), "bridge"),
            (json!({"bridge": "0123456789ab", "vlan": 100}), "bridge"),
            (json!({"vlan": 4095}), "vlan"),
            (json!({"vlan": -1}), "vlan"),
            (json!({"mtu": "big"}), "mtu"),
            (json!({"isGateway": "yes"}), "isGateway"),
            (
                json!({"hairpinMode": true, "promiscMode": true}),
                "hairpinMode",
            ),
            (
                json!({"disableContainerInterface": true, "ipam": {"type": "host-local"}}),
                "disableContainerInterface",
            ),
            (json!({"ipMasqBackend": "ipfw"}), "ipMasqBackend"),
            (json!({"vlanTrunk": [{"minID": 3}]}), "vlanTrunk[0].maxID"),
            (
                json!({"vlanTrunk": [{"id": 1}, {"minID": 3, "maxID": 2}]}),
                "vlanTrunk[1].minID",
            ),
            (json!({"vlanTrunk": [{"id": 0}]}), "vlanTrunk[0].id"),
            (json!({"runtimeConfig": {"mac": "x"}}), "runtimeConfig.mac"),
            (
                json!({"runtimeConfig": {"mac": "01:00:00:00:00:01"}}),
                "runtimeConfig.mac",
            ),
            (json!({"ipam": {"type": 3}}), "ipam.type"),
        ] {
            let failure = read(extra, "").unwrap_err();
            assert_eq!(failure.code, 7);
            assert!(failure.message.starts_with(field), "{}", failure.message);
        }
    }
}
