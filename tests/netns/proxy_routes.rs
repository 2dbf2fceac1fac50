//! Ways to pods of another node on the same link, with real packets: as they are between pods, with
//! the node's address to everybody else.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::net::SocketAddr;

use keelson_netlink::route::path;
use keelson_proxy::pod_routes::apply::{PodRoutes, release};
use keelson_proxy::pod_routes::plan::Peer;
use keelson_tests::netns::{Lab, Suite, add_route, route, set_addresses, tcp, tcp_soon};
use serde_json::json;

fn peer(addresses: &[&str], pod_cidrs: &[&str]) -> Peer {
    Peer {
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        pod_cidrs: pod_cidrs.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn at(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 8080)
}

/// Networks that a route of any origin leads to by a gateway.
fn destinations() -> Vec<String> {
    let all = route(path::list());
    let by_gateway = all
        .iter()
        .filter_map(path::decode)
        .filter(|r| r.gateway.is_some());
    let mut found: Vec<String> = by_gateway.map(|r| r.destination.to_string()).collect();
    found.sort();
    found
}

#[test]
#[ignore = "needs root: make test"]
fn pods_of_another_node() {
    let lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
    let other = lab.outside();
    let pod = lab.pod(&lab.bridge(&json!({})));
    add_route("203.0.113.0/24", "192.0.2.2");
    other.inside(|| set_addresses("lo", &["10.9.1.1/24", "fd09:1::1/64"]));
    let here = peer(&["192.0.2.1", "2001:db8::1"], &["10.9.0.0/24", "fd09::/64"]);
    let there = |ip: &str| peer(&[ip, "2001:db8::2"], &["10.9.1.0/24", "fd09:1::/64"]);
    let mut ours = PodRoutes::new("here", vec![]);
    let mut theirs = PodRoutes::new("there", vec![]);
    for routes in [&mut ours, &mut theirs] {
        routes.set_node("here", Some(here.clone()));
        routes.set_node("there", Some(there("192.0.2.2")));
    }
    assert_eq!(ours.apply().unwrap(), 2);
    assert_eq!(ours.apply().unwrap(), 0, "nothing is written twice");
    assert_eq!(other.inside(|| theirs.apply().unwrap()), 2);
    for (ip, v6) in [("10.9.1.1", false), ("fd09:1::1", true)] {
        let seen = tcp_soon(&pod, at(ip), &other, 8080);
        assert_eq!(seen, Some(pod.addr(v6)), "pods see each other's addresses");
    }
    let node = tcp(&pod, at("192.0.2.2"), &other, 8080);
    assert_eq!(
        node,
        Some("192.0.2.1".parse().unwrap()),
        "others see the node's"
    );

    other.inside(|| set_addresses("cable", &["192.0.2.7/24"]));
    assert!(ours.set_node("there", Some(there("192.0.2.7"))));
    assert_eq!(ours.apply().unwrap(), 1);
    assert_eq!(
        tcp(&pod, at("10.9.1.1"), &other, 8080),
        Some(pod.addr(false))
    );

    assert_eq!(
        destinations(),
        ["10.9.1.0/24", "203.0.113.0/24", "fd09:1::/64"]
    );
    ours.set_node("there", None);
    assert_eq!(ours.apply().unwrap(), 2);
    assert_eq!(destinations(), ["203.0.113.0/24"], "others' routes stay");
    ours.set_node("there", Some(there("192.0.2.2")));
    ours.apply().unwrap();
    release().unwrap();
    assert_eq!(destinations(), ["203.0.113.0/24"]);
}
