//! The cases that every backend passes: traffic from pods, the node and outside through Services.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use keelson_proxy::backend::Mode;
use keelson_proxy::model::{NodePortAddresses, NodeRules};
use keelson_tests::netns::{Host, Place, Pod, tcp, tcp_soon, udp, udp_socket};
use keelson_tests::services::unset;
use serde_json::json;
use tokio::time::Instant;

use crate::traffic::{Node, ask, at, both, failure, ip, v4, web, with};

const PATIENCE: Duration = Duration::from_secs(30);

pub fn cluster_ip_from_everywhere(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    node.serve("web", &web(), &[], &both(&[&server]));
    for (vip, v6) in [("10.96.0.1", false), ("fd96::1", true)] {
        let to = at(vip, 80);
        let own = client.addr(v6);
        assert_eq!(tcp_soon(&client, to, &server, 8080), Some(own), "{vip}");
        assert!(
            tcp_soon(&Host, to, &server, 8080).is_some(),
            "{vip} from the node"
        );
        let seen = tcp_soon(&node.outside, to, &server, 8080).unwrap();
        assert!(
            !seen.to_string().ends_with(":2") && seen != ip("192.0.2.2"),
            "masqueraded: {seen}"
        );
    }
    let spec = json!({"clusterIPs": ["10.96.0.2", "fd96::2"],
        "ports": [{"port": 53, "protocol": "UDP"}]});
    node.serve("dns", &spec, &[], &both(&[&server]));
    for vip in ["10.96.0.2", "fd96::2"] {
        assert!(ask(&client, at(vip, 53), &server), "{vip}");
        assert!(ask(&Host, at(vip, 53), &server), "{vip} from the node");
        assert!(
            ask(&node.outside, at(vip, 53), &server),
            "{vip} from outside"
        );
    }
}

pub fn node_ports(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    let spec = with(
        web(),
        &json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}),
    );
    node.serve("web", &spec, &[], &both(&[&server]));
    for addr in ["192.0.2.1", "2001:db8::1"] {
        let seen = tcp_soon(&node.outside, at(addr, 30080), &server, 8080).unwrap();
        assert!(!seen.to_string().ends_with('2'), "masqueraded: {seen}");
        assert!(tcp(&Host, at(addr, 30080), &server, 8080).is_some());
        assert!(tcp(&client, at(addr, 30080), &server, 8080).is_some());
    }
    assert!(tcp(&client, at("10.9.0.1", 30080), &server, 8080).is_some());
    let by_loopback = tcp(&Host, at("127.0.0.1", 30080), &server, 8080);
    assert_eq!(by_loopback.is_some(), matches!(mode, Mode::Iptables(_)));
    assert!(tcp(&node.outside, at("192.0.2.1", 80), &server, 8080).is_none());
    let listed = NodeRules {
        node_ports: NodePortAddresses::Listed([ip("192.0.2.1")].into()),
        ..node.rules.node().clone()
    };
    node.set_node(listed);
    assert!(tcp(&node.outside, at("192.0.2.1", 30080), &server, 8080).is_some());
    assert!(tcp(&client, at("10.9.0.1", 30080), &server, 8080).is_none());
    let spec = json!({"type": "NodePort", "clusterIP": "10.96.0.2",
        "ports": [{"port": 53, "protocol": "UDP", "nodePort": 30053}]});
    node.serve("dns", &spec, &[], &v4(&[&server]));
    assert!(ask(&node.outside, at("192.0.2.1", 30053), &server));
}

