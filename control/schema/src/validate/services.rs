//! Services, endpoints, endpoint slices.

use std::net::IpAddr;

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::At;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

/// The most seconds that a client keeps its endpoint.
const AFFINITY_LIMIT: i64 = 86_400;

/// Judges a service.
pub fn service(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let kind = spec.field("type");
    let headless = spec.field("clusterIP").text() == "None";
    ports(&spec, headless, errors);
    kind.need_one_of(
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        errors,
    );
    for (key, value) in spec.field("selector").entries() {
        errors.check(
            &spec.field("selector").path,
            key,
            names::qualified_name(key),
        );
        let path = &spec.field("selector").path;
        errors.check(path, value.text(), names::label_value(value.text()));
    }
    match kind.text() {
        "LoadBalancer" if headless => {
            spec.field("clusterIP")
                .invalid("may not be set to 'None' for LoadBalancer services", errors);
        }
        "NodePort" if headless => {
            spec.field("clusterIP")
                .invalid("may not be set to 'None' for NodePort services", errors);
        }
        "ExternalName" => external_name(&spec, errors),
        _ => {}
    }
    affinity(&spec, errors);
    addresses(&spec, errors);
    traffic(&spec, errors);
}

fn external_name(spec: &At<'_>, errors: &mut ErrorList) {
    if !spec.field("clusterIP").is_empty() {
        spec.field("clusterIP")
            .forbidden("may not be set for ExternalName services", errors);
    }
    let name = spec.field("externalName");
    if name.need("", errors) {
        let text = name.text().trim_end_matches('.');
        errors.check(&name.path, name.text(), names::dns_subdomain(text));
    }
}

fn ports(spec: &At<'_>, headless: bool, errors: &mut ErrorList) {
    let ports = spec.field("ports");
    if ports.is_empty() && !headless && spec.field("type").text() != "ExternalName" {
        errors.required(&ports.path, "");
    }
    let many = ports.items().count() > 1;
    let (mut named, mut seen, mut on_nodes) = (Vec::new(), Vec::new(), Vec::new());
    for port in ports.items() {
        let (name, protocol) = (port.field("name"), port.field("protocol"));
        if name.is_empty() && many {
            errors.required(&name.path, "");
        } else if !name.is_empty() {
            name.form(names::dns_label, errors);
            if named.contains(&name.text()) {
                errors.duplicate(&name.path, name.text());
            }
            named.push(name.text());
        }
        let number = port.field("port");
        let value = number.int().unwrap_or_default();
        for detail in names::port_number(value) {
            errors.invalid(&number.path, value, detail);
        }
        protocol.need_one_of(PROTOCOLS, errors);
        target_port(&port.field("targetPort"), errors);
        let key = (protocol.text(), value);
        if seen.contains(&key) {
            errors.duplicate(
                &port.path,
                serde_json::json!({"port": value, "protocol": key.0}),
            );
        }
        seen.push(key);
        node_port(spec, &port, &mut on_nodes, errors);
    }
}

fn target_port(target: &At<'_>, errors: &mut ErrorList) {
    match target.value {
        Value::Number(_) => {
            let number = target.int().unwrap_or_default();
            for detail in names::port_number(number) {
                errors.invalid(&target.path, number, detail);
            }
        }
        Value::String(name) => errors.check(&target.path, name, names::port_name(name)),
        _ => {}
    }
}

fn node_port<'v>(
    spec: &At<'_>,
    port: &At<'v>,
    seen: &mut Vec<(&'v str, i64)>,
    errors: &mut ErrorList,
) {
    let number = port.field("nodePort");
    let Some(value) = number.int().filter(|value| *value != 0) else {
        return;
    };
    let kind = spec.field("type").text();
    if kind == "ClusterIP" || kind == "ExternalName" {
        let detail = format!("may not be used when `type` is '{kind}'");
        number.forbidden(&detail, errors);
    }
    let key = (port.field("protocol").text(), value);
    if seen.contains(&key) {
        errors.duplicate(&number.path, value);
    }
    seen.push(key);
}

