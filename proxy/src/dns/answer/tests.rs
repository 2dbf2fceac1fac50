//! Names and what the zone answers to them, as a table.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::watched::{WatchedService, WatchedSlice};

fn add_service(zone: &mut Zone, name: &str, spec: &Value) {
    let object = json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec});
    let watched: WatchedService = serde_json::from_value(object).unwrap();
    zone.set_service(&watched.key, watched.named);
}

fn slice(service: &str, ports: &Value, endpoints: &Value) -> WatchedSlice {
    let object = json!({"metadata": {"namespace": "ns", "name": format!("{service}-x"),
        "labels": {"kubernetes.io/service-name": service, "service.kubernetes.io/headless": ""}},
        "ports": ports, "endpoints": endpoints});
    serde_json::from_value(object).unwrap()
}

fn zone() -> Zone {
    let domain = Name::parse("cluster.local").unwrap();
    let mut zone = Zone::new(domain, vec![[10, 96, 0, 10].into()]);
    add_service(
        &mut zone,
        "web",
        &json!({"clusterIPs": ["10.96.0.1", "fd96::1"],
        "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
    );
    add_service(&mut zone, "db", &json!({"clusterIP": "None"}));
    add_service(&mut zone, "nobody", &json!({"clusterIP": "None"}));
    add_service(
        &mut zone,
        "out",
        &json!({"type": "ExternalName", "externalName": "Example.COM"}),
    );
    let endpoints = json!([
        {"addresses": ["10.1.0.2"], "hostname": "db-0"},
        {"addresses": ["10.1.0.3"], "conditions": {"ready": true}},
        {"addresses": ["10.1.0.4"], "conditions": {"ready": false}}]);
    let ports = json!([{"name": "sql", "port": 5432}]);
    let watched = slice("db", &ports, &endpoints);
    zone.set_slice(&watched.key, None, watched.whole);
    zone.synced = true;
    zone
}

fn told(reply: &Reply) -> String {
    let one = |record: &Record| match &record.data {
        Data::A(ip) => ip.to_string(),
        Data::Aaaa(ip) => ip.to_string(),
        Data::Cname(name) | Data::Ptr(name) | Data::Ns(name) => name.to_string(),
        Data::Txt(text) => (*text).to_owned(),
        Data::Srv(weight, port, target) => format!("{weight} {port} {target}"),
        Data::Soa(server, ..) => server.to_string(),
    };
    match reply {
        Reply::Records(records, _) => records.iter().map(one).collect::<Vec<_>>().join(", "),
        Reply::Alias(target) => format!("alias {target}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn the_records_of_the_specification() {
    let zone = zone();
    let check = |name: &str, kind: u16, expected: &str| {
        let reply = answer(&Name::parse(name).unwrap(), kind, &zone);
        assert_eq!(told(&reply), expected, "{name} {kind}");
    };
    for (name, kind, expected) in [
        ("web.ns.svc.cluster.local", kind::A, "10.96.0.1"),
        ("WEB.NS.svc.cluster.LOCAL", kind::AAAA, "fd96::1"),
        ("web.ns.svc.cluster.local", kind::TXT, "empty"),
        (
            "_http._tcp.web.ns.svc.cluster.local",
            kind::SRV,
            "100 80 web.ns.svc.cluster.local.",
        ),
        (
            "web.ns.svc.cluster.local",
            kind::SRV,
            "50 53 web.ns.svc.cluster.local., 50 80 web.ns.svc.cluster.local.",
        ),
        ("_http._udp.web.ns.svc.cluster.local", kind::SRV, "absent"),
        ("_tcp.web.ns.svc.cluster.local", kind::A, "empty"),
        ("_sctp.web.ns.svc.cluster.local", kind::A, "absent"),
        ("db.ns.svc.cluster.local", kind::A, "10.1.0.2, 10.1.0.3"),
        ("db.ns.svc.cluster.local", kind::AAAA, "empty"),
        ("db-0.db.ns.svc.cluster.local", kind::A, "10.1.0.2"),
        ("10-1-0-3.db.ns.svc.cluster.local", kind::A, "10.1.0.3"),
        ("10-1-0-4.db.ns.svc.cluster.local", kind::A, "absent"),
        (
            "_sql._tcp.db.ns.svc.cluster.local",
            kind::SRV,
            "50 5432 10-1-0-3.db.ns.svc.cluster.local., 50 5432 db-0.db.ns.svc.cluster.local.",
        ),
        ("nobody.ns.svc.cluster.local", kind::A, "absent"),
        ("none.ns.svc.cluster.local", kind::A, "absent"),
        ("web.other.svc.cluster.local", kind::A, "absent"),
        ("ns.svc.cluster.local", kind::A, "empty"),
        ("other.svc.cluster.local", kind::A, "absent"),
        ("svc.cluster.local", kind::A, "empty"),
        ("cluster.local", kind::SOA, "ns.dns.cluster.local."),
        ("cluster.local", kind::NS, "ns.dns.cluster.local."),
        ("ns.dns.cluster.local", kind::A, "10.96.0.10"),
        ("dns-version.cluster.local", kind::TXT, "1.1.0"),
        ("out.ns.svc.cluster.local", kind::A, "alias example.com."),
        ("10-1-2-3.ns.pod.cluster.local", kind::A, "10.1.2.3"),
        ("fd00--1.ns.pod.cluster.local", kind::AAAA, "fd00::1"),
        ("web.ns.pod.cluster.local", kind::A, "absent"),
        ("example.com", kind::A, "elsewhere"),
        (
            "1.0.96.10.in-addr.arpa",
            kind::PTR,
            "web.ns.svc.cluster.local.",
        ),
        (
            "2.0.1.10.in-addr.arpa",
            kind::PTR,
            "db-0.db.ns.svc.cluster.local.",
        ),
        ("3.0.1.10.in-addr.arpa", kind::PTR, "elsewhere"),
        (
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.d.f.ip6.arpa",
            kind::PTR,
            "web.ns.svc.cluster.local.",
        ),
    ] {
        check(name, kind, expected);
    }
}

#[test]
fn names_go_with_their_objects() {
    let mut zone = zone();
    let web = Name::parse("web.ns.svc.cluster.local").unwrap();
    let back = Name::parse("1.0.96.10.in-addr.arpa").unwrap();
    add_service(
        &mut zone,
        "web",
        &json!({"clusterIP": "10.96.0.2", "ports": []}),
    );
    assert_eq!(told(&answer(&web, kind::A, &zone)), "10.96.0.2");
    assert_eq!(answer(&back, kind::PTR, &zone), Reply::Elsewhere);
    zone.set_service(&crate::model::ServiceKey::new("ns", "web"), None);
    assert_eq!(answer(&web, kind::A, &zone), Reply::Absent);
    let watched = slice("db", &json!([]), &json!([{"addresses": ["10.1.0.9"]}]));
    let before: Vec<Arc<_>> = zone.slices("ns/db").cloned().collect();
    zone.set_slice(&watched.key, Some(&before[0]), watched.whole.clone());
    let db = Name::parse("db.ns.svc.cluster.local").unwrap();
    assert_eq!(told(&answer(&db, kind::A, &zone)), "10.1.0.9");
    zone.set_slice(&watched.key, watched.whole.as_deref(), None);
    assert_eq!(answer(&db, kind::A, &zone), Reply::Absent);
    assert_eq!(zone.by_endpoint_ip([10, 1, 0, 2].into()).count(), 0);
    for name in ["db", "nobody", "out"] {
        zone.set_service(&crate::model::ServiceKey::new("ns", name), None);
    }
    let namespace = Name::parse("ns.svc.cluster.local").unwrap();
    assert_eq!(answer(&namespace, kind::A, &zone), Reply::Absent);
    zone.synced = false;
    assert_eq!(answer(&web, kind::A, &zone), Reply::NotReady);
}
