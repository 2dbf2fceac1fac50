//! Columns of services, endpoints, ingresses and policies.

use serde_json::{Value, json};

use super::Column;
use super::read::{NONE, items, labels, or_none, selector, shown, text, texts};

/// `kubectl get services`.
pub const SERVICE: &[Column] = &[
    Column::NAME,
    Column::of("Type", |service, _| json!(text(service, "/spec/type"))),
    Column::of("Cluster-IP", |service, _| {
        or_none(text(service, "/spec/clusterIP"))
    }),
    Column::of("External-IP", |service, _| json!(external(service))),
    Column::of("Port(s)", |service, _| or_none(ports(service))),
    Column::AGE,
    Column::wide("Selector", |service, _| {
        or_none(labels(service.pointer("/spec/selector")))
    }),
];

fn external(service: &Value) -> String {
    let mut addresses: Vec<&str> = Vec::new();
    match text(service, "/spec/type") {
        "ExternalName" => return text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let given = |ingress| match text(ingress, "/ip") {
                "" => text(ingress, "/hostname"),
                ip => ip,
            };
            addresses.extend(
                items(service, "/status/loadBalancer/ingress")
                    .iter()
                    .map(given),
            );
            addresses.extend(texts(service, "/spec/externalIPs"));
            if addresses.is_empty() {
                return "<pending>".to_owned();
            }
        }
        _ => addresses.extend(texts(service, "/spec/externalIPs")),
    }
    if addresses.is_empty() {
        NONE.to_owned()
    } else {
        addresses.join(",")
    }
}

