//! Streams and proxied requests: logs, exec, attach, port forwarding, proxies of nodes, pods and
//! services. Decides where they go; `backend` takes them there.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::Value;

use crate::admission::{self, Action, Ask};
use crate::api::Api;
use crate::backend::{Scheme, Target};
use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::handle::Call;
use crate::registry::metadata;
use crate::respond::Reply;
use crate::route::{Query, percent_encode};
use crate::selection::Selection;

const KUBELET_PORT: u16 = 10250;
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Options of a log that the kubelet takes as they are.
const LOG_OPTIONS: [&str; 8] = [
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
];

/// Whether a subresource is passed on.
pub(crate) fn is_relayed(part: &str) -> bool {
    matches!(part, "log" | "exec" | "attach" | "portforward" | "proxy")
}

/// Passes a request on.
pub(crate) async fn answer(
    api: &Arc<Api>,
    call: &Call,
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    let part = call.request.subresource.as_str();
    if part != "log" {
        let ask = Ask {
            call,
            action: Action::Connect,
            name: &call.request.name,
            namespace: call.namespace(),
            old: &Value::Null,
            dry_run: false,
        };
        admission::validate(api, &ask, &Value::Null).await?;
    }
    let target = match (&*call.kind.plural, part) {
        ("nodes", _) => node_proxy(api, call).await?,
        ("services", _) => service_proxy(api, call).await?,
        ("pods", "proxy") => pod_proxy(api, call).await?,
        _ => match pod_stream(api, call, part).await? {
            Some(target) => target,
            None => return Ok(Reply::text(StatusCode::OK, "").into_response(&call.headers)),
        },
    };
    api.backends.relay(&target, request).await
}

/// Where a pod's kubelet has the stream; nothing for logs of a pod without a node.
async fn pod_stream(api: &Api, call: &Call, part: &str) -> Outcome<Option<Target>> {
    let name = &call.request.name;
    let pod = api
        .registry
        .read(&call.kind, call.namespace(), name)
        .await?
        .object;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() && part == "log" {
        return Ok(None);
    }
    if node.is_empty() {
        return Err(Failure::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    }
    let (host, port) = kubelet(api, node).await?;
    Ok(Some(Target {
        scheme: Scheme::Kubelet,
        host,
        port,
        path: stream_path(&pod, part, &call.query)?,
    }))
}

/// The path of a stream on the kubelet.
fn stream_path(pod: &Value, part: &str, query: &Query) -> Outcome<String> {
    let (namespace, name) = metadata::place(pod);
    let mut options: Vec<(&str, &str)> = Vec::new();
    let flag = |on: &str, as_name: &'static str| query.flag(on).then_some((as_name, "1"));
    let place = match part {
        "log" => {
            for option in LOG_OPTIONS {
                options.extend(query.value(option).map(|value| (option, value)));
            }
            format!(
                "containerLogs/{namespace}/{name}/{}",
                container(pod, query)?
            )
        }
        "portforward" => {
            options.extend(query.values("ports").map(|port| ("port", port)));
            format!("portForward/{namespace}/{name}")
        }
        _ => {
            options.extend(query.values("command").map(|word| ("command", word)));
            options.extend(flag("stdin", "input"));
            options.extend(flag("stdout", "output"));
            options.extend(flag("stderr", "error"));
            options.extend(flag("tty", "tty"));
            format!("{part}/{namespace}/{name}/{}", container(pod, query)?)
        }
    };
    let options: Vec<String> = options
        .iter()
        .map(|(name, value)| format!("{name}={}", percent_encode(value)))
        .collect();
    Ok(format!("/{place}?{}", options.join("&")))
}

/// The container that is meant.
fn container(pod: &Value, query: &Query) -> Outcome<String> {
    let spec = &pod["spec"];
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let names = |list: &str| -> Vec<&str> {
        let list = spec[list].as_array().into_iter().flatten();
        list.filter_map(|container| container["name"].as_str())
            .collect()
    };
    let pod_name = metadata::text(pod, "name");
    let annotated = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str();
    let main = names("containers");
    let wanted = query.value("container").or(annotated);
    match (wanted, main.as_slice()) {
        (Some(wanted), _) if lists.iter().any(|list| names(list).contains(&wanted)) => {
            Ok(wanted.to_owned())
        }
        (Some(wanted), _) => Err(Failure::bad_request(format!(
            "container {wanted} is not valid for pod {pod_name}"
        ))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, several) => Err(Failure::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            several.join(" ")
        ))),
    }
}

