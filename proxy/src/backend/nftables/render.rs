//! The rules of a Service as elements of sets and maps. Pure: no state, no order of history.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keelson_netlink::wire::ip_bytes;

use super::layout::{Set, at, endpoint, leading_to, port_key};
use super::route::{LOCAL_OFFSET, Masquerade, Pick, Route, Via};
use super::skeleton::{DROPPED, DROPPED_OUTSIDE, REJECTED};
use crate::model::{NodePortAddresses, NodeRules, Policy, PortRules, ServiceRules, Verdict};

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    /// Of the IPv6 table?
    pub v6: bool,
    /// The set.
    pub set: Set,
    /// The key.
    pub key: Vec<u8>,
    /// The last key of a range.
    pub end: Option<Vec<u8>>,
    /// What a map has for it.
    pub value: Option<Vec<u8>>,
}

/// What a Service needs in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Elements of its own, in order.
    pub elements: Vec<Element>,
    /// Routes its elements lead to.
    pub routes: BTreeSet<(bool, Route)>,
    /// Addresses of endpoints on this node, which other Services may have too.
    pub hairpins: BTreeSet<IpAddr>,
}

/// Renders a Service.
#[must_use]
pub fn render(rules: &ServiceRules, node: &NodeRules) -> Rendered {
    let mut out = Rendered::default();
    for port in &rules.ports {
        let mut at_port = Port {
            port,
            own: node.ipvs.as_ref(),
            out: &mut out,
        };
        at_port.endpoints();
        at_port.cluster_ip();
        at_port.entrances();
        at_port.node_port();
    }
    out.elements.sort_unstable();
    out.elements.dedup();
    out
}

/// Renders what depends on the node alone and may change without a new skeleton.
#[must_use]
pub fn render_node(node: &NodeRules) -> Vec<Element> {
    let NodePortAddresses::Listed(ips) = &node.node_ports else {
        return Vec::new();
    };
    let mut elements: Vec<Element> = ips
        .iter()
        .filter(|ip| !ip.is_loopback())
        .map(|ip| plain(Set::NodePortIps, *ip, ip_bytes(*ip)))
        .collect();
    elements.sort_unstable();
    elements
}

/// The element that lets a pod reach itself.
#[must_use]
pub fn hairpin(ip: IpAddr) -> Element {
    plain(Set::Hairpin, ip, [ip_bytes(ip), ip_bytes(ip)].concat())
}

fn plain(set: Set, ip: IpAddr, key: Vec<u8>) -> Element {
    Element {
        v6: ip.is_ipv6(),
        set,
        key,
        end: None,
        value: None,
    }
}

struct Port<'a> {
    port: &'a PortRules,
    /// The node's own addresses, where IPVS picks endpoints.
    own: Option<&'a BTreeSet<IpAddr>>,
    out: &'a mut Rendered,
}

