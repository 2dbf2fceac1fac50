//! What `iptables-restore --noflush` reads: everything, or what a change needs. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::names::is_of_a_service;
use super::render::{MARK, Rendered, Shared, node_port_matches, render};
use crate::diff::{RuleDelta, RuleSet};
use crate::model::{NodeRules, ServiceKey, ServiceRules};

/// Chain that is there as long as nobody flushed the tables.
pub const CANARY: &str = "KUBE-PROXY-CANARY";
const POSTROUTING: &str = "KUBE-POSTROUTING";
const FORWARD: &str = "KUBE-FORWARD";
/// The kubelet's chain too, which stays when we go.
const FIREWALL: &str = "KUBE-FIREWALL";
/// The kernel lets loopback's addresses out to endpoints, so it has to be told who must not use them.
const FOREIGN_LOOPBACK: &str = "! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP";

const FILTER_SHARED: [(Shared, &str); 4] = [
    (Shared::Health, "KUBE-NODEPORTS"),
    (Shared::Refused, "KUBE-SERVICES"),
    (Shared::RefusedOutside, "KUBE-EXTERNAL-SERVICES"),
    (Shared::Guarded, "KUBE-PROXY-FIREWALL"),
];
const NAT_SHARED: [(Shared, &str); 2] = [
    (Shared::Services, "KUBE-SERVICES"),
    (Shared::NodePorts, "KUBE-NODEPORTS"),
];

/// Ways into our chains: table, chain, rest of the rule.
const JUMPS: [(&str, &str, &str); 14] = [
    ("filter", "INPUT", "-j KUBE-FIREWALL"),
    ("filter", "OUTPUT", "-j KUBE-FIREWALL"),
    (
        "filter",
        "INPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL",
    ),
    (
        "filter",
        "OUTPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL",
    ),
    (
        "filter",
        "FORWARD",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL",
    ),
    (
        "filter",
        "INPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES",
    ),
    (
        "filter",
        "FORWARD",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES",
    ),
    (
        "filter",
        "INPUT",
        "-m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS",
    ),
    (
        "filter",
        "FORWARD",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
    ),
    (
        "filter",
        "OUTPUT",
        "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
    ),
    (
        "filter",
        "FORWARD",
        "-m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD",
    ),
    (
        "nat",
        "OUTPUT",
        "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
    ),
    (
        "nat",
        "PREROUTING",
        "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
    ),
    (
        "nat",
        "POSTROUTING",
        "-m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING",
    ),
];

/// What `iptables-save` shows of a table, as far as it is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Names of chains.
    pub chains: BTreeSet<String>,
    /// Rules that lead from the kernel's chains to ours.
    pub jumps: BTreeSet<String>,
}

impl Found {
    /// Reads the output of `iptables-save` for one table.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix(':') {
                let name = rest.split(' ').next().unwrap_or_default();
                found.chains.insert(name.to_owned());
            } else if let Some(rule) = line.strip_prefix("-A ")
                && !rule.starts_with("KUBE-")
                && rule.contains("-j KUBE-")
            {
                found.jumps.insert(rule.to_owned());
            }
        }
        found
    }
}

/// The way into a chain is there, however the variant orders what it matches.
fn has_jump(found: &Found, chain: &str, rule: &str) -> bool {
    let target = rule.rsplit(' ').next().unwrap_or_default();
    let comment = rule.split('"').nth(1).unwrap_or_default();
    let is = |line: &String| {
        let own = line.starts_with(&format!("{chain} "));
        own && line.contains(comment) && line.ends_with(&format!("-j {target}"))
    };
    found.jumps.iter().any(is)
}

/// Everything, in both tables; chains of Services that are gone are removed.
#[must_use]
pub fn full(rules: &RuleSet, v6: bool, filter: &Found, nat: &Found) -> String {
    let mut chains = BTreeMap::new();
    for (key, service) in rules.services() {
        chains.extend(render(key, service, v6, rules.node()).chains);
    }
    let old = nat.chains.iter().filter(|chain| is_of_a_service(chain));
    let gone: Vec<&str> = old
        .filter(|chain| !chains.contains_key(*chain))
        .map(String::as_str)
        .collect();
    write(rules, v6, &chains, &gone, Some((filter, nat)))
}

/// What a change needs. `None` where it concerns all chains, or this family not at all.
#[must_use]
pub fn change(rules: &RuleSet, delta: &RuleDelta, v6: bool) -> Option<String> {
    let node = rules.node();
    let (mut chains, mut gone) = (BTreeMap::new(), Vec::new());
    let mut touched = false;
    for (key, (before, after)) in &delta.services {
        let of = |rules: &Option<std::sync::Arc<ServiceRules>>| {
            rendered(key, rules.as_deref(), v6, node)
        };
        let (before, after) = (of(before), of(after));
        touched |= before != after;
        let left = before
            .chains
            .keys()
            .filter(|chain| !after.chains.contains_key(*chain));
        gone.extend(left.cloned());
        let new = after.chains.into_iter();
        chains.extend(new.filter(|(chain, lines)| before.chains.get(chain) != Some(lines)));
    }
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    touched.then(|| write(rules, v6, &chains, &gone, None))
}

fn rendered(
    key: &ServiceKey,
    rules: Option<&ServiceRules>,
    v6: bool,
    node: &NodeRules,
) -> Rendered {
    rules.map_or_else(Rendered::default, |rules| render(key, rules, v6, node))
}

