//! The variables by which containers find services. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The namespace and name of the service that every pod is told of.
const APISERVER: (&str, &str) = ("default", "kubernetes");

/// A service as containers see it.
#[derive(Clone, Copy, Debug)]
pub struct Addressed<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `clusterIP`: `None` or empty for services that have none.
    pub cluster_ip: &'a str,
    /// Its ports.
    pub ports: &'a [ServicePort],
}

/// One port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    /// Its name; empty for an only one.
    pub name: String,
    /// `TCP` (where it is not said), `UDP` or `SCTP`.
    pub protocol: String,
    /// The number.
    pub port: u16,
}

/// Variables for the services of a namespace, those for the apiserver always among them; without
/// `links` those alone.
pub fn variables<'a>(
    services: impl Iterator<Item = Addressed<'a>>,
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut told: BTreeMap<&str, Addressed<'a>> = BTreeMap::new();
    for service in services.filter(|service| !matches!(service.cluster_ip, "" | "None")) {
        let own = links && service.namespace == namespace;
        let apiserver = (service.namespace, service.name) == APISERVER;
        // Of equal names the pod's own namespace wins.
        if own || (apiserver && !told.contains_key(service.name)) {
            told.insert(service.name, service);
        }
    }
    told.values().flat_map(of_service).collect()
}

fn of_service(service: &Addressed<'_>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let Some(first) = service.ports.first() else {
        return variables;
    };
    let prefix = in_capitals(service.name);
    let ip = service.cluster_ip;
    let mut add = |name: String, value: String| variables.push((format!("{prefix}_{name}"), value));
    add("SERVICE_HOST".to_owned(), ip.to_owned());
    add("SERVICE_PORT".to_owned(), first.port.to_string());
    for port in service.ports.iter().filter(|port| !port.name.is_empty()) {
        let name = format!("SERVICE_PORT_{}", in_capitals(&port.name));
        add(name, port.port.to_string());
    }
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    for (index, port) in service.ports.iter().enumerate() {
        let protocol = match port.protocol.as_str() {
            "" => "TCP",
            protocol => protocol,
        };
        let (number, small) = (port.port, protocol.to_lowercase());
        let url = format!("{small}://{host}:{number}");
        if index == 0 {
            add("PORT".to_owned(), url.clone());
        }
        let of_port = format!("PORT_{number}_{}", protocol.to_uppercase());
        add(of_port.clone(), url);
        add(format!("{of_port}_PROTO"), small);
        add(format!("{of_port}_PORT"), number.to_string());
        add(format!("{of_port}_ADDR"), ip.to_owned());
    }
    variables
}

fn in_capitals(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, protocol: &str, port: u16) -> ServicePort {
        ServicePort {
            name: name.into(),
            protocol: protocol.into(),
            port,
        }
    }

    #[test]
    fn a_service_is_told_under_upstreams_names() {
        let ports = [port("http-web", "", 80), port("dns", "UDP", 53)];
        let service = Addressed {
            namespace: "a",
            name: "my-web",
            cluster_ip: "10.0.0.1",
            ports: &ports,
        };
        let found = variables([service].into_iter(), "a", true);
        let lines: Vec<_> = found.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let expected = [
            "MY_WEB_SERVICE_HOST=10.0.0.1",
            "MY_WEB_SERVICE_PORT=80",
            "MY_WEB_SERVICE_PORT_HTTP_WEB=80",
            "MY_WEB_SERVICE_PORT_DNS=53",
            "MY_WEB_PORT=tcp://10.0.0.1:80",
            "MY_WEB_PORT_80_TCP=tcp://10.0.0.1:80",
            "MY_WEB_PORT_80_TCP_PROTO=tcp",
            "MY_WEB_PORT_80_TCP_PORT=80",
            "MY_WEB_PORT_80_TCP_ADDR=10.0.0.1",
            "MY_WEB_PORT_53_UDP=udp://10.0.0.1:53",
            "MY_WEB_PORT_53_UDP_PROTO=udp",
            "MY_WEB_PORT_53_UDP_PORT=53",
            "MY_WEB_PORT_53_UDP_ADDR=10.0.0.1",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn which_services_are_told() {
        let ports = [port("", "TCP", 443)];
        let of = |namespace, name, cluster_ip| Addressed {
            namespace,
            name,
            cluster_ip,
            ports: &ports,
        };
        let all = [
            of("default", "kubernetes", "10.0.0.1"),
            of("default", "web", "10.0.0.2"),
            of("a", "own", "10.0.0.3"),
            of("a", "headless", "None"),
            of("a", "external", ""),
            of("b", "kubernetes", "10.0.0.4"),
        ];
        let check = |namespace, links, expected: &[&str]| {
            let found = variables(all.iter().copied(), namespace, links);
            let hosts = found
                .into_iter()
                .filter(|(name, _)| name.ends_with("_HOST"));
            let hosts: Vec<_> = hosts.map(|(_, ip)| ip).collect();
            assert_eq!(hosts, expected, "{namespace} {links}");
        };
        check("a", true, &["10.0.0.1", "10.0.0.3"]);
        check("a", false, &["10.0.0.1"]);
        check("default", true, &["10.0.0.1", "10.0.0.2"]);
        check("b", true, &["10.0.0.4"]);
        check("b", false, &["10.0.0.1"]);
    }
}