fn ports(service: &Value) -> String {
    let shown = |port: &Value| {
        let (number, protocol) = (&port["port"], text(port, "/protocol"));
        match port.get("nodePort").and_then(Value::as_i64) {
            Some(node @ 1..) => format!("{number}:{node}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    };
    items(service, "/spec/ports")
        .iter()
        .map(shown)
        .collect::<Vec<_>>()
        .join(",")
}

/// `kubectl get endpoints`.
pub const ENDPOINTS: &[Column] = &[
    Column::NAME,
    Column::of("Endpoints", |endpoints, _| or_none(some(&pairs(endpoints)))),
    Column::AGE,
];

/// Three of some texts, and how many more there are.
fn some(all: &[String]) -> String {
    let shown = all.iter().take(3).cloned().collect::<Vec<_>>().join(",");
    match all.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn pairs(endpoints: &Value) -> Vec<String> {
    let mut pairs = Vec::new();
    for subset in items(endpoints, "/subsets") {
        let addresses = items(subset, "/addresses").iter().map(|a| text(a, "/ip"));
        let ports = items(subset, "/ports");
        for address in addresses {
            if ports.is_empty() {
                pairs.push(address.to_owned());
            }
            for port in ports {
                let port = shown(port.get("port"));
                let bracketed = address.contains(':');
                pairs.push(if bracketed {
                    format!("[{address}]:{port}")
                } else {
                    format!("{address}:{port}")
                });
            }
        }
    }
    pairs
}

/// `kubectl get endpointslices`.
pub const ENDPOINT_SLICE: &[Column] = &[
    Column::NAME,
    Column::at("AddressType", ".addressType"),
    Column::of("Ports", |slice, _| {
        let ports = items(slice, "/ports").iter().map(|p| match p.get("port") {
            None => "*".to_owned(),
            port => shown(port),
        });
        json!(unset(&ports.collect::<Vec<_>>()))
    }),
    Column::of("Endpoints", |slice, _| {
        let all = items(slice, "/endpoints")
            .iter()
            .flat_map(|e| texts(e, "/addresses"));
        json!(unset(&all.map(str::to_owned).collect::<Vec<_>>()))
    }),
    Column::AGE,
];

fn unset(all: &[String]) -> String {
    if all.is_empty() {
        super::read::UNSET.to_owned()
    } else {
        some(all)
    }
}

/// `kubectl get ingresses`.
pub const INGRESS: &[Column] = &[
    Column::NAME,
    Column::of("Class", |ingress, _| or_none(class(ingress))),
    Column::of("Hosts", |ingress, _| json!(hosts(ingress))),
    Column::of("Address", |ingress, _| {
        let given = |ingress| match text(ingress, "/ip") {
            "" => text(ingress, "/hostname"),
            ip => ip,
        };
        let addresses = items(ingress, "/status/loadBalancer/ingress")
            .iter()
            .map(given);
        json!(addresses.collect::<Vec<_>>().join(","))
    }),
    Column::of("Ports", |ingress, _| {
        json!(if items(ingress, "/spec/tls").is_empty() {
            "80"
        } else {
            "80, 443"
        })
    }),
    Column::AGE,
];

fn class(ingress: &Value) -> &str {
    match text(ingress, "/spec/ingressClassName") {
        "" => {
            let annotations = ingress.pointer("/metadata/annotations");
            let class = annotations.and_then(|a| a.get("kubernetes.io/ingress.class"));
            class.and_then(Value::as_str).unwrap_or_default()
        }
        class => class,
    }
}

fn hosts(ingress: &Value) -> String {
    let hosts = items(ingress, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host"));
    let hosts: Vec<_> = hosts
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .collect();
    if hosts.is_empty() {
        "*".to_owned()
    } else {
        some(&hosts)
    }
}

/// `kubectl get ingressclasses`.
pub const INGRESS_CLASS: &[Column] = &[
    Column::NAME,
    Column::at("Controller", ".spec.controller"),
    Column::of("Parameters", |class, _| {
        let Some(parameters) = class.pointer("/spec/parameters") else {
            return or_none("");
        };
        let kind = text(parameters, "/kind");
        let kind = match text(parameters, "/apiGroup") {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        json!(format!("{kind}/{}", text(parameters, "/name")))
    }),
    Column::AGE,
];

/// `kubectl get networkpolicies`.
pub const NETWORK_POLICY: &[Column] = &[
    Column::NAME,
    Column::of("Pod-Selector", |policy, _| {
        selector(policy.pointer("/spec/podSelector"))
    }),
    Column::AGE,
];

/// `kubectl get ipaddresses`.
pub const IP_ADDRESS: &[Column] = &[
    Column::NAME,
    Column::of("ParentRef", |address, _| {
        let parent = |field: &str| text(address, &format!("/spec/parentRef/{field}")).to_owned();
        let parts = [
            parent("resource"),
            parent("group"),
            parent("namespace"),
            parent("name"),
        ];
        let [resource, group, namespace, name] = parts;
        let resource = if group.is_empty() {
            resource
        } else {
            format!("{resource}.{group}")
        };
        let parts = [resource, namespace, name];
        json!(
            parts
                .into_iter()
                .filter(|p| !p.is_empty())
                .collect::<Vec<_>>()
                .join("/")
        )
    }),
];

/// `kubectl get servicecidrs`.
pub const SERVICE_CIDR: &[Column] = &[
    Column::NAME,
    Column::of("CIDRs", |cidr, _| {
        json!(texts(cidr, "/spec/cidrs").join(","))
    }),
    Column::AGE,
];

/// `kubectl get apiservices`.
pub const API_SERVICE: &[Column] = &[
    Column::NAME,
    Column::of("Service", |service, _| {
        let Some(reference) = service.pointer("/spec/service") else {
            return json!("Local");
        };
        json!(format!(
            "{}/{}",
            text(reference, "/namespace"),
            text(reference, "/name")
        ))
    }),
    Column::of("Available", |service, _| {
        let available = super::read::condition(service, "Available");
        let Some(available) = available else {
            return json!("Unknown");
        };
        json!(
            match (text(available, "/status"), text(available, "/reason")) {
                ("False", reason) => format!("False ({reason})"),
                (status, _) => status.to_owned(),
            }
        )
    }),
    Column::AGE,
];

/// Whether a class is the default of its kind, by annotation.
pub(super) fn is_default(class: &Value, annotation: &str) -> bool {
    let annotations = class.pointer("/metadata/annotations");
    annotations
        .and_then(|a| a.get(annotation))
        .is_some_and(|v| v == "true")
}
