//! Virtual servers of Services, and changes that add up to what looking at everything gives.

use std::collections::BTreeMap;

use keelson_netlink::ipvs::{Change, Destination, Place};
use proptest::prelude::*;

use super::plan::{Found, Servers, addresses, change, draining, mend, servers};
use crate::model::{
    Endpoint, Entrance, NodePortAddresses, NodeRules, Policy, PortRules, Protocol, ServiceRules,
};

fn endpoint(last: u8) -> Endpoint {
    Endpoint {
        ip: [10, 1, 0, last].into(),
        port: 8080,
        local: last.is_multiple_of(2),
    }
}

fn service(number: u8, protocol: Protocol, endpoints: &[u8], external: Policy) -> ServiceRules {
    let mut cluster: Vec<Endpoint> = endpoints.iter().copied().map(endpoint).collect();
    cluster.sort_unstable();
    cluster.dedup();
    ServiceRules {
        ports: vec![PortRules {
            name: "".into(),
            protocol,
            cluster_ip: [10, 0, 0, number].into(),
            port: 80,
            node_port: Some(30000 + u16::from(number)),
            entrances: vec![Entrance {
                ip: [192, 0, 2, number].into(),
                sources: None,
            }],
            affinity: number.is_multiple_of(3).then_some(60),
            internal: Policy::Cluster,
            external,
            local: cluster.iter().filter(|e| e.local).copied().collect(),
            anybody: !cluster.is_empty(),
            serving: vec![],
            cluster,
        }],
        health: None,
    }
}

fn node() -> NodeRules {
    NodeRules {
        ipvs: Some(
            ["127.0.0.1", "172.16.0.1", "192.0.2.9", "fe80::1"]
                .map(|ip| ip.parse().unwrap())
                .into(),
        ),
        ..NodeRules::default()
    }
}

/// The kernel's virtual servers, as far as changes go.
#[derive(Debug, Default)]
struct Kernel(BTreeMap<Place, Found>);

impl Kernel {
    fn apply(&mut self, changes: &[Change]) {
        for one in changes {
            match one.clone() {
                Change::Put(place, conduct) => {
                    let empty = Found {
                        conduct: conduct.clone(),
                        destinations: Vec::new(),
                    };
                    self.0.entry(place).or_insert(empty).conduct = conduct;
                }
                Change::Remove(place) => {
                    assert!(self.0.remove(&place).is_some(), "{place:?} is there");
                }
                Change::PutDestination(place, one) => {
                    let at = &mut self.0.get_mut(&place).expect("a server").destinations;
                    at.retain(|known| (known.ip, known.port) != (one.ip, one.port));
                    at.push(one);
                }
                Change::RemoveDestination(place, one) => {
                    let at = &mut self.0.get_mut(&place).expect("a server").destinations;
                    let before = at.len();
                    at.retain(|known| (known.ip, known.port) != (one.ip, one.port));
                    assert_eq!(at.len() + 1, before, "{one:?} is there");
                }
            }
        }
    }

    fn taking(&self) -> BTreeMap<Place, Vec<(std::net::IpAddr, u16)>> {
        let of = |found: &Found| {
            let weighty = found.destinations.iter().filter(|one| one.weight > 0);
            let mut all: Vec<_> = weighty.map(|one| (one.ip, one.port)).collect();
            all.sort_unstable();
            all
        };
        self.0
            .iter()
            .map(|(place, found)| (*place, of(found)))
            .collect()
    }
}

fn expected(wanted: &Servers) -> BTreeMap<Place, Vec<(std::net::IpAddr, u16)>> {
    let each = wanted.iter();
    each.map(|(place, server)| (*place, server.endpoints.iter().copied().collect()))
        .collect()
}

