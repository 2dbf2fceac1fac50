//! Golden lists of the changes that an ADD plans, and its refusals.

use serde_json::{Value, json};

use super::*;
use crate::wire::config::Input;
use crate::wire::env::Env;

fn config(extra: &Value) -> BridgeConfig {
    let mut value = json!({"cniVersion": "1.0.0", "name": "n", "bridge": "br0"});
    for (key, field) in extra.as_object().unwrap() {
        value[key] = field.clone();
    }
    let raw = value.to_string().into_bytes();
    let (value, version) = crate::wire::config::version(&raw).unwrap();
    let input = Input::read(raw, value, version).unwrap();
    let env = Env::read(|name| (name == "CNI_COMMAND").then(|| "GC".into())).unwrap();
    BridgeConfig::read(&input, &env).unwrap()
}

fn names() -> Names {
    Names {
        host: "veth1".into(),
        pod: "eth0".into(),
        alias: "a".into(),
        bridge_mac: Mac([2, 0, 0, 0, 0, 1]),
        pod_mac: None,
    }
}

fn link(name: &str, kind: &str) -> Link {
    Link {
        index: 3,
        name: name.into(),
        kind: kind.into(),
        mac: Some(Mac([2, 0, 0, 0, 0, 7])),
        up: true,
        ..Link::default()
    }
}

fn attached(config: &BridgeConfig, addresses: &[&str]) -> Attached {
    let ips: Vec<Value> = addresses.iter().map(|a| json!({"address": a})).collect();
    let mut attached = Attached::read("r", &json!({"ips": ips})).unwrap();
    gateway::complete(&mut attached, config, 2);
    attached
}

/// A short line for each change.
fn show(ops: &[NetOp]) -> Vec<String> {
    let place = |place: &Place| if *place == Place::Pod { "pod " } else { "" };
    ops.iter()
        .map(|op| match op {
            NetOp::CreateBridge(b) => {
                format!(
                    "bridge {} mtu {:?} vlans {}",
                    b.name, b.mtu, b.vlan_filtering
                )
            }
            NetOp::CreateVeth(v) => format!(
                "veth {} in {} - {}{} mtu {:?}",
                v.name,
                v.bridge,
                place(&v.peer_place),
                v.peer,
                v.mtu
            ),
            NetOp::Change(at, link, LinkChange::AddAddress { cidr, .. }) => {
                format!("{}{link} address {cidr}", place(at))
            }
            NetOp::Change(at, link, LinkChange::RemoveAddress(cidr)) => {
                format!("{}{link} no address {cidr}", place(at))
            }
            NetOp::Change(at, link, LinkChange::AddRoute(r)) => {
                format!(
                    "{}{link} route {} {:?}",
                    place(at),
                    r.destination,
                    r.gateway
                )
            }
            NetOp::Change(at, link, change) => format!("{}{link} {change:?}", place(at)),
            NetOp::Set(at, s) => format!("{}set {}={}", place(at), s.path, s.value),
            NetOp::AwaitRunning(link) => format!("await {link}"),
            NetOp::AwaitAddresses(link) => format!("await addresses of {link}"),
        })
        .collect()
}

fn check(extra: &Value, links: &ObservedLinks, addresses: &[&str], expected: &[&str]) {
    let config = config(extra);
    let ops = plan(&config, links, &names(), &attached(&config, addresses)).unwrap();
    assert_eq!(show(&ops), expected, "{extra}");
}

#[test]
fn first_pod_of_a_host_dual_stack() {
    check(
        &json!({"isDefaultGateway": true, "mtu": 1400, "ipam": {"type": "x"}}),
        &ObservedLinks::default(),
        &["10.1.0.5/24", "fd00::5/64"],
        &[
            "bridge br0 mtu Some(1400) vlans false",
            "set ipv6/conf/br0/accept_ra=0",
            "veth veth1 in br0 - pod eth0 mtu Some(1400)",
            "veth1 Alias(\"a\")",
            "set ipv6/conf/veth1/accept_ra=0",
            "br0 address 10.1.0.1/24",
            "br0 address fd00::1/64",
            "set ipv4/ip_forward=1",
            "set ipv6/conf/all/forwarding=1",
            "pod set ipv6/conf/lo/disable_ipv6=0",
            "pod set ipv6/conf/eth0/disable_ipv6=0",
            "pod set ipv6/conf/eth0/keep_addr_on_down=1",
            "pod set ipv6/conf/eth0/accept_dad=0",
            "pod set ipv4/conf/eth0/arp_notify=1",
            "pod eth0 address 10.1.0.5/24",
            "pod eth0 address fd00::5/64",
            "pod eth0 Up",
            "pod eth0 route 0.0.0.0/0 Some(10.1.0.1)",
            "pod eth0 route ::/0 Some(fd00::1)",
            "await veth1",
        ],
    );
}

