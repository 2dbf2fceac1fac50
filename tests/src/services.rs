//! Services and endpoints for tests of the proxy, written as short JSON, and the rules they make.

use keelson_proxy::compile::compile;
use keelson_proxy::diff::{RuleDelta, RuleSet};
use keelson_proxy::model::{EndpointSlice, NodeRules, NodeView, Service, ServiceKey};
use keelson_proxy::wire::{ServiceObject, SliceObject};
use serde_json::{Value, json};

/// The node's name in slices.
pub const HERE: &str = "here";

/// A Service object of namespace `ns`; `ingress` are its load balancer's addresses.
///
/// # Panics
/// When the specification is no Service's that a proxy serves.
#[must_use]
pub fn service(name: &str, spec: &Value, ingress: &[&str]) -> Service {
    let ingress: Vec<Value> = ingress.iter().map(|ip| json!({"ip": ip})).collect();
    let object = json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress}}});
    let object: ServiceObject = serde_json::from_value(object).expect("a Service");
    object.into_service().expect("a Service to serve")
}

/// A slice of a Service: addresses, where `!` before one puts it on another node.
///
/// # Panics
/// Never: it is well-formed.
#[must_use]
pub fn slice(service: &str, addresses: &[String], ports: &Value) -> EndpointSlice {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|text| match text.strip_prefix('!') {
            Some(address) => json!({"addresses": [address], "nodeName": "elsewhere"}),
            None => json!({"addresses": [text], "nodeName": HERE}),
        })
        .collect();
    let object = json!({"metadata": {"namespace": "ns", "name": service,
        "labels": {"kubernetes.io/service-name": service}}, "endpoints": endpoints, "ports": ports});
    let object: SliceObject = serde_json::from_value(object).expect("an EndpointSlice");
    object.into_slice(HERE).expect("a slice of a Service")
}

/// Compiles a Service and puts it among the rules; what that changes.
pub fn set(rules: &mut RuleSet, service: &Service, slices: &[&EndpointSlice]) -> RuleDelta {
    let mut delta = RuleDelta::default();
    let compiled = compile(service, slices, &NodeView::default(), rules.node());
    rules.set(&service.key, Some(compiled), &mut delta);
    delta
}

/// Takes a Service away; what that changes.
pub fn unset(rules: &mut RuleSet, name: &str) -> RuleDelta {
    let mut delta = RuleDelta::default();
    rules.set(&ServiceKey::new("ns", name), None, &mut delta);
    delta
}

/// Rules of a node whose pods are in 10.9.0.0/24 and fd09::/64, with node ports at its addresses.
#[must_use]
pub fn node() -> NodeRules {
    NodeRules {
        local: keelson_proxy::model::LocalDetection::Sources(vec![
            "10.9.0.0/24".parse().expect("cidr"),
            "fd09::/64".parse().expect("cidr"),
        ]),
        ..NodeRules::default()
    }
}