pub fn load_balancer_and_external_ips(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    let spec = with(
        web(),
        &json!({"type": "LoadBalancer", "externalIPs": ["203.0.113.9"]}),
    );
    node.serve("web", &spec, &["203.0.113.1"], &v4(&[&server]));
    for addr in ["203.0.113.1", "203.0.113.9"] {
        assert!(
            tcp(&node.outside, at(addr, 80), &server, 8080).is_some(),
            "{addr}"
        );
        assert!(tcp(&Host, at(addr, 80), &server, 8080).is_some(), "{addr}");
        assert!(
            tcp(&client, at(addr, 80), &server, 8080).is_some(),
            "{addr}"
        );
    }
    let ranges = |range: &str| with(spec.clone(), &json!({"loadBalancerSourceRanges": [range]}));
    node.serve(
        "web",
        &ranges("198.51.100.0/24"),
        &["203.0.113.1"],
        &v4(&[&server]),
    );
    assert_eq!(
        failure(&node.outside, at("203.0.113.1", 80)),
        ErrorKind::TimedOut
    );
    assert!(tcp(&node.outside, at("203.0.113.9", 80), &server, 8080).is_some());
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
    node.serve(
        "web",
        &ranges("192.0.2.0/24"),
        &["203.0.113.1"],
        &v4(&[&server]),
    );
    assert!(tcp(&node.outside, at("203.0.113.1", 80), &server, 8080).is_some());
}

pub fn external_policy_local(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    let spec = with(
        web(),
        &json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}),
    );
    node.serve("web", &spec, &["203.0.113.1"], &v4(&[&server]));
    for to in [at("203.0.113.1", 80), at("192.0.2.1", 30080)] {
        let seen = tcp(&node.outside, to, &server, 8080);
        assert_eq!(
            seen,
            Some(ip("192.0.2.2")),
            "the client's own address at {to}"
        );
        assert!(tcp(&Host, to, &server, 8080).is_some());
    }
    // An endpoint of another node: the outside is kept out in silence, the inside is not.
    let elsewhere = vec![format!("!{}", server.addr(false))];
    node.serve("web", &spec, &["203.0.113.1"], &elsewhere);
    for to in [at("203.0.113.1", 80), at("192.0.2.1", 30080)] {
        assert_eq!(failure(&node.outside, to), ErrorKind::TimedOut, "{to}");
        assert!(tcp(&client, to, &server, 8080).is_some(), "{to} from a pod");
        assert!(
            tcp(&Host, to, &server, 8080).is_some(),
            "{to} from the node"
        );
    }
}

pub fn internal_policy_local(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    let spec = with(web(), &json!({"internalTrafficPolicy": "Local"}));
    node.serve("web", &spec, &[], &v4(&[&server]));
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
    node.serve("web", &spec, &[], &[format!("!{}", server.addr(false))]);
    assert_eq!(failure(&client, at("10.96.0.1", 80)), ErrorKind::TimedOut);
}

pub fn nobody_there_is_refused_at_once(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    let spec = with(
        web(),
        &json!({"type": "NodePort", "externalIPs": ["203.0.113.9"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}),
    );
    let refused = ErrorKind::ConnectionRefused;
    // Upstream's chains see what the node itself sends to cluster addresses only, and know nothing of
    // ports that a Service does not have.
    let sees_all = !matches!(mode, Mode::Iptables(_));
    node.serve("web", &spec, &[], &[]);
    for to in [
        at("10.96.0.1", 80),
        at("203.0.113.9", 80),
        at("192.0.2.1", 30080),
    ] {
        assert_eq!(failure(&client, to), refused, "{to} from a pod");
        if sees_all || to.ip() != ip("203.0.113.9") {
            assert_eq!(failure(&Host, to), refused, "{to} from the node");
        }
        assert_eq!(failure(&node.outside, to), refused, "{to} from outside");
    }
    // What ip6tables' REJECT sends counts from the second attempt on, a second later.
    let tried = client.at(|| TcpStream::connect_timeout(&at("fd96::1", 80), PATIENCE));
    assert_eq!(tried.expect_err("nobody is there").kind(), refused);
    node.serve("web", &spec, &[], &v4(&[&server]));
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
    if sees_all {
        let kind = failure(&client, at("10.96.0.1", 81));
        assert_eq!(kind, refused, "no such port");
    }
    let delta = unset(&mut node.rules, "web");
    node.apply(&delta);
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_none());
}

pub fn a_pod_reaches_itself(mode: Mode) {
    let mut node = Node::new(mode);
    let server = node.pod();
    node.serve("web", &web(), &[], &both(&[&server]));
    for vip in ["10.96.0.1", "fd96::1"] {
        let seen = tcp_soon(&server, at(vip, 80), &server, 8080).unwrap();
        assert_ne!(seen, server.addr(seen.is_ipv6()), "masqueraded");
    }
}

