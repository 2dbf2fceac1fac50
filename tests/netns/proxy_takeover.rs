//! What stays and what goes when proxies come and go: restarts, kills, other people's tables, modes.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]
#![expect(
    dead_code,
    reason = "the cases of every backend have a program of their own"
)]

mod traffic;

use std::process::{Command, Stdio};
use std::time::Duration;

use keelson_proxy::backend::iptables::Variant;
use keelson_proxy::backend::ipvs::Settings;
use keelson_proxy::backend::nftables::{Families, Nftables};
use keelson_proxy::backend::{Mode, remove_others};
use keelson_proxy::diff::{RuleDelta, RuleSet};
use keelson_tests::netns::{ruleset, tcp};
use keelson_tests::services::{node, service, set, slice};
use serde_json::json;
use tokio::time::Instant;
use traffic::{Node, at, both, lab, open, v4, web, with};

const CHILD: &str = "KEELSON_TEST_PROXY_CHILD";

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
    let _lab = lab();
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
        let mut next = open(mode);
        next.adopt(&node.rules).unwrap();
        assert!(tcp(&client, to, &server, 8080).is_some(), "both stand");
        remove_others(Some(mode), &Settings::default()).unwrap();
        assert!(tcp(&client, to, &server, 8080).is_some(), "{mode:?} alone");
        assert!(!next.is_in_doubt().unwrap() || mode == Mode::Nftables);
    }
    assert!(!ruleset().contains("10.96.0.1"));
    remove_others(None, &Settings::default()).unwrap();
    assert!(tcp(&client, to, &server, 8080).is_none());
}