impl Port<'_> {
    fn identity(&self) -> Vec<u8> {
        at(self.port.cluster_ip, self.port.protocol, self.port.port)
    }

    fn endpoints(&mut self) {
        for (policy, offset) in [(Policy::Cluster, 0), (Policy::Local, LOCAL_OFFSET)] {
            for (number, one) in (offset..).zip(self.port.endpoints(policy)) {
                let mut key = self.identity();
                key.extend(number.to_ne_bytes());
                match self.port.affinity {
                    None => self.map(Set::Endpoints, key, endpoint(one)),
                    Some(_) => {
                        self.map(Set::StickyEndpoints, key, leading_to(&endpoint(one)));
                    }
                }
                if one.local {
                    self.out.hairpins.insert(one.ip);
                }
            }
        }
    }

    fn cluster_ip(&mut self) {
        self.set(Set::ClusterIps, ip_bytes(self.port.cluster_ip));
        let key = self.identity();
        match self.port.internal_verdict() {
            Verdict::Serve(policy) => {
                let route = self.pick(Via::ClusterIp, Masquerade::Foreigners, policy);
                self.route(Set::Services, key, route);
            }
            refusal => self.refuse(Set::NoEndpoints, key, refusal),
        }
    }

    fn entrances(&mut self) {
        let port = self.port;
        for entrance in &port.entrances {
            let key = at(entrance.ip, port.protocol, port.port);
            if self.own.is_some_and(|own| !own.contains(&entrance.ip)) {
                self.set(Set::ClusterIps, ip_bytes(entrance.ip));
            }
            let served = self.external(Via::Entrance, &key);
            if served {
                self.map(Set::Aliases, key.clone(), leading_to(&self.identity()));
            }
            let Some(sources) = &entrance.sources else {
                continue;
            };
            self.set(Set::Firewalled, key.clone());
            for range in sources.iter() {
                let first = [&key[..], &ip_bytes(range.network().addr)].concat();
                let last = [&key[..], &ip_bytes(range.last())].concat();
                self.push(Set::AllowedSources, first, Some(last), None);
            }
        }
    }

    fn node_port(&mut self) {
        let Some(number) = self.port.node_port else {
            return;
        };
        let key = port_key(self.port.protocol, number).to_vec();
        if self.external(Via::NodePort, &key) {
            self.map(Set::NodeAliases, key, leading_to(&self.identity()));
        }
    }

    /// Traffic to an external address; whether anybody is served.
    fn external(&mut self, via: Via, key: &[u8]) -> bool {
        let [services, inside, outside, refused] = match via {
            Via::NodePort => [
                Set::NodePorts,
                Set::NodeInside,
                Set::NodeOutside,
                Set::NoEndpointNodePorts,
            ],
            Via::ClusterIp | Via::Entrance => {
                [Set::Services, Set::Inside, Set::Outside, Set::NoEndpoints]
            }
        };
        let verdict = self.port.external_verdict();
        if !matches!(verdict, Verdict::Serve(_)) {
            let inside = self.own.is_some() && !self.port.cluster.is_empty();
            match verdict {
                Verdict::Drop if inside => self.refuse_as(refused, key.to_vec(), DROPPED_OUTSIDE),
                _ => self.refuse(refused, key.to_vec(), verdict),
            }
        }
        if self.port.external == Policy::Cluster {
            let Verdict::Serve(policy) = verdict else {
                return false;
            };
            let route = self.pick(via, Masquerade::Always, policy);
            self.route(services, key.to_vec(), route);
            return true;
        }
        let mut served = false;
        for (map, policy) in [(inside, Policy::Cluster), (outside, Policy::Local)] {
            if !self.port.endpoints(policy).is_empty() {
                let route = self.pick(via, Masquerade::Never, policy);
                self.route(map, key.to_vec(), route);
                served = true;
            }
        }
        if served {
            self.route(services, key.to_vec(), Route::Split { via });
        }
        served
    }

    fn pick(&self, via: Via, masquerade: Masquerade, policy: Policy) -> Route {
        if self.own.is_some() {
            return Route::Pick(Pick::elsewhere(via, masquerade));
        }
        let count = self.port.endpoints(policy).len();
        Route::Pick(Pick {
            via,
            masquerade,
            policy,
            count: u32::try_from(count)
                .unwrap_or(LOCAL_OFFSET)
                .min(LOCAL_OFFSET),
            stay: self.port.affinity.unwrap_or(0),
        })
    }

    fn refuse(&mut self, set: Set, key: Vec<u8>, verdict: Verdict) {
        let how = if verdict == Verdict::Drop {
            DROPPED
        } else {
            REJECTED
        };
        self.refuse_as(set, key, how);
    }

    fn refuse_as(&mut self, set: Set, key: Vec<u8>, how: u32) {
        self.map(set, key, leading_to(&how.to_ne_bytes()));
    }

    fn route(&mut self, map: Set, key: Vec<u8>, route: Route) {
        if self.own.is_some() && map.is_of_choice() {
            return;
        }
        self.out.routes.insert((self.port.is_v6(), route));
        self.map(map, key, leading_to(&route.key()));
    }

    fn map(&mut self, map: Set, key: Vec<u8>, value: Vec<u8>) {
        self.push(map, key, None, Some(value));
    }

    fn set(&mut self, set: Set, key: Vec<u8>) {
        self.push(set, key, None, None);
    }

    fn push(&mut self, set: Set, key: Vec<u8>, end: Option<Vec<u8>>, value: Option<Vec<u8>>) {
        if self.own.is_some() && set.is_of_choice() {
            return;
        }
        self.out.elements.push(Element {
            v6: self.port.is_v6(),
            set,
            key,
            end,
            value,
        });
    }
}