/// Who answers: which of the pods a connection arrives at.
fn arrivals(from: &impl Place, to: SocketAddr, pods: &[&Pod], times: usize) -> Vec<usize> {
    let listen = |pod: &&Pod| {
        let listener = pod.at(|| std::net::TcpListener::bind("0.0.0.0:8080").unwrap());
        listener.set_nonblocking(true).unwrap();
        listener
    };
    let listeners: Vec<_> = pods.iter().map(listen).collect();
    (0..times)
        .map(|_| {
            let patience = Duration::from_millis(800);
            let _client = from
                .at(|| TcpStream::connect_timeout(&to, patience))
                .unwrap();
            let deadline = Instant::now() + patience;
            loop {
                let took = listeners
                    .iter()
                    .position(|listener| listener.accept().is_ok());
                if let Some(pod) = took {
                    return pod;
                }
                assert!(Instant::now() < deadline, "nobody accepted");
                std::thread::yield_now();
            }
        })
        .collect()
}

pub fn every_endpoint_gets_its_share(mode: Mode) {
    let mut node = Node::new(mode);
    let (a, b, c, client) = (node.pod(), node.pod(), node.pod(), node.pod());
    node.serve("web", &web(), &[], &v4(&[&a, &b, &c]));
    let seen = arrivals(&client, at("10.96.0.1", 80), &[&a, &b, &c], 90);
    for pod in 0..3 {
        let share = seen.iter().filter(|one| **one == pod).count();
        assert!((10..=60).contains(&share), "pod {pod} got {share} of 90");
    }
}

pub fn affinity_holds_until_the_endpoint_goes(mode: Mode) {
    let mut node = Node::new(mode);
    let (a, b, c, client) = (node.pod(), node.pod(), node.pod(), node.pod());
    let spec = with(
        web(),
        &json!({"sessionAffinity": "ClientIP", "type": "NodePort",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}),
    );
    let pods = [&a, &b, &c];
    node.serve("web", &spec, &[], &v4(&pods));
    let seen = arrivals(&client, at("10.96.0.1", 80), &pods, 20);
    assert_eq!(BTreeSet::from_iter(&seen).len(), 1, "{seen:?}");
    let by_node_port = arrivals(&client, at("10.9.0.1", 30080), &pods, 10);
    // IPVS has a memory for each address.
    let expected = if mode == Mode::Ipvs {
        by_node_port[0]
    } else {
        seen[0]
    };
    assert_eq!(
        by_node_port,
        vec![expected; 10],
        "one memory for all addresses"
    );
    let left: Vec<&Pod> = (0..3).filter(|i| *i != seen[0]).map(|i| pods[i]).collect();
    node.serve("web", &spec, &[], &v4(&left));
    let after = arrivals(&client, at("10.96.0.1", 80), &left, 20);
    assert_eq!(BTreeSet::from_iter(&after).len(), 1, "{after:?}");
    node.serve("web", &spec, &[], &v4(&pods));
    let same = arrivals(&client, at("10.96.0.1", 80), &left, 5);
    assert_eq!(
        same,
        vec![after[0]; 5],
        "who comes back does not win clients back"
    );
}

pub fn a_udp_flow_follows_its_service(mode: Mode) {
    let mut node = Node::new(mode);
    let (old, new, client) = (node.pod(), node.pod(), node.pod());
    let spec = json!({"clusterIP": "10.96.0.2", "ports": [{"port": 53, "protocol": "UDP"}]});
    let to = at("10.96.0.2", 53);
    let any = at("0.0.0.0", 8080);
    let socket = udp_socket(&client, at("0.0.0.0", 0));
    node.serve("dns", &spec, &[], &v4(&[&old]));
    assert!(udp(&socket, to, &udp_socket(&old, any)));
    node.serve("dns", &spec, &[], &v4(&[&new]));
    assert!(
        udp(&socket, to, &udp_socket(&new, any)),
        "the same socket, another endpoint"
    );
    node.serve("dns", &spec, &[], &[]);
    let _ = socket.send_to(b"ask", to);
    node.serve("dns", &spec, &[], &v4(&[&old]));
    // The refusal that waits in the socket is taken out by the first try.
    let _ = socket.send_to(b"ask", to);
    assert!(
        udp(&socket, to, &udp_socket(&old, any)),
        "after a time with nobody"
    );
}

