//! Where questions lead, with servers elsewhere made up.

use super::*;
use crate::dns::settings::Hosts;
use crate::dns::wire::question;
use crate::dns::zone::Named;
use crate::model::{Service, ServiceKey};

const NODE: &str = "node.example";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn zone() -> Zone {
    let mut zone = Zone::new(name("cluster.local"), vec![]);
    let service = Service {
        key: ServiceKey::new("ns", "web"),
        cluster_ips: vec![[10, 96, 0, 1].into()],
        ports: vec![],
        external_ips: vec![],
        load_balancer_ips: vec![],
        source_ranges: vec![],
        affinity: None,
        internal_local: false,
        external_local: false,
        health_check_node_port: None,
    };
    let named = Named::Cluster(Arc::new(service));
    zone.set_service(&ServiceKey::new("ns", "web"), Some(named));
    for (key, target) in [
        ("out", "example.com"),
        ("near", "web.ns.svc.cluster.local"),
        ("loop", "loop.ns.svc.cluster.local"),
    ] {
        zone.set_service(
            &ServiceKey::new("ns", key),
            Some(Named::External(name(target))),
        );
    }
    zone.synced = true;
    zone
}

fn settings(shortcut: bool) -> Settings {
    Settings {
        listen: vec![],
        domain: name("cluster.local"),
        upstreams: vec![],
        stubs: vec![],
        hosts: Hosts::parse("192.0.2.9 printer.example"),
        search: vec![name(NODE)],
        shortcut,
    }
}

/// What a server elsewhere says: an address for example.com, and that nothing else is there.
fn elsewhere(key: &Key) -> Known {
    let asked = question(7, &key.name, key.kind, key.dnssec);
    let mut bytes = asked[..asked.len() - 11].to_vec();
    bytes[2] |= 0x80;
    bytes[11] = 0;
    if key.name == name("example.com") {
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    } else {
        bytes[3] |= 3;
    }
    Known::Answer(Arc::new(Kept::read(&bytes, &asked).unwrap()), 0)
}

/// Names and addresses of an answer, or its code, or what has to be asked.
fn told(text: &str, shortcut: bool, known: &dyn Fn(&Key) -> Known) -> String {
    let asked = question(7, &name(text), kind::A, false);
    let query = Query::read(&asked).unwrap();
    let (zone, settings) = (zone(), settings(shortcut));
    let case = Case {
        query: &query,
        zone: &zone,
        settings: &settings,
        known,
        limit: 1232,
    };
    match case.step() {
        Step::Ask(key) => format!("ask {}", key.name),
        Step::Done(Code::NoError, bytes) => {
            let kept = Kept::read(&bytes, &asked).unwrap();
            let each = kept.addresses(0).map(|record| match record.data {
                Data::A(ip) => ip.to_string(),
                Data::Cname(name) => name.to_string(),
                other => format!("{other:?}"),
            });
            each.collect::<Vec<_>>().join(" ")
        }
        Step::Done(code, _) => format!("{code:?}"),
    }
}

#[test]
fn where_a_name_leads() {
    for (asked, expected) in [
        ("web.ns.svc.cluster.local", "10.96.0.1"),
        ("example.com", "192.0.2.1"),
        ("nothing.example", "NxDomain"),
        ("printer.example", "192.0.2.9"),
        ("out.ns.svc.cluster.local", "example.com. 192.0.2.1"),
        (
            "near.ns.svc.cluster.local",
            "web.ns.svc.cluster.local. 10.96.0.1",
        ),
        ("loop.ns.svc.cluster.local", "ServFail"),
        ("example.com.ns.svc.cluster.local", "NxDomain"),
    ] {
        assert_eq!(told(asked, false, &elsewhere), expected, "{asked}");
    }
    let unasked = |_: &Key| Known::Unasked;
    assert_eq!(told("example.com", false, &unasked), "ask example.com.");
    assert_eq!(
        told("out.ns.svc.cluster.local", false, &unasked),
        "ask example.com."
    );
    assert_eq!(told("example.com", false, &|_| Known::Failed), "ServFail");
}

#[test]
fn a_search_is_walked_in_the_clients_order() {
    for (asked, expected) in [
        ("example.com.ns.svc.cluster.local", "example.com. 192.0.2.1"),
        (
            "web.ns.ns.svc.cluster.local",
            "web.ns.svc.cluster.local. 10.96.0.1",
        ),
        ("nothing.example.ns.svc.cluster.local", "NxDomain"),
        ("nothing.ns.svc.cluster.local", "NxDomain"),
        ("example.com.other.svc.cluster.local", "NxDomain"),
        ("example.com.svc.cluster.local", "NxDomain"),
    ] {
        assert_eq!(told(asked, true, &elsewhere), expected, "{asked}");
    }
    let unasked = |_: &Key| Known::Unasked;
    let first = "example.com.ns.svc.cluster.local";
    assert_eq!(told(first, true, &unasked), "ask example.com.node.example.");
    let unclear = |key: &Key| match key.name.below(&name(NODE)) {
        Some(_) => Known::Failed,
        None => elsewhere(key),
    };
    assert_eq!(
        told(first, true, &unclear),
        "NxDomain",
        "the client goes on by itself"
    );
}
