//! The chains and lines of one Service in one family. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::names::{self, EXTERNAL, FIREWALL, LOCAL, SERVICE};
use crate::model::{
    Endpoint, LocalDetection, NodePortAddresses, NodeRules, Policy, PortRules, ServiceKey,
    ServiceRules, Verdict,
};

/// Chain that marks a packet for masquerading.
pub const MARK: &str = "KUBE-MARK-MASQ";

/// A chain that all Services have lines in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// filter: cluster addresses that nobody answers at.
    Refused,
    /// filter: other addresses that nobody answers at.
    RefusedOutside,
    /// filter: load balancer addresses that are not open to everybody.
    Guarded,
    /// filter: ports that tell load balancers of health.
    Health,
    /// nat: all addresses.
    Services,
    /// nat: ports at the node's addresses.
    NodePorts,
}

/// What a Service needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Its lines in shared chains, without the chain's name.
    pub shared: BTreeMap<Shared, Vec<String>>,
    /// Chains of its own in the nat table, with their lines.
    pub chains: BTreeMap<String, Vec<String>>,
}

/// Renders a Service.
#[must_use]
pub fn render(key: &ServiceKey, rules: &ServiceRules, v6: bool, node: &NodeRules) -> Rendered {
    let mut out = Rendered::default();
    for port in rules.ports.iter().filter(|port| port.is_v6() == v6) {
        Port::new(key, port, node, &mut out).render();
    }
    if let Some(health) = rules.health {
        let line = format!(
            "-m comment --comment \"{key} health check node port\" -m tcp -p tcp --dport {} -j ACCEPT",
            health.port
        );
        out.shared.entry(Shared::Health).or_default().push(line);
    }
    out
}

struct Port<'a> {
    port: &'a PortRules,
    node: &'a NodeRules,
    name: String,
    letters: String,
    out: &'a mut Rendered,
}

impl<'a> Port<'a> {
    fn new(
        key: &ServiceKey,
        port: &'a PortRules,
        node: &'a NodeRules,
        out: &'a mut Rendered,
    ) -> Self {
        let name = names::port_name(key, port);
        Self {
            letters: names::port_letters(&name, port),
            port,
            node,
            name,
            out,
        }
    }

    fn render(&mut self) {
        let inside = self.port.internal_verdict();
        let at = self.at(self.port.cluster_ip);
        match inside {
            Verdict::Serve(policy) => {
                let to = self.picks(policy);
                self.line(Shared::Services, "cluster IP", &format!("{at} -j {to}"));
            }
            refused => self.refuse(Shared::Refused, &at, refused),
        }
        if self.port.is_external() {
            self.outside();
        }
        let serves = |policy: Policy| {
            let by_external = self.port.is_external() && !self.port.endpoints(policy).is_empty();
            inside == Verdict::Serve(policy) || by_external
        };
        for policy in [Policy::Cluster, Policy::Local]
            .into_iter()
            .filter(|p| serves(*p))
        {
            let lines = self.service_chain(policy, inside == Verdict::Serve(policy));
            self.out.chains.insert(self.picks(policy), lines);
        }
        self.endpoint_chains();
    }

    fn outside(&mut self) {
        let verdict = self.port.external_verdict();
        let elsewhere = verdict == Verdict::Drop && !self.port.cluster.is_empty();
        let serves = matches!(verdict, Verdict::Serve(_)) || elsewhere;
        let chain = format!("{EXTERNAL}{}", self.letters);
        if serves {
            let lines = self.external_chain();
            self.out.chains.insert(chain.clone(), lines);
        }
        self.entrances(&chain, serves, verdict);
        let Some(number) = self.port.node_port else {
            return;
        };
        let proto = self.port.protocol;
        let at = format!("-m {proto} -p {proto} --dport {number}");
        if serves {
            self.line(Shared::NodePorts, "", &format!("{at} -j {chain}"));
        }
        for to in node_port_matches(self.node, self.port.is_v6()) {
            self.refuse(Shared::RefusedOutside, &format!("{to} {at}"), verdict);
        }
    }

    fn entrances(&mut self, chain: &str, serves: bool, verdict: Verdict) {
        let mut sources = BTreeSet::new();
        let guard = format!("{FIREWALL}{}", self.letters);
        for entrance in &self.port.entrances {
            let at = self.at(entrance.ip);
            let to = match &entrance.sources {
                None => chain,
                Some(ranges) => {
                    sources.extend(ranges.iter().copied());
                    let line = format!("{at} -j DROP");
                    self.line(Shared::Guarded, "traffic not accepted", &line);
                    &guard
                }
            };
            if serves {
                self.line(
                    Shared::Services,
                    "external address",
                    &format!("{at} -j {to}"),
                );
            }
            self.refuse(Shared::RefusedOutside, &at, verdict);
        }
        if !sources.is_empty() && serves {
            let allowed = sources.iter().map(|range| format!("-s {range} -j {chain}"));
            self.out.chains.insert(guard, allowed.collect());
        }
    }