/// Both tables: the shared chains anew, these chains of Services, and none of those.
fn write(
    rules: &RuleSet,
    v6: bool,
    chains: &BTreeMap<String, Vec<String>>,
    gone: &[&str],
    found: Option<(&Found, &Found)>,
) -> String {
    let mut shared: BTreeMap<Shared, Vec<String>> = BTreeMap::new();
    for (key, service) in rules.services() {
        for (chain, lines) in render(key, service, v6, rules.node()).shared {
            shared.entry(chain).or_default().extend(lines);
        }
    }
    let mut filter = Table::new("filter");
    filter.shared(&FILTER_SHARED, &mut shared);
    filter.chain(FORWARD, &forward(rules.node()));
    let loopback = rules.node().loopback && !v6;
    if loopback {
        filter.chain(FIREWALL, &[FOREIGN_LOOPBACK.to_owned()]);
    }
    let mut nat = Table::new("nat");
    let mut last = shared.remove(&Shared::Services).unwrap_or_default();
    last.extend(node_port_matches(rules.node(), v6).into_iter().map(|to| {
        let note = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
        format!("-m comment --comment \"{note}\" {to} -j KUBE-NODEPORTS")
    }));
    shared.insert(Shared::Services, last);
    nat.shared(&NAT_SHARED, &mut shared);
    nat.chain(
        MARK,
        &[format!(
            "-j MARK --or-mark {:#x}",
            rules.node().masquerade_mark
        )],
    );
    nat.chain(POSTROUTING, &postrouting(rules.node()));
    for (chain, lines) in chains {
        nat.chain(chain, lines);
    }
    for chain in gone {
        nat.chain(chain, &[]);
        nat.remove(chain);
    }
    if let Some((in_filter, in_nat)) = found {
        filter.jumps(in_filter, loopback);
        nat.jumps(in_nat, loopback);
        filter.chain(CANARY, &[]);
        nat.chain(CANARY, &[]);
    }
    filter.finish() + &nat.finish()
}

fn forward(node: &NodeRules) -> Vec<String> {
    let mark = node.masquerade_mark;
    let mut lines = Vec::new();
    if !node.tcp_be_liberal {
        lines.push("-m conntrack --ctstate INVALID -j DROP".to_owned());
    }
    let note = "-m comment --comment \"kubernetes forwarding";
    lines.push(format!(
        "{note} rules\" -m mark --mark {mark:#x}/{mark:#x} -j ACCEPT"
    ));
    lines.push(format!(
        "{note} conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    ));
    lines
}

fn postrouting(node: &NodeRules) -> Vec<String> {
    let mark = node.masquerade_mark;
    vec![
        format!("-m mark ! --mark {mark:#x}/{mark:#x} -j RETURN"),
        format!("-j MARK --xor-mark {mark:#x}"),
        "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully"
            .to_owned(),
    ]
}

/// Text of one table: chains first, rules, then what goes.
struct Table {
    name: &'static str,
    chains: String,
    rules: String,
    removals: String,
}

impl Table {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            chains: String::new(),
            rules: String::new(),
            removals: String::new(),
        }
    }

    fn shared(&mut self, all: &[(Shared, &str)], lines: &mut BTreeMap<Shared, Vec<String>>) {
        for (which, chain) in all {
            self.chain(chain, &lines.remove(which).unwrap_or_default());
        }
    }

    /// Naming a chain empties it.
    fn chain(&mut self, chain: &str, lines: &[String]) {
        let _ = writeln!(self.chains, ":{chain} - [0:0]");
        for line in lines {
            let _ = writeln!(self.rules, "-A {chain} {line}");
        }
    }

    fn remove(&mut self, chain: &str) {
        let _ = writeln!(self.removals, "-X {chain}");
    }

    fn jumps(&mut self, found: &Found, loopback: bool) {
        for (_, chain, rule) in JUMPS.iter().filter(|(table, ..)| *table == self.name) {
            if rule.ends_with("-j KUBE-FIREWALL") && !loopback {
                continue;
            }
            if !has_jump(found, chain, rule) {
                let _ = writeln!(self.rules, "-I {chain} {rule}");
            }
        }
    }

    fn finish(self) -> String {
        format!(
            "*{}\n{}{}{}COMMIT\n",
            self.name, self.chains, self.rules, self.removals
        )
    }
}

/// What removes all that is ours from a table; `None` where there is nothing.
#[must_use]
pub fn cleanup(table: &str, found: &Found) -> Option<String> {
    let ours: Vec<&String> = found
        .chains
        .iter()
        .filter(|chain| is_ours(table, chain))
        .collect();
    if ours.is_empty() {
        return None;
    }
    let mut out = format!("*{table}\n");
    for chain in &ours {
        let _ = writeln!(out, ":{chain} - [0:0]");
    }
    let to_ours = |rule: &&String| {
        ours.iter()
            .any(|chain| rule.ends_with(&format!("-j {chain}")))
    };
    for rule in found.jumps.iter().filter(to_ours) {
        let _ = writeln!(out, "-D {rule}");
    }
    for chain in &ours {
        let _ = writeln!(out, "-X {chain}");
    }
    Some(out + "COMMIT\n")
}

/// Chains of the kubelet and of others stay.
fn is_ours(table: &str, chain: &str) -> bool {
    let shared = FILTER_SHARED
        .iter()
        .chain(&NAT_SHARED)
        .any(|(_, name)| *name == chain);
    let fixed = [CANARY, FORWARD, MARK, POSTROUTING].contains(&chain);
    shared || fixed || (table == "nat" && is_of_a_service(chain))
}