fn affinity(spec: &At<'_>, errors: &mut ErrorList) {
    let affinity = spec.field("sessionAffinity");
    affinity.need_one_of(&["ClientIP", "None"], errors);
    let timeout = spec.at("sessionAffinityConfig.clientIP.timeoutSeconds");
    if affinity.text() == "ClientIP"
        && timeout
            .int()
            .is_none_or(|seconds| !(1..=AFFINITY_LIMIT).contains(&seconds))
    {
        let detail = format!("must be greater than 0 and less than {AFFINITY_LIMIT}");
        timeout.invalid(detail, errors);
    }
}

fn addresses(spec: &At<'_>, errors: &mut ErrorList) {
    let (first, all) = (spec.field("clusterIP"), spec.field("clusterIPs"));
    for address in all.items().filter(|a| a.text() != "None") {
        address.form(names::ip_address, errors);
    }
    if all.items().count() > 2 {
        all.invalid("may only hold up to 2 values", errors);
    }
    if let Some(leading) = all.items().next()
        && leading.text() != first.text()
    {
        all.invalid("first value must match `clusterIP`", errors);
    }
    for address in spec.field("externalIPs").items() {
        address.form(names::ip_address, errors);
        if let Ok(parsed) = address.text().parse::<IpAddr>()
            && (parsed.is_unspecified() || parsed.is_loopback())
        {
            let detail = "may not be unspecified (0.0.0.0 or ::) or in the loopback range";
            address.invalid(detail, errors);
        }
    }
    for family in spec.field("ipFamilies").items() {
        family.one_of(&["IPv4", "IPv6"], errors);
    }
    let policies = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    spec.field("ipFamilyPolicy").one_of(&policies, errors);
    for range in spec.field("loadBalancerSourceRanges").items() {
        range.form(super::network::cidr, errors);
    }
}

fn traffic(spec: &At<'_>, errors: &mut ErrorList) {
    let kind = spec.field("type").text();
    let (inside, outside) = (
        spec.field("internalTrafficPolicy"),
        spec.field("externalTrafficPolicy"),
    );
    inside.one_of(&["Cluster", "Local"], errors);
    let external = matches!(kind, "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !spec.field("externalIPs").is_empty());
    if !outside.is_empty() && !external {
        outside.invalid("may only be set for externally-accessible services", errors);
    } else {
        outside.one_of(&["Cluster", "Local"], errors);
    }
    let allocate = spec.field("allocateLoadBalancerNodePorts");
    if allocate.is_given() && kind != "LoadBalancer" {
        allocate.forbidden("may only be used when `type` is 'LoadBalancer'", errors);
    }
    let check = spec.field("healthCheckNodePort");
    let wanted = kind == "LoadBalancer" && outside.text() == "Local";
    if check.int().unwrap_or_default() != 0 && !wanted {
        let detail =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        check.invalid(detail, errors);
    }
    let class = spec.field("loadBalancerClass");
    if class.is_given() && kind != "LoadBalancer" {
        class.forbidden("may only be used when `type` is 'LoadBalancer'", errors);
    }
    let distribution = spec.field("trafficDistribution");
    distribution.one_of(&["PreferClose", "PreferSameZone", "PreferSameNode"], errors);
}

/// Judges the change of a service: its address stays, while it has one.
pub fn service_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (new, old) = (At::root(new).field("spec"), At::root(old).field("spec"));
    let kept = |spec: &At<'_>| spec.field("type").text() != "ExternalName";
    if kept(&new) && kept(&old) {
        let (now, before) = (new.field("clusterIP"), old.field("clusterIP"));
        if !before.is_empty() && now.value != before.value {
            now.invalid("field is immutable", errors);
        }
        let first = |spec: &At<'_>| {
            spec.field("clusterIPs")
                .texts()
                .first()
                .map(|t| (*t).to_owned())
        };
        let (now, before) = (first(&new), first(&old));
        if before.is_some() && now != before {
            let path = new.field("clusterIPs").path.index(0);
            errors.invalid(
                &path,
                new.field("clusterIPs").value.clone(),
                "primary clusterIP can not be unset",
            );
        }
    }
    let (now, before) = (
        new.field("loadBalancerClass"),
        old.field("loadBalancerClass"),
    );
    let both =
        new.field("type").text() == "LoadBalancer" && old.field("type").text() == "LoadBalancer";
    if both && now.value != before.value {
        now.invalid("may not change once set", errors);
    }
}

