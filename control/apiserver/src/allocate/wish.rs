//! What a service has and what it lacks of addresses and node ports. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// What a service holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) addresses: BTreeSet<String>,
    pub(crate) ports: BTreeSet<u16>,
}

/// What a service holds, by its fields.
pub(crate) fn holdings(service: &Value) -> Holdings {
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return Holdings::default();
    }
    let addresses = spec["clusterIPs"].as_array().into_iter().flatten();
    let addresses = addresses
        .chain([&spec["clusterIP"]])
        .filter_map(Value::as_str);
    let addresses = addresses.filter(|address| !matches!(*address, "" | "None"));
    let ports = spec["ports"].as_array().into_iter().flatten();
    let ports = ports
        .map(|port| &port["nodePort"])
        .chain([&spec["healthCheckNodePort"]]);
    Holdings {
        addresses: addresses.map(str::to_owned).collect(),
        ports: ports.filter_map(port_number).collect(),
    }
}

fn port_number(value: &Value) -> Option<u16> {
    value
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
}

/// The families that a service is to have addresses of and does not, of those there are.
pub(crate) fn missing_families(service: &Value, there: &[&'static str]) -> Vec<&'static str> {
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" || spec["clusterIP"] == "None" {
        return Vec::new();
    }
    let wanted = wanted_families(spec, there);
    let own = holdings(service).addresses;
    let has = |family: &&'static str| own.iter().any(|address| family_of(address) == *family);
    wanted.into_iter().filter(|family| !has(family)).collect()
}

fn wanted_families(spec: &Value, there: &[&'static str]) -> Vec<&'static str> {
    let named: Vec<&'static str> = spec["ipFamilies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|name| there.iter().copied().find(|family| *family == name))
        .collect();
    let dual = matches!(
        spec["ipFamilyPolicy"].as_str(),
        Some("PreferDualStack" | "RequireDualStack")
    );
    let mut wanted = named;
    if wanted.is_empty() {
        let own = spec["clusterIP"]
            .as_str()
            .filter(|address| !address.is_empty())
            .map(family_of);
        wanted.extend(own.or_else(|| there.first().copied()));
    }
    if dual {
        let others = there
            .iter()
            .copied()
            .filter(|family| !wanted.contains(family));
        let others: Vec<_> = others.collect();
        wanted.extend(others);
    }
    wanted
}

fn family_of(address: &str) -> &'static str {
    if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    }
}

/// Writes the addresses and what follows from them.
pub(crate) fn set_addresses(service: &mut Value, fresh: &[String]) {
    let spec = &mut service["spec"];
    let mut all: Vec<String> = Vec::new();
    let listed = spec["clusterIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let own = spec["clusterIP"]
        .as_str()
        .into_iter()
        .chain(listed)
        .filter(|text| !text.is_empty());
    for address in own.map(str::to_owned).chain(fresh.iter().cloned()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    let Some(first) = all.first() else {
        return;
    };
    spec["clusterIP"] = first.as_str().into();
    let families: Vec<&str> = all.iter().map(|address| family_of(address)).collect();
    if first != "None" {
        spec["ipFamilies"] = json!(families);
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = if all.len() > 1 {
                "PreferDualStack"
            } else {
                "SingleStack"
            }
            .into();
        }
    }
    spec["clusterIPs"] = json!(all);
}

/// The families of a headless service that names none.
pub(crate) fn settle_headless(service: &mut Value, there: &[&'static str]) {
    let spec = &mut service["spec"];
    if spec["clusterIP"] != "None" {
        return;
    }
    if !spec["ipFamilies"].is_array() {
        let wanted = wanted_families(spec, there);
        spec["ipFamilies"] = json!(wanted);
    }
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = "SingleStack".into();
    }
    spec["clusterIPs"] = json!(["None"]);
}

/// Whether a service's ports are to be open on every node.
fn wants_node_ports(spec: &Value) -> bool {
    match spec["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

/// The ports that lack a node port, by their places.
pub(crate) fn missing_ports(service: &Value) -> Vec<usize> {
    let spec = &service["spec"];
    if !wants_node_ports(spec) {
        return Vec::new();
    }
    let ports = spec["ports"].as_array().into_iter().flatten().enumerate();
    let missing = ports.filter(|(_, port)| port_number(&port["nodePort"]).is_none());
    missing.map(|(at, _)| at).collect()
}

/// The node port of another port with the same number and another protocol: they share one.
pub(crate) fn shared_port(service: &Value, at: usize) -> Option<u16> {
    let ports = service["spec"]["ports"].as_array()?;
    let own = ports.get(at)?;
    let twin = |port: &&Value| port["port"] == own["port"] && port["protocol"] != own["protocol"];
    let mut twins = ports.iter().filter(twin);
    twins.find_map(|port| port_number(&port["nodePort"]))
}

/// Whether the service lacks the port that its load balancer asks for health.
pub(crate) fn lacks_health_port(service: &Value) -> bool {
    let spec = &service["spec"];
    spec["type"] == "LoadBalancer"
        && spec["externalTrafficPolicy"] == "Local"
        && port_number(&spec["healthCheckNodePort"]).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: Value, families: &[&str], ports: &[usize]) {
        let service = json!({ "spec": spec });
        let there = ["IPv4", "IPv6"];
        assert_eq!(missing_families(&service, &there), families, "{service}");
        assert_eq!(missing_ports(&service), ports, "{service}");
    }

    #[test]
    fn what_services_lack() {
        check(
            json!({"type": "ClusterIP", "ports": [{"port": 1}]}),
            &["IPv4"],
            &[],
        );
        check(json!({"clusterIP": "None"}), &[], &[]);
        check(json!({"type": "ExternalName"}), &[], &[]);
        check(json!({"clusterIP": "10.0.0.1"}), &[], &[]);
        check(
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            &["IPv4", "IPv6"],
            &[],
        );
        check(json!({"ipFamilies": ["IPv6"]}), &["IPv6"], &[]);
        let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30000}]);
        check(json!({"type": "NodePort", "ports": ports}), &["IPv4"], &[0]);
    }

    #[test]
    fn what_services_hold() {
        let service = json!({"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"],
            "ports": [{"nodePort": 30001}], "healthCheckNodePort": 30002}});
        let held = holdings(&service);
        assert_eq!(held.addresses.len(), 2);
        assert_eq!(held.ports, [30001, 30002].into());
    }

    #[test]
    fn addresses_bring_their_families() {
        let mut service = json!({"spec": {}});
        set_addresses(&mut service, &["10.0.0.9".to_owned()]);
        let expected = json!({"clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"});
        assert_eq!(service["spec"], expected);
    }
}
