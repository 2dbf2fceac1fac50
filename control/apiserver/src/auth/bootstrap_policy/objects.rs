//! Namespaces, priority classes and the `kubernetes` service: what is there beside roles. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

/// The namespaces that the server makes, and makes again should they be gone.
pub(crate) const NAMESPACES: [&str; 4] =
    ["kube-system", "kube-public", "kube-node-lease", "default"];

/// A namespace of the server's own.
pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
}

/// The priority classes that pods of the system have.
pub(crate) fn priority_classes() -> Vec<Value> {
    let class = |name: &str, value: i64, what: &str| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "preemptionPolicy": "PreemptLowerPriority",
            "description": format!("Used for system critical pods that must {what}")})
    };
    vec![
        class(
            "system-node-critical",
            2_000_001_000,
            "not be moved from their current node.",
        ),
        class(
            "system-cluster-critical",
            2_000_000_000,
            "run in the cluster, but can be moved to another node if necessary.",
        ),
    ]
}

/// The service through which pods find the API. `port` is the service's, `target` the server's own.
pub(crate) fn kubernetes_service(ip: IpAddr, port: u16, target: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": ip.to_string(), "clusterIPs": [ip.to_string()],
            "ipFamilies": [family(ip)], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": port, "targetPort": target}]},
        "status": {"loadBalancer": {}}})
}

/// Where the servers are, as an EndpointSlice.
pub(crate) fn kubernetes_slice(servers: &[IpAddr], port: u16) -> Value {
    let kind = if servers.iter().all(IpAddr::is_ipv6) && !servers.is_empty() {
        "IPv6"
    } else {
        "IPv4"
    };
    let endpoints: Vec<Value> = servers
        .iter()
        .map(|ip| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}}))
        .collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind,
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "endpoints": endpoints, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]})
}

/// Where the servers are, as Endpoints.
pub(crate) fn kubernetes_endpoints(servers: &[IpAddr], port: u16) -> Value {
    let addresses: Vec<Value> = servers
        .iter()
        .map(|ip| json!({"ip": ip.to_string()}))
        .collect();
    json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}]})
}

/// The ranges that services have their addresses from.
pub(crate) fn service_range(ranges: &[String], now: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": ranges},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "",
            "message": "Kubernetes default Service CIDR is ready", "lastTransitionTime": now}]}})
}

/// How servers behind this one find out who calls: the authorities and headers that it goes by.
pub(crate) fn authentication(data: BTreeMap<String, String>) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"}})
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv6() { "IPv6" } else { "IPv4" }
}
