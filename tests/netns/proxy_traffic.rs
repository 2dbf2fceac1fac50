//! Services through every backend in real namespaces with real traffic: pods, the node, somebody outside.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use keelson_proxy::backend::iptables::Variant;
use keelson_proxy::backend::nftables::{Families, Nftables};
use keelson_proxy::backend::{Backend, Mode, remove_others};
use keelson_proxy::conntrack::apply::forget_stale;
use keelson_proxy::conntrack::plan::plan;
use keelson_proxy::diff::{RuleDelta, RuleSet};
use keelson_proxy::model::{NodePortAddresses, NodeRules};
use keelson_tests::netns::{
    Host, Lab, Namespace, Place, Pod, Suite, add_route, ruleset, tcp, tcp_soon, udp, udp_socket,
};
use keelson_tests::services::{node, service, set, slice, unset};
use serde_json::{Value, json};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);
const CHILD: &str = "KEELSON_TEST_PROXY_CHILD";

/// A node with a proxy.
struct Node {
    lab: Lab,
    outside: Namespace,
    rules: RuleSet,
    kernel: Backend,
}

impl Node {
    fn new(mode: Mode) -> Self {
        Self::with(mode, node())
    }

    fn with(mode: Mode, node: NodeRules) -> Self {
        let lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
        let outside = lab.outside();
        add_route("0.0.0.0/0", "192.0.2.2");
        add_route("::/0", "2001:db8::2");
        // A redirect to who is asked and asks at once would use up what refusals may be sent.
        for link in ["all", "uplink"] {
            let path = format!("/proc/sys/net/ipv4/conf/{link}/send_redirects");
            std::fs::write(path, "0").unwrap();
        }
        outside.inside(|| {
            add_route("10.96.0.0/16", "192.0.2.1");
            add_route("fd96::/64", "2001:db8::1");
            add_route("203.0.113.0/24", "192.0.2.1");
        });
        Self {
            lab,
            outside,
            rules: RuleSet::new(node),
            kernel: Backend::open(mode).unwrap(),
        }
    }

    fn pod(&self) -> Pod {
        self.lab
            .pod(&self.lab.bridge(&json!({"hairpinMode": true})))
    }

    /// A Service of these addresses, all at port 8080.
    fn serve(&mut self, name: &str, spec: &Value, ingress: &[&str], addresses: &[String]) {
        let ports = &spec["ports"];
        let targets: Vec<Value> = ports
            .as_array()
            .unwrap()
            .iter()
            .map(|port| json!({"name": port["name"], "protocol": port["protocol"], "port": 8080}))
            .collect();
        let slice = slice(name, addresses, &json!(targets));
        let delta = set(&mut self.rules, &service(name, spec, ingress), &[&slice]);
        self.apply(&delta);
    }

    fn apply(&mut self, delta: &RuleDelta) {
        self.kernel.apply(&self.rules, delta).unwrap();
        forget_stale(&plan(delta), self.rules.node()).unwrap();
    }
}

fn both(pods: &[&Pod]) -> Vec<String> {
    let each = pods
        .iter()
        .flat_map(|pod| [pod.addr(false), pod.addr(true)]);
    each.map(|ip| ip.to_string()).collect()
}

fn v4(pods: &[&Pod]) -> Vec<String> {
    pods.iter().map(|pod| pod.addr(false).to_string()).collect()
}

fn at(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr.parse().unwrap(), port)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn web() -> Value {
    json!({"clusterIPs": ["10.96.0.1", "fd96::1"], "ports": [{"port": 80, "protocol": "TCP"}]})
}

fn with(mut spec: Value, extra: &Value) -> Value {
    keelson_tests::netns::merge(&mut spec, extra);
    spec
}

/// How a connection that nobody takes ends.
fn failure(from: &impl Place, to: SocketAddr) -> ErrorKind {
    let patience = Duration::from_millis(800);
    let tried = from.at(|| TcpStream::connect_timeout(&to, patience));
    tried.expect_err("nobody takes it").kind()
}

fn ask(from: &impl Place, to: SocketAddr, server: &Pod) -> bool {
    let any = if to.is_ipv6() {
        at("::", 8080)
    } else {
        at("0.0.0.0", 8080)
    };
    let client = udp_socket(from, SocketAddr::new(any.ip(), 0));
    udp(&client, to, &udp_socket(server, any))
}

/// Makes a test of each case in every backend.
macro_rules! in_every_backend {
    ($($case:ident),* $(,)?) => {
        in_every_backend!(nftables, Mode::Nftables, $($case),*);
        in_every_backend!(iptables_nft, Mode::Iptables(Variant::NfTables), $($case),*);
        in_every_backend!(iptables_legacy, Mode::Iptables(Variant::Legacy), $($case),*);
    };
    ($module:ident, $mode:expr, $($case:ident),*) => {
        mod $module {
            use super::*;
            $(#[test]
            #[ignore = "needs root: make test"]
            fn $case() {
                super::$case($mode);
            })*
        }
    };
}

