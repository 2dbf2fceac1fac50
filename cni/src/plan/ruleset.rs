//! The nftables tables of the plugins: one for addresses and ports, one for bridge frames. Pure.
//!
//! Containers are elements of maps, never chains or rules of their own: a packet's way does not
//! grow with their number, and a change is one element.

use keelson_netlink::Message;
use keelson_netlink::nft::expression::{TYPE_LOCAL, Verdict};
use keelson_netlink::nft::object::{
    self, BaseChain, ChainKind, Family, Hook, SetKind, Type, add_base_chain, add_chain, add_rule,
    flush_chain,
};
use keelson_netlink::nft::{Comparison, Expression, Register};

use super::claim::Table;

/// Name of both tables.
pub const TABLE: &str = "keelson-cni";

const PRIORITY_DNAT: i32 = -100;
const PRIORITY_SNAT: i32 = 100;
const PRIORITY_BRIDGE_DNAT: i32 = -300;
const HOST_PORTS: &str = "host_ports";

/// Masquerading and port mappings, both families.
pub const ADDRESSES: Table = Table {
    family: Family::Inet,
    name: TABLE,
    sets: &[
        "masquerade4",
        "masquerade6",
        "ports4",
        "ports6",
        "address_ports4",
        "address_ports6",
        "snat4",
        "snat6",
        "snat_all4",
        "snat_all6",
    ],
    skeleton: addresses,
};

/// Which hardware address may send from which port of a bridge.
pub const FRAMES: Table = Table {
    family: Family::Bridge,
    name: TABLE,
    sets: &["guarded", "allowed"],
    skeleton: frames,
};

/// A name of a set by family.
#[must_use]
pub fn by_family(v6: bool, v4_name: &'static str, v6_name: &'static str) -> &'static str {
    if v6 { v6_name } else { v4_name }
}

fn addresses() -> Vec<Message> {
    let mut out = vec![object::add_table(Family::Inet, TABLE)];
    for v6 in [false, true] {
        sets(v6, &mut out);
    }
    out.push(add_chain(Family::Inet, TABLE, HOST_PORTS));
    for (name, hook, priority) in [
        ("prerouting", Hook::Prerouting, PRIORITY_DNAT),
        ("output", Hook::Output, PRIORITY_DNAT),
        ("postrouting", Hook::Postrouting, PRIORITY_SNAT),
    ] {
        let chain = BaseChain {
            name: name.to_owned(),
            kind: ChainKind::Nat,
            hook,
            priority,
        };
        out.push(add_base_chain(Family::Inet, TABLE, &chain));
    }
    for chain in [HOST_PORTS, "prerouting", "output", "postrouting"] {
        out.push(flush_chain(Family::Inet, TABLE, chain));
    }
    let mut rule = |chain, rule: Vec<Expression>| {
        out.push(add_rule(Family::Inet, TABLE, chain, &rule));
    };
    for chain in ["prerouting", "output"] {
        rule(chain, to_host_ports());
    }
    for v6 in [false, true] {
        rule(HOST_PORTS, port_of_address(v6));
        rule(HOST_PORTS, port_of_any(v6));
        rule("postrouting", not_multicast(v6));
        rule("postrouting", snat_pair(v6));
        rule("postrouting", snat_all(v6));
        rule("postrouting", leaving(v6));
    }
    out
}

fn sets(v6: bool, out: &mut Vec<Message>) {
    let addr = if v6 { Type::Ipv6 } else { Type::Ipv4 };
    let target = || SetKind::Map(vec![addr, Type::Port]);
    let name = |v4, v6_name| by_family(v6, v4, v6_name);
    for (set, key, kind) in [
        (
            name("masquerade4", "masquerade6"),
            vec![addr],
            SetKind::VerdictMap,
        ),
        (
            name("ports4", "ports6"),
            vec![Type::Protocol, Type::Port],
            target(),
        ),
        (
            name("address_ports4", "address_ports6"),
            vec![addr, Type::Protocol, Type::Port],
            target(),
        ),
        (name("snat4", "snat6"), vec![addr, addr], SetKind::Set),
        (name("snat_all4", "snat_all6"), vec![addr], SetKind::Set),
    ] {
        let id = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out.push(object::add_set(Family::Inet, TABLE, set, id, &key, &kind));
    }
}

fn to_host_ports() -> Vec<Expression> {
    vec![
        Expression::DestinationType(Register(0)),
        equal(Register(0), TYPE_LOCAL.to_ne_bytes().to_vec()),
        Expression::Verdict(Verdict::Jump(HOST_PORTS.into())),
    ]
}

