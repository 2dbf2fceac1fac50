//! Which routes there should be. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use keelson_netlink::Cidr;

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its addresses, internal ones first.
    pub addresses: Vec<IpAddr>,
    /// Its pods' addresses.
    pub pod_cidrs: Vec<Cidr>,
}

/// How the pods of a node are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By the node's address, which is on a link of ours. Packets go as they are, so that the link's
    /// MTU is the pods' too.
    Direct {
        /// The node.
        gateway: IpAddr,
        /// Our link.
        link: u32,
    },
}

/// What there should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The way to each network of pods.
    pub routes: BTreeMap<Cidr, Way>,
    /// Nodes that have no way.
    pub unreachable: Vec<String>,
}

/// An address of ours with the network it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Index of the link.
    pub link: u32,
    /// Address and network.
    pub cidr: Cidr,
}

/// Works out the routes to all nodes but `here`.
#[must_use]
pub fn plan(here: &str, nodes: &BTreeMap<String, Peer>, own: &[Own]) -> Plan {
    let mut plan = Plan::default();
    let mine = nodes.get(here).map_or(&[][..], |node| &node.pod_cidrs);
    for (name, node) in nodes.iter().filter(|(name, _)| *name != here) {
        let mut complete = true;
        for cidr in &node.pod_cidrs {
            let cidr = cidr.network();
            // Two nodes may hold one network for a moment; a route of ours to ourselves is never right.
            let taken = mine.iter().any(|own| own.network() == cidr);
            match way(node, cidr.is_v6(), own) {
                Some(way) if !taken => {
                    plan.routes.entry(cidr).or_insert(way);
                }
                Some(_) => {}
                None => complete = false,
            }
        }
        if !complete {
            plan.unreachable.push(name.clone());
        }
    }
    plan
}

fn way(node: &Peer, v6: bool, own: &[Own]) -> Option<Way> {
    let of_family = node.addresses.iter().filter(|ip| ip.is_ipv6() == v6);
    let near = |ip: &&IpAddr| {
        let on = own
            .iter()
            .find(|own| own.cidr.contains(**ip) && own.cidr.addr != **ip)?;
        Some(Way::Direct {
            gateway: **ip,
            link: on.link,
        })
    };
    of_family.into_iter().find_map(|ip| near(&ip))
}

/// Routes that go, and routes that come or take another's place.
pub type Changes = (Vec<(Cidr, Way)>, Vec<(Cidr, Way)>);

/// What has to be done to routes.
#[must_use]
pub fn changes(found: &BTreeMap<Cidr, Way>, wanted: &BTreeMap<Cidr, Way>) -> Changes {
    let pair = |(cidr, way): (&Cidr, &Way)| (*cidr, *way);
    let gone = found.iter().filter(|(cidr, _)| !wanted.contains_key(cidr));
    let new = wanted
        .iter()
        .filter(|(cidr, way)| found.get(cidr) != Some(way));
    (gone.map(pair).collect(), new.map(pair).collect())
}

/// Networks of pods: this node's, and all.
#[must_use]
pub fn networks(
    here: &str,
    nodes: &BTreeMap<String, Peer>,
    cluster: &[Cidr],
) -> (Vec<Cidr>, Vec<Cidr>) {
    let own = nodes.get(here).map(|node| node.pod_cidrs.clone());
    let mut all: Vec<Cidr> = match cluster {
        [] => nodes
            .values()
            .flat_map(|node| node.pod_cidrs.clone())
            .collect(),
        cluster => cluster.to_vec(),
    };
    all = all.iter().map(Cidr::network).collect();
    all.sort_unstable();
    all.dedup();
    (
        own.unwrap_or_default().iter().map(Cidr::network).collect(),
        all,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn nodes(list: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, Peer> {
        let peer = |(name, ips, cidrs): &(&str, &[&str], &[&str])| {
            let peer = Peer {
                addresses: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
                pod_cidrs: cidrs.iter().map(|text| cidr(text)).collect(),
            };
            ((*name).to_owned(), peer)
        };
        list.iter().map(peer).collect()
    }

    fn own() -> Vec<Own> {
        let at = |link, text| Own {
            link,
            cidr: cidr(text),
        };
        vec![
            at(1, "127.0.0.1/8"),
            at(2, "192.168.0.1/24"),
            at(2, "fd00::1/64"),
            at(3, "10.1.0.1/24"),
        ]
    }

    fn direct(gateway: &str) -> Way {
        Way::Direct {
            gateway: gateway.parse().unwrap(),
            link: 2,
        }
    }

    #[test]
    fn nodes_on_the_link_have_routes() {
        let nodes = nodes(&[
            ("a", &["192.168.0.1"], &["10.1.0.0/24"]),
            (
                "b",
                &["192.168.0.2", "fd00::2"],
                &["10.1.1.0/24", "fd01:1::/64"],
            ),
            ("c", &["172.16.0.3", "192.168.0.3"], &["10.1.2.0/24"]),
            ("far", &["172.16.0.4"], &["10.1.3.0/24"]),
            ("new", &["192.168.0.5"], &[]),
            ("thief", &["192.168.0.6"], &["10.1.0.0/24"]),
        ]);
        let plan = plan("a", &nodes, &own());
        let expected = [
            (cidr("10.1.1.0/24"), direct("192.168.0.2")),
            (cidr("10.1.2.0/24"), direct("192.168.0.3")),
            (cidr("fd01:1::/64"), direct("fd00::2")),
        ];
        assert_eq!(plan.routes, BTreeMap::from(expected));
        assert_eq!(plan.unreachable, ["far"]);
    }

    #[test]
    fn a_node_that_moves_gets_another_way() {
        let at = |gateway| BTreeMap::from([(cidr("10.1.1.0/24"), direct(gateway))]);
        let (gone, new) = changes(&at("192.168.0.2"), &at("192.168.0.9"));
        assert_eq!((gone.len(), new[0].1), (0, direct("192.168.0.9")));
        let none = BTreeMap::new();
        assert_eq!(
            changes(&at("192.168.0.2"), &at("192.168.0.2")),
            (vec![], vec![])
        );
        assert_eq!(changes(&at("192.168.0.2"), &none).0.len(), 1);
    }

    #[test]
    fn the_cluster_is_what_is_configured_or_known() {
        let nodes = nodes(&[("a", &[], &["10.1.0.0/24"]), ("b", &[], &["10.1.1.0/24"])]);
        let (own, all) = networks("a", &nodes, &[]);
        assert_eq!((own.len(), all.len()), (1, 2));
        assert_eq!(
            networks("a", &nodes, &[cidr("10.1.0.0/16")]).1,
            [cidr("10.1.0.0/16")]
        );
    }
}