/// Judges endpoints.
pub fn endpoints(object: &Value, errors: &mut ErrorList) {
    for subset in At::root(object).field("subsets").items() {
        let (ready, waiting) = (subset.field("addresses"), subset.field("notReadyAddresses"));
        if ready.is_empty() && waiting.is_empty() {
            errors.required(
                &subset.path,
                "must specify `addresses` or `notReadyAddresses`",
            );
        }
        for address in ready.items().chain(waiting.items()) {
            let ip = address.field("ip");
            errors.check(&ip.path, ip.text(), names::ip_address(ip.text()));
            special(&ip, errors);
        }
        let many = subset.field("ports").items().count() > 1;
        for port in subset.field("ports").items() {
            let name = port.field("name");
            if many && name.is_empty() {
                errors.required(&name.path, "");
            }
            name.form(names::dns_label, errors);
            let number = port.field("port");
            for detail in names::port_number(number.int().unwrap_or_default()) {
                errors.invalid(&number.path, number.int().unwrap_or_default(), detail);
            }
            port.field("protocol").need_one_of(PROTOCOLS, errors);
        }
    }
}

/// Complains about addresses that no endpoint can have.
fn special(ip: &At<'_>, errors: &mut ErrorList) {
    let Ok(address) = ip.text().parse::<IpAddr>() else {
        return;
    };
    let local = match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || (v4.is_multicast() && v4.octets()[..3] == [224, 0, 0])
        }
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80 || v6.segments()[0] == 0xff02,
    };
    let rules = [
        (
            address.is_unspecified(),
            "may not be unspecified (0.0.0.0 or ::)",
        ),
        (
            address.is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        ),
    ];
    for (_, detail) in rules.iter().filter(|(broken, _)| *broken) {
        ip.invalid(*detail, errors);
    }
}

/// Judges an endpoint slice.
pub fn endpoint_slice(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let kind = object.field("addressType");
    kind.need_one_of(&["FQDN", "IPv4", "IPv6"], errors);
    let endpoints = object.field("endpoints");
    if endpoints.items().count() > 1_000 {
        errors.too_many(&endpoints.path, endpoints.items().count(), 1_000);
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.field("addresses");
        if addresses.is_empty() {
            errors.required(&addresses.path, "must contain at least 1 address");
        }
        for address in addresses.items() {
            match (kind.text(), address.text().parse::<IpAddr>()) {
                ("FQDN", _) => address.form(names::dns_subdomain, errors),
                ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) => {
                    special(&address, errors)
                }
                ("IPv4", _) => address.invalid("must be a valid IPv4 address", errors),
                ("IPv6", _) => address.invalid("must be a valid IPv6 address", errors),
                _ => {}
            }
        }
        endpoint.field("hostname").form(names::dns_label, errors);
    }
    let mut seen = Vec::new();
    for port in object.field("ports").items() {
        let name = port.field("name");
        name.form(names::dns_label, errors);
        if seen.contains(&name.text()) {
            errors.duplicate(&name.path, name.text());
        }
        seen.push(name.text());
        port.field("protocol").need_one_of(PROTOCOLS, errors);
    }
}

/// Judges the change of an endpoint slice.
pub fn endpoint_slice_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    super::immutable(new, old, &["addressType"], errors);
}
