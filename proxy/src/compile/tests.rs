//! Upstream's semantics as a table: a Service, its endpoints, and who takes what.

use super::*;
use crate::model::Verdict;
use crate::wire::{ServiceObject, SliceObject};
use serde_json::{Value, json};

/// One endpoint: its last byte, then words: `here`, `unready`, `ending` (still answering), `dead`
/// (ending and silent), `zone=`, `node=`.
fn endpoint_object(text: &str) -> Value {
    let mut words = text.split(' ');
    let mut endpoint = json!({"addresses": [format!("10.1.0.{}", words.next().unwrap())],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": "you", "hints": {"forZones": [], "forNodes": []}});
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let conditions = |ready, serving, terminating| json!({"ready": ready, "serving": serving, "terminating": terminating});
        match name {
            "here" => endpoint["nodeName"] = json!("me"),
            "unready" => endpoint["conditions"] = conditions(false, false, false),
            "ending" => endpoint["conditions"] = conditions(false, true, true),
            "dead" => endpoint["conditions"] = conditions(false, false, true),
            "zone" => endpoint["hints"]["forZones"] = json!([{"name": value}]),
            "node" => endpoint["hints"]["forNodes"] = json!([{"name": value}]),
            other => panic!("{other}"),
        }
    }
    endpoint
}

fn compiled(spec: &Value, endpoints: &[&str], zone: Option<&str>) -> ServiceRules {
    let mut full = json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}]});
    full.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let object = json!({"metadata": {"namespace": "ns", "name": "s"}, "spec": full,
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let mut service: ServiceObject = serde_json::from_value(object).unwrap();
    if spec.get("type") != Some(&json!("LoadBalancer")) {
        let object = json!({"metadata": {"namespace": "ns", "name": "s"}, "spec": full});
        service = serde_json::from_value(object).unwrap();
    }
    let endpoints: Vec<Value> = endpoints.iter().map(|text| endpoint_object(text)).collect();
    let slice = json!({"metadata": {"namespace": "ns", "name": "s-1",
        "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"port": 8080, "protocol": "TCP"}], "endpoints": endpoints});
    let slice: SliceObject = serde_json::from_value(slice).unwrap();
    let view = NodeView {
        zone: zone.map(Into::into),
    };
    compile(
        &service.into_service().unwrap(),
        &[&slice.into_slice("me").unwrap()],
        &view,
        &NodeRules::default(),
    )
}

fn verdict(port: &PortRules, verdict: Verdict) -> String {
    match verdict {
        Verdict::Serve(policy) => {
            let last = |e: &Endpoint| e.ip.to_string().rsplit('.').next().unwrap().to_owned();
            let all: Vec<String> = port.endpoints(policy).iter().map(last).collect();
            all.join(",")
        }
        Verdict::Drop => "drop".into(),
        Verdict::Reject => "reject".into(),
    }
}

fn check(spec: &Value, endpoints: &[&str], internal: &str, external: &str) {
    let rules = compiled(spec, endpoints, Some("z1"));
    let port = &rules.ports[0];
    let seen = (
        verdict(port, port.internal_verdict()),
        verdict(port, port.external_verdict()),
    );
    assert_eq!(
        seen,
        (internal.to_owned(), external.to_owned()),
        "{spec} {endpoints:?}"
    );
}

#[test]
fn readiness_and_last_resort() {
    let spec = json!({});
    for (endpoints, expected) in [
        (&["1", "2"][..], "1,2"),
        (&["2", "1", "1"], "1,2"),
        (&["1", "2 unready"], "1"),
        (&["1", "2 ending"], "1"),
        (&["1 ending", "2 dead"], "1"),
        (&["1 unready", "2 ending"], "2"),
        (&["1 dead", "2 unready"], "reject"),
        (&[], "reject"),
    ] {
        check(&spec, endpoints, expected, expected);
    }
}

#[test]
fn internal_policy_local() {
    let spec = json!({"internalTrafficPolicy": "Local"});
    for (endpoints, internal) in [
        (&["1 here", "2"][..], "1"),
        (&["1 here", "3 here ending"], "1"),
        (&["1 here ending", "2"], "1"),
        (&["1", "2"], "drop"),
        (&["1 ending"], "drop"),
        (&["1 unready"], "reject"),
    ] {
        let rules = compiled(&spec, endpoints, None);
        let port = &rules.ports[0];
        assert_eq!(verdict(port, port.internal_verdict()), internal);
        assert!(port.cluster.is_empty(), "nothing uses the cluster's");
    }
}

#[test]
fn external_policy_local_keeps_the_clusters_for_the_inside() {
    let spec = json!({"type": "NodePort", "externalTrafficPolicy": "Local",
        "ports": [{"port": 80, "nodePort": 30000}]});
    for (endpoints, internal, external) in [
        (&["1 here", "2"][..], "1,2", "1"),
        (&["1", "2"], "1,2", "drop"),
        (&["1 here ending", "2"], "2", "1"),
        (&["1 unready"], "reject", "reject"),
    ] {
        check(&spec, endpoints, internal, external);
    }
    let both = json!({"type": "NodePort", "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30000}]});
    let rules = compiled(&both, &["1 here", "2"], None);
    assert_eq!(
        rules.ports[0].cluster.len(),
        2,
        "for pods that come by the node port"
    );
    check(&both, &["1 here", "2"], "1", "1");
}

#[test]
fn topology() {
    let spec = json!({});
    for (endpoints, expected) in [
        (&["1 zone=z1", "2 zone=z2"][..], "1"),
        (&["1 zone=z1", "2"], "1,2"),
        (&["1 zone=z2", "2 zone=z3"], "1,2"),
        (&["1 zone=z1", "2 unready", "3 zone=z2"], "1"),
        (&["1 node=me", "2 node=you"], "1"),
        (&["1 node=me zone=z2", "2 node=you zone=z1"], "1"),
        (&["1 node=you zone=z1", "2 node=you zone=z2"], "1"),
        (&["1 node=me", "2"], "1,2"),
        (&["1 ending zone=z1", "2 ending zone=z2"], "1,2"),
    ] {
        check(&spec, endpoints, expected, expected);
    }
    let nowhere = compiled(&spec, &["1 zone=z1", "2 zone=z2"], None);
    assert_eq!(nowhere.ports[0].cluster.len(), 2, "a node of no zone");
}

#[test]
fn local_policy_ignores_topology() {
    let spec = json!({"internalTrafficPolicy": "Local"});
    let rules = compiled(&spec, &["1 here zone=z2", "2 zone=z1"], Some("z1"));
    assert_eq!(rules.ports[0].local.len(), 1);
}

#[test]
fn entrances_and_their_sources() {
    let spec = json!({"type": "LoadBalancer", "externalIPs": ["192.0.2.9"],
        "loadBalancerSourceRanges": ["198.51.100.0/24", "198.51.100.7/32"]});
    let rules = compiled(&spec, &["1"], None);
    let entrances = &rules.ports[0].entrances;
    assert_eq!(entrances.len(), 2);
    let sources = entrances[0].sources.as_ref().unwrap();
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["198.51.100.0/24"]);
    assert_eq!(entrances[1].sources, None, "external addresses are open");
    let other = json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["fd00::/8"]});
    assert_eq!(
        compiled(&other, &["1"], None).ports[0].entrances[0].sources,
        None
    );
}

#[test]
fn health_counts_ready_local_endpoints() {
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 32000});
    let rules = compiled(&spec, &["1 here", "2 here ending", "3", "4 here"], None);
    let health = rules.health.unwrap();
    assert_eq!((health.port, health.local_endpoints), (32000, 2));
}

#[test]
fn dual_stack_is_a_port_for_each_family() {
    let spec = json!({"clusterIPs": ["10.0.0.1", "fd00::1"],
        "ports": [{"name": "b", "port": 81}, {"name": "a", "port": 80}]});
    let rules = compiled(&spec, &["1"], None);
    let seen: Vec<_> = rules.ports.iter().map(|p| (p.is_v6(), p.port)).collect();
    assert_eq!(seen, [(false, 80), (false, 81), (true, 80), (true, 81)]);
    assert!(
        rules.ports.iter().all(|port| port.cluster.is_empty()),
        "names differ"
    );
}

#[test]
fn flows_to_whoever_answers_are_not_stale() {
    let rules = compiled(&json!({}), &["1", "2 ending", "3 unready", "4 dead"], None);
    assert_eq!(rules.ports[0].serving.len(), 2);
}