#[test]
fn every_way_in_is_a_virtual_server() {
    let web = service(1, Protocol::Tcp, &[1, 2], Policy::Local);
    let found = servers(&web, &node(), "rr");
    let ends = |ip: [u8; 4], port| {
        let place = Place {
            ip: ip.into(),
            protocol: 6,
            port,
        };
        found.get(&place).map(|server| server.endpoints.len())
    };
    assert_eq!(ends([10, 0, 0, 1], 80), Some(2));
    assert_eq!(ends([192, 0, 2, 1], 80), Some(1), "local ones");
    assert_eq!(ends([172, 16, 0, 1], 30001), Some(1));
    assert_eq!(ends([192, 0, 2, 9], 30001), Some(1));
    assert_eq!(found.len(), 4, "neither loopback nor another family");
    let held: Vec<_> = addresses(&web, &node()).into_iter().collect();
    let ips: [std::net::IpAddr; 2] = [[10, 0, 0, 1].into(), [192, 0, 2, 1].into()];
    assert_eq!(held, ips);
    let own = service(9, Protocol::Tcp, &[1], Policy::Cluster);
    assert_eq!(addresses(&own, &node()).len(), 1, "192.0.2.9 is the node's");
    let listed = NodeRules {
        node_ports: NodePortAddresses::Listed([[172, 16, 0, 1].into()].into()),
        ..node()
    };
    assert_eq!(servers(&web, &listed, "rr").len(), 3);
    // All endpoints elsewhere: the inside may go there.
    let elsewhere = service(1, Protocol::Tcp, &[1, 3], Policy::Local);
    let all = servers(&elsewhere, &node(), "rr");
    assert!(all.values().all(|server| server.endpoints.len() == 2));
}

#[test]
fn connections_of_tcp_are_waited_for() {
    let of = |protocol, ends: &[u8]| {
        servers(&service(1, protocol, ends, Policy::Cluster), &node(), "mh")
    };
    let changes = change(&of(Protocol::Tcp, &[1, 2]), &of(Protocol::Tcp, &[2]));
    assert_eq!(changes.len(), 4);
    assert_eq!(draining(&changes).count(), 4);
    let changes = change(&of(Protocol::Udp, &[1, 2]), &of(Protocol::Udp, &[2]));
    assert!(
        changes
            .iter()
            .all(|one| matches!(one, Change::RemoveDestination(..)))
    );
    // What is on its way out already is not told again, and who comes back is.
    let mut kernel = Kernel::default();
    kernel.apply(&mend(&BTreeMap::new(), &of(Protocol::Tcp, &[1, 2])));
    kernel.apply(&mend(&kernel.0, &of(Protocol::Tcp, &[2])));
    assert_eq!(mend(&kernel.0, &of(Protocol::Tcp, &[2])), vec![]);
    assert_eq!(mend(&kernel.0, &of(Protocol::Tcp, &[1, 2])).len(), 4);
}

type Step = (u8, bool, Vec<u8>, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ends = proptest::collection::vec(1..6_u8, 0..4);
    proptest::collection::vec((1..4_u8, any::<bool>(), ends, any::<bool>()), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Changes one after the other lead where looking at everything leads, and then nothing is left
    /// to write.
    #[test]
    fn changes_add_up(steps in steps()) {
        let mut kernel = Kernel::default();
        let mut all: BTreeMap<u8, Servers> = BTreeMap::new();
        for (number, there, ends, local) in steps {
            let policy = if local { Policy::Local } else { Policy::Cluster };
            let after = match there {
                true => servers(&service(number, Protocol::Tcp, &ends, policy), &node(), "rr"),
                false => Servers::new(),
            };
            let before = all.insert(number, after.clone()).unwrap_or_default();
            kernel.apply(&change(&before, &after));
            let wanted: Servers = all.values().flatten().map(|(p, s)| (*p, s.clone())).collect();
            prop_assert_eq!(kernel.taking(), expected(&wanted));
            prop_assert_eq!(mend(&kernel.0, &wanted), vec![]);
        }
    }
}

#[test]
fn damage_is_mended() {
    let wanted = servers(
        &service(3, Protocol::Tcp, &[1, 2], Policy::Cluster),
        &node(),
        "rr",
    );
    let mut kernel = Kernel::default();
    kernel.apply(&mend(&BTreeMap::new(), &wanted));
    let first = *wanted.keys().next().unwrap();
    kernel.0.get_mut(&first).unwrap().conduct.scheduler = "lc".into();
    let stranger = Place { port: 9, ..first };
    let copy = kernel.0[&first].clone();
    kernel.0.insert(stranger, copy);
    let second = *wanted.keys().nth(1).unwrap();
    let strange = Destination {
        ip: [9, 9, 9, 9].into(),
        port: 1,
        weight: 1,
        connections: 0,
    };
    kernel.0.get_mut(&second).unwrap().destinations = vec![strange];
    let changes = mend(&kernel.0, &wanted);
    assert_eq!(changes.len(), 5);
    kernel.apply(&changes);
    assert_eq!(kernel.taking(), expected(&wanted));
}