fn port_of_address(v6: bool) -> Vec<Expression> {
    let after = address_registers(v6);
    let map = by_family(v6, "address_ports4", "address_ports6");
    let mut rule = only(v6);
    rule.push(address(v6, false, Register(0)));
    rule.extend(protocol_and_port(after));
    rule.extend(to_target(v6, map));
    rule
}

fn port_of_any(v6: bool) -> Vec<Expression> {
    let mut rule = only(v6);
    rule.extend(protocol_and_port(0));
    rule.extend(to_target(v6, by_family(v6, "ports4", "ports6")));
    rule
}

fn protocol_and_port(first: u8) -> [Expression; 2] {
    [
        Expression::L4Protocol(Register(first)),
        Expression::DestinationPort(Register(first + 1)),
    ]
}

fn to_target(v6: bool, map: &str) -> [Expression; 2] {
    [
        Expression::FromMap {
            map: map.to_owned(),
            key: Register(0),
            to: Register(0),
        },
        Expression::DestinationNat {
            v6,
            addr: Register(0),
            port: Register(address_registers(v6)),
        },
    ]
}

fn not_multicast(v6: bool) -> Vec<Expression> {
    let (mask, network) = if v6 {
        ("ff00::", "ff00::")
    } else {
        ("240.0.0.0", "224.0.0.0")
    };
    let parse = |text: &str| text.parse().expect("a literal address");
    let mut rule = only(v6);
    rule.extend([
        address(v6, false, Register(0)),
        Expression::Mask(Register(0), parse(mask)),
        equal(Register(0), keelson_netlink::wire::ip_bytes(parse(network))),
        Expression::Verdict(Verdict::Return),
    ]);
    rule
}

fn snat_pair(v6: bool) -> Vec<Expression> {
    let mut rule = only(v6);
    rule.extend([
        address(v6, true, Register(0)),
        address(v6, false, Register(address_registers(v6))),
        in_set(by_family(v6, "snat4", "snat6"), Register(0), false),
        Expression::Masquerade,
    ]);
    rule
}

fn snat_all(v6: bool) -> Vec<Expression> {
    let mut rule = only(v6);
    rule.extend([
        address(v6, false, Register(0)),
        in_set(by_family(v6, "snat_all4", "snat_all6"), Register(0), false),
        Expression::Masquerade,
    ]);
    rule
}

fn leaving(v6: bool) -> Vec<Expression> {
    let mut rule = only(v6);
    rule.extend([
        address(v6, true, Register(0)),
        Expression::VerdictMap {
            map: by_family(v6, "masquerade4", "masquerade6").to_owned(),
            key: Register(0),
        },
    ]);
    rule
}

fn frames() -> Vec<Message> {
    let family = Family::Bridge;
    let name = Type::InterfaceName;
    let chain = BaseChain {
        name: "prerouting".into(),
        kind: ChainKind::Filter,
        hook: Hook::Prerouting,
        priority: PRIORITY_BRIDGE_DNAT,
    };
    let rule = [
        Expression::InputName(Register(0)),
        in_set("guarded", Register(0), false),
        Expression::EtherSource(Register(4)),
        in_set("allowed", Register(0), true),
        Expression::Verdict(Verdict::Drop),
    ];
    vec![
        object::add_table(family, TABLE),
        object::add_set(family, TABLE, "guarded", 1, &[name], &SetKind::Set),
        object::add_set(
            family,
            TABLE,
            "allowed",
            2,
            &[name, Type::Ether],
            &SetKind::Set,
        ),
        add_base_chain(family, TABLE, &chain),
        flush_chain(family, TABLE, &chain.name),
        add_rule(family, TABLE, &chain.name, &rule),
    ]
}

fn only(v6: bool) -> Vec<Expression> {
    vec![
        Expression::NfProtocol(Register(0)),
        equal(Register(0), vec![if v6 { 10 } else { 2 }]),
    ]
}

fn address(v6: bool, source: bool, to: Register) -> Expression {
    Expression::Address { to, v6, source }
}

fn address_registers(v6: bool) -> u8 {
    if v6 { 4 } else { 1 }
}

fn equal(register: Register, value: Vec<u8>) -> Expression {
    Expression::Compare(register, Comparison::Equal, value)
}

fn in_set(set: &str, key: Register, inverted: bool) -> Expression {
    Expression::InSet {
        set: set.to_owned(),
        key,
        inverted,
    }
}
