//! Ingresses, their classes, network policies, service ranges and addresses.

use std::net::IpAddr;

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable, selector};

/// A range of addresses: `10.0.0.0/8`.
pub(super) fn cidr(text: &str) -> Vec<String> {
    let fits = text.split_once('/').is_some_and(|(address, bits)| {
        let most = if address.contains(':') { 128 } else { 32 };
        address.parse::<IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    if fits {
        return Vec::new();
    }
    vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
}

/// Judges an ingress.
pub fn ingress(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let default = spec.field("defaultBackend");
    if spec.field("rules").is_empty() && !default.is_given() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        spec.invalid(detail, errors);
    }
    for rule in spec.field("rules").items() {
        host(&rule.field("host"), errors);
        if rule.field("http").is_given() {
            paths(&rule.at("http.paths"), errors);
        }
    }
    for tls in spec.field("tls").items() {
        for name in tls.field("hosts").items() {
            host(&name, errors);
        }
    }
    if default.is_given() {
        backend(&default, errors);
    }
    spec.field("ingressClassName")
        .form(names::dns_subdomain, errors);
}

fn host(host: &At<'_>, errors: &mut ErrorList) {
    if host.is_empty() {
        return;
    }
    if host.text().parse::<IpAddr>().is_ok() {
        host.invalid("must be a DNS name, not an IP address", errors);
        return;
    }
    let plain = host.text().strip_prefix("*.").unwrap_or(host.text());
    errors.check(&host.path, host.text(), names::dns_subdomain(plain));
}

fn paths(paths: &At<'_>, errors: &mut ErrorList) {
    paths.need("", errors);
    for path in paths.items() {
        let (kind, text) = (path.field("pathType"), path.field("path"));
        if !kind.is_given() {
            errors.required(&kind.path, "pathType must be specified");
        }
        kind.one_of(&["Exact", "ImplementationSpecific", "Prefix"], errors);
        let absolute = text.text().starts_with('/');
        if matches!(kind.text(), "Exact" | "Prefix") {
            if !absolute {
                text.invalid("must be an absolute path", errors);
            }
            for held in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.text().contains(held) {
                    text.invalid(format!("must not contain '{held}'"), errors);
                }
            }
        } else if !text.is_empty() && !absolute {
            text.invalid("must be an absolute path", errors);
        }
        backend(&path.field("backend"), errors);
    }
}

fn backend(backend: &At<'_>, errors: &mut ErrorList) {
    let (resource, service) = (backend.field("resource"), backend.field("service"));
    if resource.is_given() && service.is_given() {
        backend.invalid("cannot set both resource and service backends", errors);
    } else if service.is_given() {
        let name = service.field("name");
        if name.need("", errors) {
            name.form(names::dns_label, errors);
        }
        let (number, port) = (service.at("port.number"), service.at("port.name"));
        match (number.int().unwrap_or_default() != 0, !port.is_empty()) {
            (true, true) => service
                .field("port")
                .invalid("cannot set both port name & port number", errors),
            (false, false) => errors.required(
                &service.field("port").path,
                "port name or number is required",
            ),
            (true, false) => {
                for detail in names::port_number(number.int().unwrap_or_default()) {
                    number.invalid(detail, errors);
                }
            }
            (false, true) => port.form(names::port_name, errors),
        }
    } else if !resource.is_given() {
        let detail = "resource or service backend is required";
        errors.required(&backend.path, detail);
    }
}

/// Judges an ingress class.
pub fn ingress_class(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let controller = spec.field("controller");
    if controller.need("", errors) && !controller.text().contains('/') {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        controller.invalid(detail, errors);
    }
    let parameters = spec.field("parameters");
    if parameters.is_given() {
        parameters.field("kind").need("kind is required", errors);
        parameters.field("name").need("name is required", errors);
        let scope = parameters.field("scope");
        scope.need_one_of(&["Cluster", "Namespace"], errors);
        let namespace = parameters.field("namespace");
        match scope.text() {
            "Namespace" => {
                namespace.need("`parameters.scope` is set to 'Namespace'", errors);
            }
            "Cluster" if namespace.is_given() => {
                namespace.forbidden("`parameters.scope` is set to 'Cluster'", errors);
            }
            _ => {}
        }
    }
}

