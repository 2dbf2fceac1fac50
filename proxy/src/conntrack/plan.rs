//! Which UDP flows are stale. Pure.
//!
//! A flow of UDP has no end that the kernel could see: as long as its client goes on, it goes to the
//! endpoint it went to first. Stale is a flow to a Service's address that goes to nobody who
//! answers for it now, one that went nowhere before there was an endpoint, and one to an address
//! that no Service has any more. Flows to anything else are not ours to judge.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use keelson_netlink::conntrack::{Flow, UDP};

use crate::diff::RuleDelta;
use crate::model::{NodePortAddresses, NodeRules, PortRules, Protocol};

/// What is known of the addresses that changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Address and port, with who answers there.
    at: HashMap<(IpAddr, u16), HashSet<IpAddr>>,
    /// Node port, by family, with who answers there.
    node_ports: HashMap<(bool, u16), HashSet<IpAddr>>,
}

impl Plan {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty() && self.node_ports.is_empty()
    }

    /// The ports to list flows of, by family; `None` where they are so many that listing all flows
    /// is cheaper.
    #[must_use]
    pub fn ports(&self) -> Option<Vec<(bool, u16)>> {
        const FEW: usize = 8;
        let of_addresses = self.at.keys().map(|(ip, port)| (ip.is_ipv6(), *port));
        let mut ports: Vec<_> = of_addresses
            .chain(self.node_ports.keys().copied())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        (ports.len() <= FEW).then_some(ports)
    }

    /// Whether the kernel should forget a flow.
    #[must_use]
    pub fn is_stale(&self, flow: &Flow, node: &NodeRules) -> bool {
        if flow.original.protocol != UDP {
            return false;
        }
        let (to, port) = (flow.original.destination, flow.original.destination_port);
        let answers = match self.at.get(&(to, port)) {
            Some(answers) => answers,
            None if may_be_node_port(to, node) => {
                match self.node_ports.get(&(to.is_ipv6(), port)) {
                    Some(answers) => answers,
                    None => return false,
                }
            }
            None => return false,
        };
        !answers.contains(&flow.reply.source)
    }
}

fn may_be_node_port(ip: IpAddr, node: &NodeRules) -> bool {
    match &node.node_ports {
        NodePortAddresses::EveryLocal => true,
        NodePortAddresses::Listed(ips) => ips.contains(&ip),
    }
}

/// What a change of rules may have made stale.
#[must_use]
pub fn plan(delta: &RuleDelta) -> Plan {
    let mut plan = Plan::default();
    for (before, after) in delta.services.values() {
        let before = before
            .iter()
            .flat_map(|rules| &rules.ports)
            .filter(|p| is_udp(p));
        let after: Vec<&PortRules> = after
            .iter()
            .flat_map(|rules| &rules.ports)
            .filter(|p| is_udp(p))
            .collect();
        for port in before {
            let now = after.iter().find(|new| same_place(port, new));
            if now.is_none_or(|now| now.serving != port.serving || places(now) != places(port)) {
                plan.forget(port);
            }
        }
        after.into_iter().for_each(|port| plan.expect(port));
    }
    plan
}

/// What to look at after a start: all of it.
#[must_use]
pub fn plan_all<'a>(ports: impl Iterator<Item = &'a PortRules>) -> Plan {
    let mut plan = Plan::default();
    ports
        .filter(|p| is_udp(p))
        .for_each(|port| plan.expect(port));
    plan
}

impl Plan {
    fn forget(&mut self, port: &PortRules) {
        for ip in places(port) {
            self.at.entry((ip, port.port)).or_default();
        }
        if let Some(number) = port.node_port {
            self.node_ports.entry((port.is_v6(), number)).or_default();
        }
    }

    fn expect(&mut self, port: &PortRules) {
        for ip in places(port) {
            let answers = self.at.entry((ip, port.port)).or_default();
            answers.extend(&port.serving);
        }
        if let Some(number) = port.node_port {
            let key = (port.is_v6(), number);
            let answers = self.node_ports.entry(key).or_default();
            answers.extend(&port.serving);
        }
    }
}

fn is_udp(port: &PortRules) -> bool {
    port.protocol == Protocol::Udp
}

fn same_place(a: &PortRules, b: &PortRules) -> bool {
    a.cluster_ip == b.cluster_ip && a.port == b.port
}

