//! Names as upstream has them, and what is sent for a change.

use super::names;
use super::script::{Found, change, cleanup, full};
use crate::diff::{RuleDelta, RuleSet};
use crate::model::{
    Endpoint, LocalDetection, NodeRules, Policy, PortRules, Protocol, ServiceKey, ServiceRules,
};

fn port(last: u8, endpoints: &[u8]) -> PortRules {
    let endpoint = |last: &u8| Endpoint {
        ip: [10, 1, 0, *last].into(),
        port: 8080,
        local: false,
    };
    PortRules {
        name: "p80".into(),
        protocol: Protocol::Tcp,
        cluster_ip: [10, 96, 0, last].into(),
        port: 80,
        node_port: None,
        entrances: vec![],
        affinity: None,
        internal: Policy::Cluster,
        external: Policy::Cluster,
        cluster: endpoints.iter().map(endpoint).collect(),
        local: vec![],
        anybody: !endpoints.is_empty(),
        serving: vec![],
    }
}

fn rules(last: u8, endpoints: &[u8]) -> ServiceRules {
    ServiceRules {
        ports: vec![port(last, endpoints)],
        health: None,
    }
}

fn set() -> RuleSet {
    let sources = LocalDetection::Sources(vec!["10.1.0.0/16".parse().unwrap()]);
    RuleSet::new(NodeRules {
        local: sources,
        ..NodeRules::default()
    })
}

#[test]
fn names_are_upstreams() {
    let port = port(1, &[]);
    let name = names::port_name(&ServiceKey::new("ns1", "svc1"), &port);
    assert_eq!(name, "ns1/svc1:p80");
    assert_eq!(names::port_letters(&name, &port), "XPGD46QRK7WJZT7O");
    let endpoint = Endpoint {
        ip: [10, 180, 0, 1].into(),
        port: 80,
        local: false,
    };
    let chain = names::endpoint_chain(&name, &port, &endpoint);
    assert_eq!(chain, "KUBE-SEP-SXIVWICOYRO3J4NJ");
}

#[test]
fn a_change_sends_what_changed() {
    let mut all = set();
    let keys = ["a", "b"].map(|name| ServiceKey::new("ns", name));
    let mut nothing = RuleDelta::default();
    all.set(&keys[0], Some(rules(1, &[1, 2])), &mut nothing);
    all.set(&keys[1], Some(rules(2, &[3])), &mut nothing);
    let mut delta = RuleDelta::default();
    all.set(&keys[0], Some(rules(1, &[1])), &mut delta);
    let script = change(&all, &delta, false).unwrap();
    let chains = |prefix: &str| script.lines().filter(|l| l.starts_with(prefix)).count();
    assert_eq!(
        chains(":KUBE-SVC-"),
        1,
        "the other Service's is left alone\n{script}"
    );
    assert_eq!(
        chains(":KUBE-SEP-"),
        1,
        "the endpoint that stays is as it was\n{script}"
    );
    assert_eq!(chains("-X KUBE-SEP-"), 1, "{script}");
    assert_eq!(chains("-A KUBE-SERVICES "), 3, "{script}");
    assert_eq!(change(&all, &delta, true), None, "nothing of IPv6");
    assert_eq!(change(&all, &RuleDelta::default(), false), None);
}

#[test]
fn what_others_left_is_taken_over() {
    let nat = Found::parse(
        ":PREROUTING ACCEPT [0:0]\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-KUBELET-CANARY - [0:0]\n:DOCKER - [0:0]\n\
         -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n",
    );
    let mut all = set();
    all.set(
        &ServiceKey::new("ns", "a"),
        Some(rules(1, &[1])),
        &mut RuleDelta::default(),
    );
    let script = full(&all, false, &Found::default(), &nat);
    let has = |line: &str| script.lines().any(|l| l == line);
    assert!(has("-X KUBE-SVC-AAAAAAAAAAAAAAAA"), "{script}");
    assert!(
        !script.contains("-I PREROUTING") && script.contains("-I OUTPUT"),
        "{script}"
    );
    assert!(
        !script.contains("DOCKER") && !script.contains("KUBELET"),
        "{script}"
    );
    let gone = cleanup("nat", &nat).unwrap();
    assert!(
        gone.contains("-X KUBE-SVC-A") && !gone.contains("DOCKER"),
        "{gone}"
    );
    assert_eq!(cleanup("nat", &Found::parse(":DOCKER - [0:0]\n")), None);
}