/// Judges the change of an ingress class.
pub fn ingress_class_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec.controller"], errors);
}

/// Judges a network policy.
pub fn network_policy(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    selector::check(&spec.field("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            for port in rule.field("ports").items() {
                policy_port(&port, errors);
            }
            for peer in rule.field(peers).items() {
                policy_peer(&peer, errors);
            }
        }
    }
    let types = spec.field("policyTypes");
    if types.items().count() > 2 {
        types.invalid("may not specify more than two policyTypes", errors);
    }
    for kind in types.items() {
        kind.one_of(&["Egress", "Ingress"], errors);
    }
}

fn policy_port(port: &At<'_>, errors: &mut ErrorList) {
    port.field("protocol")
        .one_of(&["SCTP", "TCP", "UDP"], errors);
    let (first, last) = (port.field("port"), port.field("endPort"));
    match first.value {
        Value::Number(_) => {
            for detail in names::port_number(first.int().unwrap_or_default()) {
                first.invalid(detail, errors);
            }
            if last.is_given() && last.int() < first.int() {
                last.invalid("must be greater than or equal to `port`", errors);
            }
        }
        Value::String(name) => {
            errors.check(&first.path, name, names::port_name(name));
            if last.is_given() {
                last.invalid("may not be specified when `port` is non-numeric", errors);
            }
        }
        _ if last.is_given() => {
            last.invalid("may not be specified when `port` is not specified", errors)
        }
        _ => {}
    }
}

fn policy_peer(peer: &At<'_>, errors: &mut ErrorList) {
    let (pods, namespaces, block) = (
        peer.field("podSelector"),
        peer.field("namespaceSelector"),
        peer.field("ipBlock"),
    );
    selector::check(&pods, errors);
    selector::check(&namespaces, errors);
    if block.is_given() {
        if pods.is_given() || namespaces.is_given() {
            peer.forbidden("may not specify both ipBlock and another peer", errors);
        }
        let range = block.field("cidr");
        if range.need("", errors) {
            range.form(cidr, errors);
        }
        for except in block.field("except").items() {
            except.form(cidr, errors);
            if except.text() == range.text() {
                let detail = format!("must be a strict subset of `cidr` {:?}", range.text());
                except.invalid(detail, errors);
            }
        }
    } else if !pods.is_given() && !namespaces.is_given() {
        errors.required(&peer.path, "must specify a peer");
    }
}

/// Judges an IP address.
pub fn ip_address(object: &Value, errors: &mut ErrorList) {
    let parent = At::root(object).at("spec.parentRef");
    if parent.is_given() {
        parent.field("resource").need("", errors);
        parent.field("name").need("", errors);
    } else {
        errors.required(&parent.path, "");
    }
}

/// Judges the change of an IP address.
pub fn ip_address_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec.parentRef"], errors);
}

/// Judges a range of service addresses.
pub fn service_cidr(object: &Value, errors: &mut ErrorList) {
    let ranges = At::root(object).at("spec.cidrs");
    if ranges.is_empty() {
        errors.required(&ranges.path, "at least one CIDR required");
    }
    if ranges.items().count() > 2 {
        ranges.invalid("may only hold up to 2 values", errors);
    }
    for range in ranges.items() {
        range.form(cidr, errors);
    }
    if let [one, other] = ranges.texts()[..]
        && one.contains(':') == other.contains(':')
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        ranges.invalid(detail, errors);
    }
}

/// Judges the change of a range of service addresses.
pub fn service_cidr_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let ranges = |object| At::root(object).at("spec.cidrs");
    let (now, before) = (ranges(new), ranges(old));
    match (before.items().count(), now.items().count()) {
        // One of the other family may come to it.
        (before, now) if before != now && (before, now) != (1, 2) => {
            immutable(new, old, &["spec.cidrs"], errors);
        }
        _ => {
            for (now, before) in now.items().zip(before.items()) {
                if now.value != before.value {
                    now.invalid("field is immutable", errors);
                }
            }
        }
    }
}