fn places(port: &PortRules) -> Vec<IpAddr> {
    let entrances = port.entrances.iter().map(|entrance| entrance.ip);
    std::iter::once(port.cluster_ip).chain(entrances).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::RuleSet;
    use crate::model::{Policy, ServiceKey, ServiceRules};
    use keelson_netlink::conntrack::Tuple;

    fn rules(serving: &[u8], port: u16, node_port: Option<u16>) -> ServiceRules {
        ServiceRules {
            ports: vec![PortRules {
                name: "".into(),
                protocol: Protocol::Udp,
                cluster_ip: [10, 0, 0, 1].into(),
                port,
                node_port,
                entrances: vec![],
                affinity: None,
                internal: Policy::Cluster,
                external: Policy::Cluster,
                cluster: vec![],
                local: vec![],
                anybody: false,
                serving: serving
                    .iter()
                    .map(|last| [10, 1, 0, *last].into())
                    .collect(),
            }],
            health: None,
        }
    }

    fn flow(to: [u8; 4], port: u16, answered_by: [u8; 4], protocol: u8) -> Flow {
        let tuple = |source: [u8; 4], destination: [u8; 4], source_port, destination_port| Tuple {
            source: source.into(),
            destination: destination.into(),
            protocol,
            source_port,
            destination_port,
        };
        Flow::new(
            tuple([10, 9, 9, 9], to, 5000, port),
            tuple(answered_by, [10, 9, 9, 9], 53, 5000),
        )
    }

    fn planned(before: Option<ServiceRules>, after: Option<ServiceRules>) -> Plan {
        let mut set = RuleSet::default();
        let key = ServiceKey::new("ns", "dns");
        set.set(&key, before, &mut RuleDelta::default());
        let mut delta = RuleDelta::default();
        set.set(&key, after, &mut delta);
        plan(&delta)
    }

    #[test]
    fn only_flows_to_who_is_gone() {
        let vip = [10, 0, 0, 1];
        let (one, two) = ([10, 1, 0, 1], [10, 1, 0, 2]);
        let check = |plan: &Plan, flow: &Flow, stale: bool| {
            assert_eq!(
                plan.is_stale(flow, &NodeRules::default()),
                stale,
                "{flow:?}"
            );
        };
        let replaced = planned(Some(rules(&[1], 53, None)), Some(rules(&[2], 53, None)));
        check(&replaced, &flow(vip, 53, one, UDP), true);
        check(&replaced, &flow(vip, 53, two, UDP), false);
        check(&replaced, &flow(vip, 53, vip, UDP), true);
        check(&replaced, &flow(vip, 54, one, UDP), false);
        check(&replaced, &flow(vip, 53, one, 6), false);
        check(&replaced, &flow([8, 8, 8, 8], 53, one, UDP), false);
        let none_left = planned(Some(rules(&[1], 53, None)), Some(rules(&[], 53, None)));
        check(&none_left, &flow(vip, 53, one, UDP), true);
        let deleted = planned(Some(rules(&[1], 53, None)), None);
        check(&deleted, &flow(vip, 53, one, UDP), true);
        let moved = planned(Some(rules(&[1], 53, None)), Some(rules(&[1], 54, None)));
        check(&moved, &flow(vip, 53, one, UDP), true);
        check(&moved, &flow(vip, 54, one, UDP), false);
        let new = planned(None, Some(rules(&[1], 53, None)));
        check(&new, &flow(vip, 53, vip, UDP), true);
    }

    #[test]
    fn node_ports_are_those_of_this_node() {
        let replaced = planned(
            Some(rules(&[1], 53, Some(30053))),
            Some(rules(&[2], 53, Some(30053))),
        );
        let node = NodeRules {
            node_ports: NodePortAddresses::Listed([[172, 16, 0, 1].into()].into()),
            ..NodeRules::default()
        };
        assert!(replaced.is_stale(&flow([172, 16, 0, 1], 30053, [10, 1, 0, 1], UDP), &node));
        assert!(!replaced.is_stale(&flow([8, 8, 8, 8], 30053, [8, 8, 8, 8], UDP), &node));
        assert_eq!(replaced.ports(), Some(vec![(false, 53), (false, 30053)]));
    }

    #[test]
    fn no_udp_no_work() {
        assert!(planned(None, None).is_empty());
        let mut tcp = rules(&[1], 80, None);
        tcp.ports[0].protocol = Protocol::Tcp;
        assert!(planned(Some(tcp), None).is_empty());
    }
}