in_every_backend!(
    cluster_ip_from_everywhere,
    node_ports,
    load_balancer_and_external_ips,
    external_policy_local,
    internal_policy_local,
    nobody_there_is_refused_at_once,
    a_pod_reaches_itself,
    every_endpoint_gets_its_share,
    affinity_holds_until_the_endpoint_goes,
    a_udp_flow_follows_its_service,
);

fn cluster_ip_from_everywhere(mode: Mode) {
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

fn node_ports(mode: Mode) {
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
    assert!(tcp(&Host, at("127.0.0.1", 30080), &server, 8080).is_none());
    assert!(tcp(&node.outside, at("192.0.2.1", 80), &server, 8080).is_none());
    let listed = NodeRules {
        node_ports: NodePortAddresses::Listed([ip("192.0.2.1")].into()),
        ..keelson_tests::services::node()
    };
    let mut delta = RuleDelta::default();
    node.rules.set_node(listed, &mut delta);
    node.apply(&delta);
    assert!(tcp(&node.outside, at("192.0.2.1", 30080), &server, 8080).is_some());
    assert!(tcp(&client, at("10.9.0.1", 30080), &server, 8080).is_none());
    let spec = json!({"type": "NodePort", "clusterIP": "10.96.0.2",
        "ports": [{"port": 53, "protocol": "UDP", "nodePort": 30053}]});
    node.serve("dns", &spec, &[], &v4(&[&server]));
    assert!(ask(&node.outside, at("192.0.2.1", 30053), &server));
}

fn load_balancer_and_external_ips(mode: Mode) {
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

fn external_policy_local(mode: Mode) {
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

fn internal_policy_local(mode: Mode) {
    let mut node = Node::new(mode);
    let (server, client) = (node.pod(), node.pod());
    let spec = with(web(), &json!({"internalTrafficPolicy": "Local"}));
    node.serve("web", &spec, &[], &v4(&[&server]));
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
    node.serve("web", &spec, &[], &[format!("!{}", server.addr(false))]);
    assert_eq!(failure(&client, at("10.96.0.1", 80)), ErrorKind::TimedOut);
}

fn nobody_there_is_refused_at_once(mode: Mode) {
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
    let sees_all = mode == Mode::Nftables;
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

fn a_pod_reaches_itself(mode: Mode) {
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

fn every_endpoint_gets_its_share(mode: Mode) {
    let mut node = Node::new(mode);
    let (a, b, c, client) = (node.pod(), node.pod(), node.pod(), node.pod());
    node.serve("web", &web(), &[], &v4(&[&a, &b, &c]));
    let seen = arrivals(&client, at("10.96.0.1", 80), &[&a, &b, &c], 90);
    for pod in 0..3 {
        let share = seen.iter().filter(|one| **one == pod).count();
        assert!((10..=60).contains(&share), "pod {pod} got {share} of 90");
    }
}

fn affinity_holds_until_the_endpoint_goes(mode: Mode) {
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
    assert!(
        by_node_port.iter().all(|pod| *pod == seen[0]),
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

fn a_udp_flow_follows_its_service(mode: Mode) {
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

#[test]
#[ignore = "needs root: make test"]
fn a_restart_writes_nothing_and_damage_is_mended() {
    let mut node = Node::new(Mode::Nftables);
    let (server, client) = (node.pod(), node.pod());
    nft("add table ip stranger; add chain ip stranger c; add rule ip stranger c counter");
    let spec = with(
        web(),
        &json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP",
            "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}),
    );
    node.serve("web", &spec, &["203.0.113.1"], &both(&[&server]));
    node.serve(
        "empty",
        &with(web(), &json!({"clusterIPs": ["10.96.0.7", "fd96::7"]})),
        &[],
        &[],
    );
    let plain = json!({"clusterIPs": ["10.96.0.8", "fd96::8"],
        "ports": [{"port": 80, "protocol": "TCP"}]});
    node.serve("plain", &plain, &[], &both(&[&server]));
    let before = ruleset();
    assert_eq!(listing_error(), "", "old versions of nft can list it");
    for part in ["map @endpoints", "map @affinity", "elements = { fd96::1,"] {
        assert!(before.contains(part), "{part} is not in {before}");
    }
    let mut restarted = Nftables::open(Families::default()).unwrap();
    let applied = restarted.apply(&node.rules, &RuleDelta::default()).unwrap();
    assert_eq!((applied.messages, applied.full), (0, true));
    assert_eq!(ruleset(), before);
    assert!(!restarted.is_in_doubt().unwrap());
    nft("delete element ip kube-proxy services { 10.96.0.1 . tcp . 80 }");
    assert!(restarted.is_in_doubt().unwrap(), "somebody else wrote");
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_none());
    assert_eq!(restarted.adopt(&node.rules).unwrap().messages, 1);
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
    nft("flush ruleset");
    assert!(restarted.adopt(&node.rules).unwrap().messages > 10);
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
    nft("add table ip stranger");
    restarted.remove().unwrap();
    assert!(!ruleset().contains("kube-proxy") && ruleset().contains("stranger"));
}

#[test]
#[ignore = "needs root: make test"]
fn anothers_table_of_this_name_is_taken_over_at_once() {
    let mut node = Node::new(Mode::Nftables);
    let (server, client) = (node.pod(), node.pod());
    nft(
        "add table ip kube-proxy; add chain ip kube-proxy x { type filter hook forward priority 0; policy drop; }; add map ip kube-proxy services { type ipv4_addr : verdict; }",
    );
    node.serve("web", &web(), &[], &v4(&[&server]));
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
}

fn listing_error() -> String {
    let listed = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&listed.stderr).into_owned()
}

fn nft(commands: &str) {
    let done = Command::new("nft").arg(commands).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// The two states between which a child goes to and fro.
fn state(rules: &mut RuleSet, second: bool) -> RuleDelta {
    let mut all = RuleDelta::default();
    for number in 0..200_u8 {
        let name = format!("s{number}");
        let spec = json!({"clusterIP": format!("10.96.1.{number}"),
            "ports": [{"port": 80, "protocol": "TCP"}]});
        let last = if second { 2 } else { 1 };
        let addresses = vec![
            format!("!10.1.{number}.{last}"),
            format!("!10.2.{number}.{last}"),
        ];
        let ports = json!([{"port": 8080, "protocol": "TCP"}]);
        let slice = slice(&name, &addresses, &ports);
        let delta = set(rules, &service(&name, &spec, &[]), &[&slice]);
        all.services.extend(delta.services);
    }
    all
}

/// Not a case of its own: what [`a_kill_leaves_the_old_or_the_new`] kills.
#[test]
#[ignore = "needs root: make test"]
fn child_that_goes_to_and_fro() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut rules = RuleSet::new(node());
    let mut kernel = Nftables::open(Families::default()).unwrap();
    let mut second = false;
    loop {
        let delta = state(&mut rules, second);
        kernel.apply(&rules, &delta).unwrap();
        second = !second;
    }
}

#[test]
#[ignore = "needs root: make test"]
fn a_kill_leaves_the_old_or_the_new() {
    let _lab = Lab::new(Suite::Ours, env!("CARGO_BIN_EXE_keelson-test-cni"));
    let mut states = [RuleSet::new(node()), RuleSet::new(node())];
    for (rules, second) in states.iter_mut().zip([false, true]) {
        state(rules, second);
    }
    Nftables::open(Families::default())
        .unwrap()
        .adopt(&states[0])
        .unwrap();
    for round in 0..20_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_goes_to_and_fro"])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(30 + round * 7) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let whole = states.iter().any(|rules| {
            let mut kernel = Nftables::open(Families::default()).unwrap();
            // Each look is at a table that the one before may have mended: look only.
            kernel.differs(rules).unwrap() == 0
        });
        assert!(
            whole,
            "neither the old nor the new rules after round {round}"
        );
    }
}

#[test]
#[ignore = "needs root: make test"]
fn rules_of_another_mode_go_when_the_new_ones_stand() {
    let legacy = Mode::Iptables(Variant::Legacy);
    let mut node = Node::new(legacy);
    let (server, client) = (node.pod(), node.pod());
    node.serve("web", &web(), &[], &both(&[&server]));
    let to = at("10.96.0.1", 80);
    assert!(tcp(&client, to, &server, 8080).is_some());
    for mode in [Mode::Iptables(Variant::NfTables), Mode::Nftables, legacy] {
        let mut next = Backend::open(mode).unwrap();
        next.adopt(&node.rules).unwrap();
        assert!(tcp(&client, to, &server, 8080).is_some(), "both stand");
        remove_others(Some(mode)).unwrap();
        assert!(tcp(&client, to, &server, 8080).is_some(), "{mode:?} alone");
        assert!(!next.is_in_doubt().unwrap() || mode == Mode::Nftables);
    }
    assert!(!ruleset().contains("10.96.0.1"));
    remove_others(None).unwrap();
    assert!(tcp(&client, to, &server, 8080).is_none());
}
