//! The part of the table that does not depend on Services: sets, chains and their rules. Pure.

use keelson_netlink::Message;
use keelson_netlink::nft::expression::{STATE_INVALID, STATE_NEW, TYPE_LOCAL, Verdict};
use keelson_netlink::nft::object::{self, BaseChain, ChainKind, Hook};
use keelson_netlink::nft::{Comparison, Expression, Pack, Register};
use keelson_netlink::wire::ip_bytes;

use super::beside_ipvs::{DROP_OUTSIDE, adapt};
use super::layout::{SETS, Set, TABLE, family};
use super::{KEY, address, compare, destination, in_set, port, replaced_by, verdict_map, width};
use crate::model::{LocalDetection, NodePortAddresses, NodeRules, Protocol};

/// Chain that marks a packet for masquerading.
pub const MARK: &str = "mark-for-masquerade";
/// Chain that marks packets which do not come from a pod of this node.
pub const MARK_FOREIGN: &str = "mark-foreign";
const SERVICES: &str = "services";
/// Chain that refuses where nobody can take traffic.
pub const CHECK: &str = "endpoints-check";
const FIREWALL: &str = "firewall-check";
const REFUSE: &str = "refuse";

/// What [`Set::NoEndpoints`] holds for addresses that refuse.
pub const REJECTED: u32 = 1;
/// What it holds for addresses that stay silent.
pub const DROPPED: u32 = 2;
/// What it holds for those that are silent to the outside only, where IPVS serves the inside.
pub const DROPPED_OUTSIDE: u32 = 3;

/// Before and after the rewriting of destinations at -100.
const BEFORE_REWRITE: i32 = -110;
const REWRITE: i32 = -100;
const AFTER_REWRITE: i32 = -90;
const MASQUERADE: i32 = 100;

/// A rule: as text for people, and as the kernel's virtual machine runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it does, in nft's words as far as those go.
    pub text: String,
    /// Its steps.
    pub steps: Vec<Expression>,
}

/// A rule from its two sides.
pub fn rule(text: impl Into<String>, steps: Vec<Expression>) -> Rule {
    Rule {
        text: text.into(),
        steps,
    }
}

/// A chain with its rules; a hook makes it a base chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// Where the kernel calls it.
    pub hook: Option<(ChainKind, Hook, i32)>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// All chains of a family, each after those it jumps to.
#[must_use]
pub fn chains(v6: bool, node: &NodeRules) -> Vec<Chain> {
    let plain = |name, rules| Chain {
        name,
        hook: None,
        rules,
    };
    let based = |name, kind, hook, priority, rules| Chain {
        name,
        hook: Some((kind, hook, priority)),
        rules,
    };
    let (filter, nat) = (ChainKind::Filter, ChainKind::Nat);
    let mut forward = Vec::new();
    if !node.tcp_be_liberal {
        forward.push(invalid_is_dropped());
    }
    forward.push(new_flows(CHECK));
    let mut chains = vec![
        plain(MARK, vec![mark(node)]),
        plain(MARK_FOREIGN, foreign(v6, &node.local)),
        plain(REFUSE, refuse(v6)),
        plain(CHECK, check(v6, node)),
        plain(FIREWALL, vec![firewall(v6)]),
        plain(SERVICES, services(v6, node)),
        based(
            "filter-prerouting",
            filter,
            Hook::Prerouting,
            BEFORE_REWRITE,
            vec![new_flows(FIREWALL)],
        ),
        based(
            "filter-input",
            filter,
            Hook::Input,
            BEFORE_REWRITE,
            vec![new_flows(CHECK)],
        ),
        based(
            "filter-forward",
            filter,
            Hook::Forward,
            BEFORE_REWRITE,
            forward,
        ),
        based(
            "filter-output",
            filter,
            Hook::Output,
            BEFORE_REWRITE,
            vec![new_flows(FIREWALL)],
        ),
        based(
            "filter-output-rewritten",
            filter,
            Hook::Output,
            AFTER_REWRITE,
            vec![new_flows(CHECK)],
        ),
        based(
            "nat-prerouting",
            nat,
            Hook::Prerouting,
            REWRITE,
            vec![to(SERVICES)],
        ),
        based("nat-output", nat, Hook::Output, REWRITE, vec![to(SERVICES)]),
        based(
            "nat-postrouting",
            nat,
            Hook::Postrouting,
            MASQUERADE,
            postrouting(v6, node),
        ),
    ];
    if node.ipvs.is_some() {
        adapt(&mut chains, v6, node);
    }
    chains
}

/// The messages that build a family's table from nothing, with an empty chain named after it all:
/// where that chain is, the rest is there too.
#[must_use]
pub fn messages(v6: bool, node: &NodeRules) -> Vec<Message> {
    let mut out = content(v6, node);
    out.push(object::add_chain(family(v6), TABLE, &fingerprint(v6, node)));
    out
}