/// Address and port of a node's kubelet.
async fn kubelet(api: &Api, name: &str) -> Outcome<(String, u16)> {
    let nodes = api.registry.builtin("", "nodes")?;
    let node = api.registry.read(nodes, "", name).await?.object;
    kubelet_of(&node, &api.kubelet_addresses).ok_or_else(|| {
        Failure::internal(format!(
            "no preferred addresses found; known addresses: [] (node {name})"
        ))
    })
}

fn kubelet_of(node: &Value, wanted: &[String]) -> Option<(String, u16)> {
    let status = &node["status"];
    let addresses = status["addresses"].as_array()?;
    let of_type = |wanted: &String| {
        let mut found = addresses
            .iter()
            .filter(|address| address["type"] == *wanted.as_str());
        found.find_map(|address| address["address"].as_str())
    };
    let host = wanted.iter().find_map(of_type)?;
    let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0);
    Some((host.to_owned(), port.unwrap_or(KUBELET_PORT)))
}

/// `[SCHEME:]NAME[:PORT]`.
fn split_name(name: &str) -> (Scheme, &str, &str) {
    let scheme = |text: &str| {
        if text == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        }
    };
    let parts: Vec<&str> = name.split(':').collect();
    match *parts.as_slice() {
        [first, name, port] => (scheme(first), name, port),
        [name, port] => (Scheme::Http, name, port),
        _ => (Scheme::Http, name, ""),
    }
}

/// The rest of the path, with the query.
fn proxied_path(call: &Call) -> String {
    let rest = call.request.rest.as_deref().unwrap_or_default();
    let path = if rest.is_empty() { "/" } else { rest };
    let query = call.query.to_text();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// Nobody gets to this machine itself or to its link through a proxied request.
fn allow(host: &str) -> Outcome<()> {
    let link_local =
        |ip: Ipv6Addr| ip.is_unicast_link_local() || (ip.segments()[0] & 0xff0e) == 0xff02;
    let ours = match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            let link_multicast = ip.octets()[..3] == [224, 0, 0];
            ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || link_multicast
        }
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unspecified() || link_local(ip),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    if ours {
        return Err(Failure::bad_request("address not allowed"));
    }
    Ok(())
}

async fn node_proxy(api: &Api, call: &Call) -> Outcome<Target> {
    let (scheme, name, port) = split_name(&call.request.name);
    let (host, own) = kubelet(api, name).await?;
    let asked = port.parse::<u16>().ok().filter(|port| *port != own);
    if asked.is_some() {
        allow(&host)?;
    }
    Ok(Target {
        scheme: if asked.is_some() {
            scheme
        } else {
            Scheme::Kubelet
        },
        host,
        port: asked.unwrap_or(own),
        path: proxied_path(call),
    })
}

async fn pod_proxy(api: &Api, call: &Call) -> Outcome<Target> {
    let (scheme, name, port) = split_name(&call.request.name);
    let pod = api
        .registry
        .read(&call.kind, call.namespace(), name)
        .await?
        .object;
    let host = pod["status"]["podIP"].as_str().unwrap_or_default();
    if host.is_empty() {
        return Err(Failure::bad_request(format!(
            "address not allowed: pod {name} has none"
        )));
    }
    allow(host)?;
    let first = pod
        .pointer("/spec/containers/0/ports/0/containerPort")
        .and_then(Value::as_u64);
    let first = first.and_then(|port| u16::try_from(port).ok());
    let port = port.parse::<u16>().ok().or(first).unwrap_or(80);
    Ok(Target {
        scheme,
        host: host.to_owned(),
        port,
        path: proxied_path(call),
    })
}

async fn service_proxy(api: &Api, call: &Call) -> Outcome<Target> {
    let (scheme, name, port) = split_name(&call.request.name);
    let service = api
        .registry
        .read(&call.kind, call.namespace(), name)
        .await?
        .object;
    let wanted = service_port(&service, port).ok_or_else(|| {
        Failure::bad_request(format!(
            "no service port {port:?} found for service {name:?}"
        ))
    })?;
    let cache = api
        .registry
        .cache_of("discovery.k8s.io", "endpointslices")
        .await?;
    let label = format!("kubernetes.io/service-name={name}");
    let inside = Selection::parse(call.namespace(), Some(&label), None, &[])?;
    let slices = cache.select(&inside, 0).versions;
    let mut ready = slices.iter().filter_map(|slice| {
        let slice: Value = serde_json::from_slice(&slice.body).ok()?;
        ready_address(&slice, &wanted)
    });
    let found = ready.next();
    let (host, port) = found.ok_or_else(|| {
        let message = format!("no endpoints available for service {name:?}");
        Failure::new(
            keelson_api::status_error::Reason::ServiceUnavailable,
            message,
        )
    })?;
    allow(&host)?;
    Ok(Target {
        scheme,
        host,
        port,
        path: proxied_path(call),
    })
}