pub fn affinity_keeps_to_the_policy_of_each_address(mode: Mode) {
    let mut node = Node::new(mode);
    let (here, there, client) = (node.pod(), node.pod(), node.pod());
    let spec = with(
        web(),
        &json!({"sessionAffinity": "ClientIP", "type": "NodePort",
            "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}],
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}),
    );
    let elsewhere = format!("!{}", there.addr(false));
    let ends = vec![here.addr(false).to_string(), elsewhere.clone()];
    node.serve("web", &spec, &[], &ends);
    let pods = [&here, &there];
    let inside = arrivals(&client, at("10.96.0.1", 80), &pods, 10);
    assert_eq!(inside, vec![inside[0]; 10]);
    // From outside, who was met by the cluster address does not count: only this node's do.
    let by_cluster_ip = arrivals(&node.outside, at("10.96.0.1", 80), &pods, 5);
    assert_eq!(by_cluster_ip, vec![by_cluster_ip[0]; 5]);
    let by_node_port = arrivals(&node.outside, at("192.0.2.1", 30080), &pods, 10);
    assert_eq!(by_node_port, vec![0; 10]);
    // iptables remembers clients by endpoint, whichever address they came by.
    let again = arrivals(&node.outside, at("10.96.0.1", 80), &pods, 5);
    let expected = match mode {
        Mode::Iptables(_) => again[0],
        Mode::Nftables | Mode::Ipvs => by_cluster_ip[0],
    };
    assert_eq!(again, vec![expected; 5]);
    node.serve("web", &spec, &[], &[elsewhere]);
    let kind = failure(&node.outside, at("192.0.2.1", 30080));
    assert_eq!(kind, ErrorKind::TimedOut);
    assert_eq!(arrivals(&client, at("10.96.0.1", 80), &pods, 3), vec![1; 3]);
}

/// A cluster's own DNS goes before the node's as long as it has endpoints.
pub fn a_service_at_the_dns_address_goes_first(mode: Mode) {
    let rules = NodeRules {
        dns: vec![ip("10.96.0.10")],
        ..keelson_tests::services::node()
    };
    let mut node = Node::with(mode, rules);
    let (server, client) = (node.pod(), node.pod());
    let to = at("10.96.0.10", 53);
    keelson_proxy::dns::link::hold(&[to.ip()]).unwrap();
    let spec = json!({"clusterIP": "10.96.0.10", "ports": [{"port": 53, "protocol": "UDP"}]});
    let by_the_node = || {
        let own = udp_socket(&Host, to);
        udp(&udp_socket(&client, at("0.0.0.0", 0)), to, &own)
    };
    node.serve("dns", &spec, &[], &[]);
    assert!(by_the_node(), "nobody else is there");
    node.serve("dns", &spec, &[], &v4(&[&server]));
    assert!(ask(&client, to, &server), "an endpoint came");
    node.serve("dns", &spec, &[], &[]);
    assert!(by_the_node(), "it went");
    let delta = unset(&mut node.rules, "dns");
    node.apply(&delta);
    assert!(by_the_node(), "so did the Service");
}

/// Makes a test of each case in a backend.
macro_rules! in_backend {
    ($module:ident, $mode:expr, $reason:literal) => {
        in_backend!(@ $module, $mode, $reason,
            cluster_ip_from_everywhere,
            node_ports,
            load_balancer_and_external_ips,
            external_policy_local,
            internal_policy_local,
            nobody_there_is_refused_at_once,
            a_pod_reaches_itself,
            every_endpoint_gets_its_share,
            affinity_holds_until_the_endpoint_goes,
            affinity_keeps_to_the_policy_of_each_address,
            a_udp_flow_follows_its_service,
            a_service_at_the_dns_address_goes_first,
        );
    };
    (@ $module:ident, $mode:expr, $reason:literal, $($case:ident),* $(,)?) => {
        mod $module {
            use super::*;
            $(#[test]
            #[ignore = $reason]
            fn $case() {
                crate::traffic_cases::$case($mode);
            })*
        }
    };
}
pub(crate) use in_backend;