/// Name of the chain that stands for this very skeleton.
#[must_use]
pub fn fingerprint(v6: bool, node: &NodeRules) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for message in content(v6, node) {
        for byte in message.body {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("keelson-{hash:016x}")
}

fn content(v6: bool, node: &NodeRules) -> Vec<Message> {
    let family = family(v6);
    let chains = chains(v6, node);
    let mut out = vec![object::add_table(family, TABLE)];
    out.extend(SETS.iter().map(|set| set.declare(v6)));
    for chain in &chains {
        out.push(match chain.hook {
            None => object::add_chain(family, TABLE, chain.name),
            Some((kind, hook, priority)) => object::add_base_chain(
                family,
                TABLE,
                &BaseChain {
                    name: chain.name.to_owned(),
                    kind,
                    hook,
                    priority,
                },
            ),
        });
    }
    for chain in &chains {
        for rule in &chain.rules {
            out.push(object::add_rule(family, TABLE, chain.name, &rule.steps));
        }
    }
    let mut refusals = Pack::adding(family, TABLE, Set::Refusals.name());
    refusals.verdict(&REJECTED.to_ne_bytes(), &Verdict::Goto(REFUSE.to_owned()));
    refusals.verdict(&DROPPED.to_ne_bytes(), &Verdict::Drop);
    if node.ipvs.is_some() {
        let chain = Verdict::Goto(DROP_OUTSIDE.to_owned());
        refusals.verdict(&DROPPED_OUTSIDE.to_ne_bytes(), &chain);
    }
    out.extend(refusals.into_messages());
    out
}

/// Conditions that together mean: from a pod of this node. Any of them is enough.
#[must_use]
pub fn from_here(v6: bool, local: &LocalDetection) -> Vec<(String, Vec<Expression>)> {
    let interface = |name: &str, exact: bool| {
        let mut bytes = name.as_bytes().to_vec();
        if exact {
            bytes.resize(16, 0);
        }
        vec![
            Expression::InputName(Register(0)),
            compare(0, Comparison::Equal, bytes),
        ]
    };
    match local {
        LocalDetection::Nothing => vec![],
        LocalDetection::Interface(name) => vec![(format!("iifname {name}"), interface(name, true))],
        LocalDetection::InterfacePrefix(prefix) => {
            vec![(format!("iifname {prefix}*"), interface(prefix, false))]
        }
        LocalDetection::Sources(cidrs) => cidrs
            .iter()
            .filter(|cidr| cidr.is_v6() == v6)
            .map(|cidr| {
                let steps = vec![
                    address(v6, true, 0),
                    Expression::Mask(Register(0), cidr.mask()),
                    compare(0, Comparison::Equal, ip_bytes(cidr.network().addr)),
                ];
                (format!("saddr {}", cidr.network()), steps)
            })
            .collect(),
    }
}

/// Condition that means: from this node itself.
#[must_use]
pub fn from_the_node() -> Vec<Expression> {
    vec![
        Expression::SourceType(Register(0)),
        compare(0, Comparison::Equal, TYPE_LOCAL.to_ne_bytes()),
    ]
}

fn mark(node: &NodeRules) -> Rule {
    let bit = node.masquerade_mark;
    rule(
        format!("meta mark set meta mark or {bit:#x}"),
        vec![
            Expression::Mark(Register(0)),
            Expression::Bits {
                register: Register(0),
                mask: !bit,
                flip: bit,
            },
            Expression::SetMark(Register(0)),
        ],
    )
}

fn foreign(v6: bool, local: &LocalDetection) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (text, mut steps) in from_here(v6, local) {
        steps.push(Expression::Verdict(Verdict::Return));
        rules.push(rule(format!("{text} return"), steps));
    }
    let chain = Verdict::Goto(MARK.to_owned());
    rules.push(rule(
        "goto mark-for-masquerade",
        vec![Expression::Verdict(chain)],
    ));
    rules
}

/// A reset ends a connection of TCP at once, is not limited in rate and is heeded by every kernel;
/// an ICMP message is none of these.
fn refuse(v6: bool) -> Vec<Rule> {
    let tcp = vec![
        Expression::L4Protocol(Register(0)),
        compare(0, Comparison::Equal, [Protocol::Tcp.number()]),
        Expression::Reset,
    ];
    vec![
        rule("meta l4proto tcp reject with tcp reset", tcp),
        rule("reject", vec![Expression::Reject { v6 }]),
    ]
}