/// The name of the service's port that is meant by a name, a number or nothing.
fn service_port(service: &Value, wanted: &str) -> Option<String> {
    let ports = service["spec"]["ports"].as_array()?;
    let number = wanted.parse::<u64>().ok();
    let mut meant = ports.iter().filter(|port| {
        let named = port["name"].as_str().unwrap_or_default() == wanted;
        (wanted.is_empty() && ports.len() == 1)
            || named
            || (number.is_some() && port["port"].as_u64() == number)
    });
    let port = meant.next()?;
    Some(port["name"].as_str().unwrap_or_default().to_owned())
}

fn ready_address(slice: &Value, port_name: &str) -> Option<(String, u16)> {
    let ports = slice["ports"].as_array()?;
    let named = |port: &&Value| port["name"].as_str().unwrap_or_default() == port_name;
    let port = ports.iter().find(named)?["port"].as_u64()?;
    let endpoints = slice["endpoints"].as_array()?;
    let ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
    let address = endpoints.iter().find(ready)?["addresses"][0].as_str()?;
    Some((address.to_owned(), u16::try_from(port).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}]}})
    }

    fn check(part: &str, query: &str, expected: Result<&str, &str>) {
        let found = stream_path(&pod(), part, &Query::parse(query));
        let found = found.as_deref().map_err(Failure::message);
        assert_eq!(found, expected, "{part} {query}");
    }

    #[test]
    fn paths_on_the_kubelet() {
        check(
            "log",
            "container=a&follow=true&tailLines=5",
            Ok("/containerLogs/n/p/a?follow=true&tailLines=5"),
        );
        check(
            "exec",
            "container=b&command=sh&command=-c%20x&stdin=true&stdout=true&tty=false",
            Ok("/exec/n/p/b?command=sh&command=-c%20x&input=1&output=1"),
        );
        check("portforward", "ports=80", Ok("/portForward/n/p?port=80"));
        check(
            "log",
            "container=z",
            Err("container z is not valid for pod p"),
        );
        check(
            "log",
            "",
            Err("a container name must be specified for pod p, choose one of: [a b]"),
        );
    }

    #[test]
    fn nodes_have_a_kubelet() {
        let node = json!({"status": {"addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 1234}}}});
        let check = |node: &Value, wanted: &[&str], expected: Option<(&str, u16)>| {
            let wanted: Vec<_> = wanted.iter().map(|&one| one.to_owned()).collect();
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(kubelet_of(node, &wanted), expected, "{wanted:?}");
        };
        check(&node, &["InternalIP", "Hostname"], Some(("10.0.0.1", 1234)));
        check(&node, &["ExternalIP", "Hostname"], Some(("h", 1234)));
        check(&node, &["ExternalIP"], None);
        check(&json!({"status": {}}), &["InternalIP"], None);
    }

    #[test]
    fn some_addresses_are_nobodys_business() {
        for host in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "fe80::1",
            "ff02::1",
            "0.0.0.0",
            "localhost",
        ] {
            assert!(allow(host).is_err(), "{host}");
        }
        for host in ["10.0.0.1", "fd00::1", "2001:db8::1", "node-1"] {
            assert!(allow(host).is_ok(), "{host}");
        }
    }

    #[test]
    fn names_with_scheme_and_port() {
        assert_eq!(split_name("https:a:1"), (Scheme::Https, "a", "1"));
        assert_eq!(split_name("a:web"), (Scheme::Http, "a", "web"));
        assert_eq!(split_name("a"), (Scheme::Http, "a", ""));
    }

    #[test]
    fn services_choose_a_ready_endpoint() {
        let service =
            json!({"spec": {"ports": [{"name": "web", "port": 80}, {"name": "x", "port": 81}]}});
        assert_eq!(service_port(&service, "80").as_deref(), Some("web"));
        assert_eq!(service_port(&service, "x").as_deref(), Some("x"));
        assert_eq!(service_port(&service, ""), None);
        let slice = json!({"ports": [{"name": "web", "port": 8080}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": false}}, {"addresses": ["10.0.0.2"]}]});
        assert_eq!(
            ready_address(&slice, "web"),
            Some(("10.0.0.2".to_owned(), 8080))
        );
    }
}