#[test]
fn next_pod_touches_nothing_of_the_host() {
    let links = ObservedLinks {
        bridge: Some(link("br0", "bridge")),
        gateway_addresses: vec!["10.1.0.1/24".parse().unwrap()],
        ..ObservedLinks::default()
    };
    check(
        &json!({"isGateway": true, "ipam": {"type": "x"}}),
        &links,
        &["10.1.0.6/24"],
        &[
            "veth veth1 in br0 - pod eth0 mtu None",
            "veth1 Alias(\"a\")",
            "set ipv6/conf/veth1/accept_ra=0",
            "set ipv4/ip_forward=1",
            "pod set ipv4/conf/eth0/arp_notify=1",
            "pod eth0 address 10.1.0.6/24",
            "pod eth0 Up",
            "await veth1",
        ],
    );
}

#[test]
fn vlans_and_port_switches() {
    check(
        &json!({"vlan": 100, "vlanTrunk": [{"id": 7}], "hairpinMode": true,
                "isGateway": true, "ipam": {"type": "x"}}),
        &ObservedLinks::default(),
        &["10.1.0.5/24"],
        &[
            "bridge br0 mtu None vlans true",
            "set ipv6/conf/br0/accept_ra=0",
            "veth veth1 in br0 - pod eth0 mtu None",
            "veth1 Alias(\"a\")",
            "veth1 Port { hairpin: true, isolated: false }",
            "veth1 LeaveVlan(1)",
            "veth1 JoinVlan { id: 7, native: false }",
            "veth1 JoinVlan { id: 100, native: true }",
            "set ipv6/conf/veth1/accept_ra=0",
            &format!(
                "veth {} in br0 - br0.100 mtu None",
                gateway_port("br0", 100)
            ),
            &format!("{} LeaveVlan(1)", gateway_port("br0", 100)),
            &format!(
                "{} JoinVlan {{ id: 100, native: true }}",
                gateway_port("br0", 100)
            ),
            "set ipv6/conf/br0.100/accept_ra=0",
            "br0.100 Up",
            "br0.100 address 10.1.0.1/24",
            "set ipv4/ip_forward=1",
            "pod set ipv4/conf/eth0/arp_notify=1",
            "pod eth0 address 10.1.0.5/24",
            "pod eth0 Up",
            "await veth1",
        ],
    );
}

#[test]
fn layer_two_and_a_bridge_that_is_down() {
    let links = ObservedLinks {
        bridge: Some(Link {
            up: false,
            ..link("br0", "bridge")
        }),
        ..ObservedLinks::default()
    };
    check(
        &json!({"promiscMode": true, "disableContainerInterface": true}),
        &links,
        &[],
        &[
            "br0 Up",
            "br0 Promiscuous",
            "veth veth1 in br0 - pod eth0 mtu None",
            "veth1 Alias(\"a\")",
            "set ipv6/conf/veth1/accept_ra=0",
        ],
    );
}

#[test]
fn a_conflicting_address_is_refused_or_replaced() {
    let links = ObservedLinks {
        bridge: Some(link("br0", "bridge")),
        gateway_addresses: vec!["10.2.0.1/24".parse().unwrap()],
        ..ObservedLinks::default()
    };
    let wanted = |force: bool| {
        let config =
            config(&json!({"isGateway": true, "forceAddress": force, "ipam": {"type": "x"}}));
        plan(
            &config,
            &links,
            &names(),
            &attached(&config, &["10.1.0.5/24"]),
        )
    };
    let refused = wanted(false).unwrap_err();
    assert_eq!(refused.code, 7);
    assert!(
        refused.message.starts_with("forceAddress: br0"),
        "{refused}"
    );
    let ops = show(&wanted(true).unwrap());
    let at = ops
        .iter()
        .position(|op| op == "br0 no address 10.2.0.1/24")
        .unwrap();
    assert_eq!(ops[at + 1], "br0 address 10.1.0.1/24");
    assert!(ops[at + 2].starts_with("br0 Mac"));
}

#[test]
fn admission_refuses_before_anything_is_touched() {
    for (extra, links, code, text) in [
        (
            json!({}),
            ObservedLinks {
                bridge: Some(link("br0", "vlan")),
                ..ObservedLinks::default()
            },
            7,
            "bridge: br0",
        ),
        (
            json!({"vlan": 5}),
            ObservedLinks {
                bridge: Some(link("br0", "bridge")),
                ..ObservedLinks::default()
            },
            7,
            "vlan: bridge br0",
        ),
        (
            json!({}),
            ObservedLinks {
                name_taken: true,
                ..ObservedLinks::default()
            },
            4,
            "CNI_IFNAME",
        ),
    ] {
        let failure = admit(&config(&extra), &links, &names()).unwrap_err();
        assert_eq!(failure.code, code);
        assert!(failure.message.starts_with(text), "{failure}");
    }
}