/// Where traffic stays that found no endpoint.
fn check(v6: bool, node: &NodeRules) -> Vec<Rule> {
    let mut at_address = destination(v6);
    at_address.push(replaced_by(Set::NoEndpoints));
    at_address.push(verdict_map(Set::Refusals));
    let mut at_node = at_node_port(v6, node);
    at_node.push(replaced_by(Set::NoEndpointNodePorts));
    at_node.push(verdict_map(Set::Refusals));
    let no_such_port = vec![
        address(v6, false, 0),
        in_set(Set::ClusterIps, 0, false),
        Expression::Verdict(Verdict::Goto(REFUSE.to_owned())),
    ];
    vec![
        rule(
            "daddr . l4proto . dport map @no-endpoints vmap @refusals",
            at_address,
        ),
        rule(
            "l4proto . dport map @no-endpoint-node-ports vmap @refusals",
            at_node,
        ),
        rule("daddr @cluster-ips goto refuse", no_such_port),
    ]
}

fn firewall(v6: bool) -> Rule {
    let mut steps = destination(v6);
    steps.extend([
        in_set(Set::Firewalled, KEY, false),
        address(v6, true, KEY + width(v6) + 2),
        in_set(Set::AllowedSources, KEY, true),
        Expression::Verdict(Verdict::Drop),
    ]);
    rule(
        "daddr . l4proto . dport @firewalled, not with saddr in @allowed-sources: drop",
        steps,
    )
}

fn services(v6: bool, node: &NodeRules) -> Vec<Rule> {
    let mut at_address = destination(v6);
    at_address.push(replaced_by(Set::Services));
    at_address.push(verdict_map(Set::Routes));
    let mut at_node = at_node_port(v6, node);
    at_node.push(replaced_by(Set::NodePorts));
    at_node.push(verdict_map(Set::Routes));
    let place = match node.node_ports {
        NodePortAddresses::EveryLocal => "fib daddr type local, not loopback",
        NodePortAddresses::Listed(_) => "daddr @node-port-ips",
    };
    vec![
        rule(
            "daddr . l4proto . dport map @services vmap @routes",
            at_address,
        ),
        rule(
            format!("{place} l4proto . dport map @node-ports vmap @routes"),
            at_node,
        ),
    ]
}

/// Goes on at the node's addresses with node ports, with protocol and port loaded.
fn at_node_port(v6: bool, node: &NodeRules) -> Vec<Expression> {
    let mut steps = match node.node_ports {
        NodePortAddresses::Listed(_) => {
            vec![address(v6, false, 0), in_set(Set::NodePortIps, 0, false)]
        }
        NodePortAddresses::EveryLocal => {
            let mut steps = vec![
                Expression::DestinationType(Register(0)),
                compare(0, Comparison::Equal, TYPE_LOCAL.to_ne_bytes()),
                address(v6, false, 0),
            ];
            let loopback = if v6 {
                vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
            } else {
                vec![127]
            };
            steps.push(compare(0, Comparison::NotEqual, loopback));
            steps
        }
    };
    steps.extend(port());
    steps
}

fn postrouting(v6: bool, node: &NodeRules) -> Vec<Rule> {
    let bit = node.masquerade_mark;
    let hairpin = vec![
        address(v6, true, 0),
        address(v6, false, width(v6)),
        in_set(Set::Hairpin, 0, false),
        Expression::MasqueradeRandomly,
    ];
    let marked = vec![
        Expression::Mark(Register(0)),
        bits(bit),
        compare(0, Comparison::NotEqual, [0; 4]),
        Expression::Mark(Register(0)),
        bits(!bit),
        Expression::SetMark(Register(0)),
        Expression::MasqueradeRandomly,
    ];
    vec![
        rule("saddr . daddr @hairpin masquerade fully-random", hairpin),
        rule(
            format!("meta mark and {bit:#x} != 0 clear it, masquerade fully-random"),
            marked,
        ),
    ]
}

/// Jumps with the first packet of each flow.
pub fn new_flows(chain: &str) -> Rule {
    let mut steps = in_state(STATE_NEW);
    steps.push(Expression::Verdict(Verdict::Jump(chain.to_owned())));
    rule(format!("ct state new jump {chain}"), steps)
}

fn invalid_is_dropped() -> Rule {
    let mut steps = in_state(STATE_INVALID);
    steps.push(Expression::Verdict(Verdict::Drop));
    rule("ct state invalid drop", steps)
}

fn in_state(state: u32) -> Vec<Expression> {
    vec![
        Expression::FlowState(Register(0)),
        bits(state),
        compare(0, Comparison::NotEqual, [0; 4]),
    ]
}

fn bits(mask: u32) -> Expression {
    Expression::Bits {
        register: Register(0),
        mask,
        flip: 0,
    }
}

fn to(chain: &str) -> Rule {
    let jump = Expression::Verdict(Verdict::Jump(chain.to_owned()));
    rule(format!("jump {chain}"), vec![jump])
}
