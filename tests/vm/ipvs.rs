//! The proxy in the IPVS mode: the cases that every backend passes, and what is special about this one.

use keelson_proxy::backend::iptables::Variant;
use keelson_proxy::backend::ipvs::{Settings, link};
use keelson_proxy::backend::{Mode, remove_others};
use keelson_proxy::diff::RuleDelta;
use keelson_tests::netns::tcp;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::traffic::{Node, at, both, open, v4, web};
use crate::traffic_cases::in_backend;
use keelson_tests::netns::Place;

in_backend!(
    every_backend,
    Mode::Ipvs,
    "needs a machine of its own: make test-vm"
);

fn listed() -> String {
    let told = Command::new("ipvsadm").args(["-S", "-n"]).output();
    String::from_utf8(told.expect("ipvsadm runs").stdout).expect("text")
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn a_restart_writes_nothing_and_damage_is_mended() {
    let mut node = Node::new(Mode::Ipvs);
    let (server, client) = (node.pod(), node.pod());
    node.serve("web", &web(), &[], &both(&[&server]));
    let before = listed();
    assert!(before.contains("-a -t 10.96.0.1:80 -r"), "{before}");
    let mut restarted = open(Mode::Ipvs);
    let applied = restarted.apply(&node.rules, &RuleDelta::default()).unwrap();
    assert_eq!((applied.messages, applied.full), (0, true));
    assert!(!restarted.is_in_doubt().unwrap());
    let flushed = Command::new("ipvsadm").arg("-C").status();
    assert!(flushed.expect("ipvsadm runs").success());
    assert!(restarted.is_in_doubt().unwrap());
    assert!(restarted.adopt(&node.rules).unwrap().messages > 0);
    assert_eq!(listed(), before);
    assert!(tcp(&client, at("10.96.0.1", 80), &server, 8080).is_some());
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn a_connection_outlives_its_endpoint_and_no_new_one_comes() {
    let mut node = Node::new(Mode::Ipvs);
    let (old, new, client) = (node.pod(), node.pod(), node.pod());
    node.serve("web", &web(), &[], &v4(&[&old]));
    let listener = old.at(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    let mut speaker = client.at(|| TcpStream::connect(at("10.96.0.1", 80)).unwrap());
    let (mut served, _) = listener.accept().unwrap();
    node.serve("web", &web(), &[], &v4(&[&new]));
    let leaving = format!("{}:8080 -m -w 0", old.addr(false));
    assert!(listed().contains(&leaving), "{}", listed());
    speaker.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    served.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
    for _ in 0..4 {
        assert!(tcp(&client, at("10.96.0.1", 80), &new, 8080).is_some());
    }
    assert!(!node.kernel.is_in_doubt().unwrap());
    assert!(listed().contains(&leaving), "as long as it is open");
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn modes_follow_each_other_without_a_gap() {
    let mut node = Node::new(Mode::Ipvs);
    let (server, client) = (node.pod(), node.pod());
    node.serve("web", &web(), &[], &both(&[&server]));
    let to = at("10.96.0.1", 80);
    let beside = node.rules.node().clone();
    let plain = keelson_tests::services::node();
    let legacy = Mode::Iptables(Variant::Legacy);
    for mode in [Mode::Nftables, Mode::Ipvs, legacy, Mode::Ipvs] {
        let rules = if mode == Mode::Ipvs { &beside } else { &plain };
        node.rules
            .set_node(rules.clone(), &mut RuleDelta::default());
        let mut next = open(mode);
        next.adopt(&node.rules).unwrap();
        assert!(tcp(&client, to, &server, 8080).is_some(), "both stand");
        remove_others(Some(mode), &Settings::default()).unwrap();
        assert!(tcp(&client, to, &server, 8080).is_some(), "{mode:?} alone");
        assert_eq!(listed().is_empty(), mode != Mode::Ipvs);
    }
    remove_others(None, &Settings::default()).unwrap();
    assert!(tcp(&client, to, &server, 8080).is_none());
    assert!(!link::exists().unwrap());
}