    /// Pods and the node itself reach all endpoints even where others reach those of this node.
    fn external_chain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.port.external == Policy::Cluster {
            lines.push(format!("-j {MARK}"));
            lines.push(format!("-j {}", self.picks(Policy::Cluster)));
            return lines;
        }
        if !self.port.cluster.is_empty() {
            let all = self.picks(Policy::Cluster);
            if let Some(local) = from_here(&self.node.local, self.port.is_v6(), false) {
                lines.push(format!("{local} -j {all}"));
            }
            lines.push(format!("-m addrtype --src-type LOCAL -j {MARK}"));
            lines.push(format!("-m addrtype --src-type LOCAL -j {all}"));
        }
        if !self.port.local.is_empty() {
            lines.push(format!("-j {}", self.picks(Policy::Local)));
        }
        lines
    }

    fn service_chain(&self, policy: Policy, inside: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let at = self.at(self.port.cluster_ip);
        if inside && self.node.masquerade_all {
            lines.push(format!("{at} -j {MARK}"));
        } else if inside && let Some(foreign) = from_here(&self.node.local, self.port.is_v6(), true)
        {
            lines.push(format!("{at} {foreign} -j {MARK}"));
        }
        let endpoints = self.port.endpoints(policy);
        let chain = |one: &Endpoint| names::endpoint_chain(&self.name, self.port, one);
        if let Some(seconds) = self.port.affinity {
            lines.extend(endpoints.iter().map(chain).map(|chain| {
                format!("-m recent --name {chain} --rcheck --seconds {seconds} --reap -j {chain}")
            }));
        }
        for (number, one) in endpoints.iter().enumerate() {
            let chain = chain(one);
            match endpoints.len() - number {
                1 => lines.push(format!("-j {chain}")),
                left => lines.push(format!(
                    "-m statistic --mode random --probability {} -j {chain}",
                    probability(left)
                )),
            }
        }
        lines
    }

    fn endpoint_chains(&mut self) {
        let all: BTreeSet<Endpoint> = self
            .port
            .cluster
            .iter()
            .chain(&self.port.local)
            .copied()
            .collect();
        for one in all {
            let chain = names::endpoint_chain(&self.name, self.port, &one);
            let proto = self.port.protocol;
            let remember = match self.port.affinity {
                Some(_) => format!("-m recent --name {chain} --set "),
                None => String::new(),
            };
            let lines = vec![
                format!("-s {} -j {MARK}", one.ip),
                format!(
                    "{remember}-m {proto} -p {proto} -j DNAT --to-destination {}",
                    one.socket()
                ),
            ];
            self.out.chains.insert(chain, lines);
        }
    }

    fn picks(&self, policy: Policy) -> String {
        let kind = match policy {
            Policy::Cluster => SERVICE,
            Policy::Local => LOCAL,
        };
        format!("{kind}{}", self.letters)
    }

    fn at(&self, ip: IpAddr) -> String {
        let proto = self.port.protocol;
        format!("-m {proto} -p {proto} -d {ip} --dport {}", self.port.port)
    }

    fn refuse(&mut self, chain: Shared, at: &str, verdict: Verdict) {
        match verdict {
            Verdict::Serve(_) => {}
            Verdict::Drop => self.line(chain, "has no local endpoints", &format!("{at} -j DROP")),
            Verdict::Reject => self.line(chain, "has no endpoints", &format!("{at} -j REJECT")),
        }
    }

    fn line(&mut self, chain: Shared, what: &str, rest: &str) {
        let space = if what.is_empty() { "" } else { " " };
        let line = format!("-m comment --comment \"{}{space}{what}\" {rest}", self.name);
        self.out.shared.entry(chain).or_default().push(line);
    }
}

/// One in so many, with ten digits.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 endpoints")]
fn probability(left: usize) -> String {
    format!("{:.10}", 1.0 / left as f64)
}

/// Matches what comes from a pod of this node, or what does not.
fn from_here(local: &LocalDetection, v6: bool, inverted: bool) -> Option<String> {
    let not = if inverted { "! " } else { "" };
    match local {
        LocalDetection::Nothing => None,
        LocalDetection::Sources(cidrs) => {
            let cidr = cidrs.iter().find(|cidr| cidr.is_v6() == v6)?;
            Some(format!("{not}-s {cidr}"))
        }
        LocalDetection::Interface(name) => Some(format!("{not}-i {name}")),
        LocalDetection::InterfacePrefix(prefix) => Some(format!("{not}-i {prefix}+")),
    }
}

/// Matches what is sent to an address that node ports are served at.
#[must_use]
pub fn node_port_matches(node: &NodeRules, v6: bool) -> Vec<String> {
    let loopback = if v6 { "::1" } else { "127.0.0.0/8" };
    match &node.node_ports {
        NodePortAddresses::EveryLocal if node.loopback && !v6 => {
            vec!["-m addrtype --dst-type LOCAL".to_owned()]
        }
        NodePortAddresses::EveryLocal => {
            vec![format!("! -d {loopback} -m addrtype --dst-type LOCAL")]
        }
        NodePortAddresses::Listed(ips) => ips
            .iter()
            .filter(|ip| ip.is_ipv6() == v6)
            .map(|ip| format!("-d {ip}"))
            .collect(),
    }
}
