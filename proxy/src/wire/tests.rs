//! Objects as an apiserver writes them.

use super::*;
use serde_json::{Value, json};

fn service(spec: Value) -> Option<Service> {
    let object = json!({"metadata": {"namespace": "ns", "name": "s", "labels": null,
        "managedFields": [{"manager": "x"}]}, "spec": spec,
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"},
            {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"hostname": "h"},
            {"ip": "192.0.2.3", "ipMode": "VIP"}]}}});
    serde_json::from_value::<ServiceObject>(object)
        .unwrap()
        .into_service()
}

#[test]
fn who_is_served() {
    let check = |spec: Value, served: bool| {
        assert_eq!(service(spec.clone()).is_some(), served, "{spec}");
    };
    check(json!({"clusterIP": "10.0.0.1"}), true);
    check(json!({"clusterIP": "None"}), false);
    check(json!({"clusterIP": ""}), false);
    check(
        json!({"type": "ExternalName", "externalName": "x.example"}),
        false,
    );
    let labelled = |label: &str| {
        let object = json!({"metadata": {"namespace": "n", "name": "s", "labels": {label: "x"}},
            "spec": {"clusterIP": "10.0.0.1"}});
        serde_json::from_value::<ServiceObject>(object).unwrap()
    };
    assert!(labelled("app").into_service().is_some());
    assert!(labelled(SERVICE_PROXY_NAME).into_service().is_none());
    assert!(labelled(HEADLESS).into_service().is_none());
}

#[test]
fn every_field_of_a_service_arrives() {
    let spec = json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1", "fd00::1"], "externalIPs": ["198.51.100.007"],
        "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Local",
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
        "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "fd00::/8"],
        "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053,
            "targetPort": "dns"}, {"port": 80}]});
    let service = service(spec).unwrap();
    assert_eq!(service.key.as_str(), "ns/s");
    assert_eq!(service.cluster_ips.len(), 2);
    assert_eq!(
        service.external_ips,
        ["198.51.100.7".parse::<IpAddr>().unwrap()]
    );
    let vips: Vec<String> = service
        .load_balancer_ips
        .iter()
        .map(IpAddr::to_string)
        .collect();
    assert_eq!(vips, ["192.0.2.1", "192.0.2.3"]);
    assert_eq!(service.source_ranges.len(), 2);
    assert_eq!(service.affinity, Some(10_800));
    assert!(service.internal_local && service.external_local);
    assert_eq!(service.health_check_node_port, Some(32000));
    assert_eq!(service.ports[0].protocol, Protocol::Udp);
    assert_eq!(service.ports[0].node_port, Some(30053));
    assert_eq!(
        (service.ports[1].protocol, service.ports[1].port),
        (Protocol::Tcp, 80)
    );
}

#[test]
fn policies_of_a_cluster_service_need_an_entrance() {
    let spec = |extra: Value| {
        let mut spec = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1",
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000});
        spec.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        service(spec).unwrap()
    };
    assert!(!spec(json!({})).external_local);
    let with_ip = spec(json!({"externalIPs": ["192.0.2.9"]}));
    assert!(with_ip.external_local);
    assert_eq!(with_ip.health_check_node_port, None);
}

#[test]
fn slices() {
    let object = json!({"metadata": {"namespace": "ns", "name": "s-1",
            "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": null}],
        "endpoints": [
            {"addresses": ["10.1.0.1"], "nodeName": "me", "conditions": {}},
            {"addresses": ["10.1.0.2"], "nodeName": "you",
             "conditions": {"ready": false, "serving": true, "terminating": true},
             "hints": {"forZones": [{"name": "z"}], "forNodes": [{"name": "you"}]}},
            {"addresses": ["10.1.0.3"], "conditions": {"ready": false}}]});
    let slice: SliceObject = serde_json::from_value(object).unwrap();
    let slice = slice.into_slice("me").unwrap();
    assert_eq!(slice.ports.len(), 1);
    let [a, b, c] = &slice.endpoints[..] else {
        panic!("three endpoints");
    };
    assert!(a.local && a.ready && a.serving && !a.terminating);
    assert!(!b.local && !b.ready && b.is_last_resort());
    assert_eq!((b.zones.len(), b.nodes), (1, NodeHint::Elsewhere));
    assert!(!c.ready && !c.serving);
}

#[test]
fn empty_lists_are_null_in_go() {
    let object = json!({"metadata": {"namespace": "ns", "name": "s-1",
        "labels": {"kubernetes.io/service-name": "s"}}, "ports": null, "endpoints": null});
    let slice: SliceObject = serde_json::from_value(object).unwrap();
    assert!(slice.into_slice("me").unwrap().endpoints.is_empty());
    let orphan = json!({"metadata": {"namespace": "ns", "name": "s-1"}});
    let orphan: SliceObject = serde_json::from_value(orphan).unwrap();
    assert!(orphan.into_slice("me").is_none());
}
