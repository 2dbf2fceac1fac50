//! What a probe or hook aims at: named ports, default hosts, URLs and headers. Pure: opens nothing
//! and knows no result.

use std::net::IpAddr;

use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Pod, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::command::expand_static;
use super::url::{Authority, Scheme, Url};

/// `User-Agent` of probes.
pub const PROBE_AGENT: &str = "kube-probe/1.36";
/// `User-Agent` of lifecycle hooks.
pub const HOOK_AGENT: &str = "kube-lifecycle/1.36";

/// What one probe does, with every name and default resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// `exec`: the command, expanded.
    Exec(Vec<String>),
    /// `httpGet`.
    Http(HttpTarget),
    /// `tcpSocket`.
    Tcp(Authority),
    /// `grpc`.
    Grpc(GrpcTarget),
}

/// What one lifecycle hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookTarget {
    /// `exec`: the command, as written (hooks expand nothing).
    Exec(Vec<String>),
    /// `httpGet`.
    Http {
        /// The path as written, for messages.
        path: String,
        /// The request.
        target: HttpTarget,
    },
    /// `sleep`, in seconds; negative counts as zero.
    Sleep(i64),
}

/// One GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// Where to.
    pub url: Url,
    /// The `Host` header, where it differs from the URL's authority.
    pub host: Option<HeaderValue>,
    /// All other headers.
    pub headers: HeaderMap,
}

/// One gRPC health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcTarget {
    /// Where to.
    pub authority: Authority,
    /// `grpc.service`; empty asks for the server as a whole.
    pub service: String,
}

/// Why a probe or hook aims at nothing. Carries what the pod's author has to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No handler, or one that is no handler.
    #[error(
        "pod {pod}: container {container}: {handler} has no action that can be run: set {cure}"
    )]
    NoHandler {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
        /// `probe` or `lifecycle hook`.
        handler: &'static str,
        /// The actions that can be run.
        cure: &'static str,
    },
    /// A port by a name that the container does not declare.
    #[error(
        "pod {pod}: container {container}: port {port:?} is neither a number nor a name in ports (has: {known})"
    )]
    UnknownPort {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
        /// The port as written.
        port: String,
        /// The declared names.
        known: String,
    },
    /// A port that no socket has.
    #[error("pod {pod}: container {container}: invalid port number: {port}")]
    InvalidPort {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
        /// The number.
        port: i64,
    },
    /// The pod has no address yet, and the handler names no host.
    #[error("pod {pod}: container {container}: the pod has no IP yet")]
    NoPodIp {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
    },
    /// A header that can't be sent.
    #[error(
        "pod {pod}: container {container}: httpHeaders: {header:?} can't be sent: invalid {part}"
    )]
    InvalidHeader {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
        /// Its name.
        header: String,
        /// `name` or `value`.
        part: &'static str,
    },
    /// A scheme other than HTTP and HTTPS.
    #[error(
        "pod {pod}: container {container}: httpGet.scheme: {scheme:?} is neither HTTP nor HTTPS"
    )]
    InvalidScheme {
        /// `namespace/name`.
        pod: String,
        /// The container.
        container: String,
        /// As written.
        scheme: String,
    },
}

/// Resolves a probe. The host defaults to the first of `pod_ips` (the node's for a pod on the host
/// network).
pub fn probe_target(
    probe: &Probe,
    pod: &Pod,
    container: &Container,
    pod_ips: &[IpAddr],
) -> Result<ProbeTarget, TargetError> {
    let resolve = Resolve {
        pod,
        container,
        pod_ips,
    };
    if let Some(ExecAction { command }) = &probe.exec {
        let command = command.as_deref().unwrap_or_default();
        return Ok(ProbeTarget::Exec(expand_static(command, container)));
    }
    if let Some(action) = &probe.http_get {
        return resolve.http(action, PROBE_AGENT).map(ProbeTarget::Http);
    }
    if let Some(TCPSocketAction { host, port }) = &probe.tcp_socket {
        let authority = resolve.authority(host.as_deref(), port)?;
        return Ok(ProbeTarget::Tcp(authority));
    }
    if let Some(action) = &probe.grpc {
        return resolve.grpc(action).map(ProbeTarget::Grpc);
    }
    Err(resolve.no_handler("probe", "exec, httpGet, tcpSocket or grpc"))
}

/// Resolves a hook. `tcpSocket` is accepted by the API but can't be run, as upstream.
pub fn hook_target(
    handler: &LifecycleHandler,
    pod: &Pod,
    container: &Container,
    pod_ips: &[IpAddr],
) -> Result<HookTarget, TargetError> {
    let resolve = Resolve {
        pod,
        container,
        pod_ips,
    };
    if let Some(ExecAction { command }) = &handler.exec {
        return Ok(HookTarget::Exec(command.clone().unwrap_or_default()));
    }
    if let Some(action) = &handler.http_get {
        return Ok(HookTarget::Http {
            path: action.path.clone().unwrap_or_default(),
            target: resolve.http(action, HOOK_AGENT)?,
        });
    }
    match &handler.sleep {
        Some(sleep) => Ok(HookTarget::Sleep(sleep.seconds)),
        None => Err(resolve.no_handler("lifecycle hook", "exec, httpGet or sleep")),
    }
}

/// `namespace/name` of a pod, for messages.
pub(super) fn pod_identity(pod: &Pod) -> String {
    let part = |name: &Option<String>| name.clone().unwrap_or_default();
    format!(
        "{}/{}",
        part(&pod.metadata.namespace),
        part(&pod.metadata.name)
    )
}

struct Resolve<'a> {
    pod: &'a Pod,
    container: &'a Container,
    pod_ips: &'a [IpAddr],
}

impl Resolve<'_> {
    fn http(&self, action: &HTTPGetAction, agent: &'static str) -> Result<HttpTarget, TargetError> {
        let authority = self.authority(action.host.as_deref(), &action.port)?;
        let scheme = self.scheme(action.scheme.as_deref().unwrap_or_default())?;
        let (host, headers) = self.headers(action, agent)?;
        Ok(HttpTarget {
            url: Url::new(
                scheme,
                authority,
                action.path.as_deref().unwrap_or_default(),
            ),
            host,
            headers,
        })
    }

    fn grpc(&self, action: &GRPCAction) -> Result<GrpcTarget, TargetError> {
        Ok(GrpcTarget {
            authority: self.authority(None, &IntOrString::Int(action.port))?,
            service: action.service.clone().unwrap_or_default(),
        })
    }

    fn scheme(&self, scheme: &str) -> Result<Scheme, TargetError> {
        match scheme.to_ascii_lowercase().as_str() {
            "" | "http" => Ok(Scheme::Http),
            "https" => Ok(Scheme::Https),
            _ => Err(TargetError::InvalidScheme {
                pod: pod_identity(self.pod),
                container: self.container.name.clone(),
                scheme: scheme.to_owned(),
            }),
        }
    }

    fn authority(&self, host: Option<&str>, port: &IntOrString) -> Result<Authority, TargetError> {
        let host = match host.filter(|host| !host.is_empty()) {
            Some(host) => host.to_owned(),
            None => self.pod_ip()?.to_string(),
        };
        Ok(Authority {
            host,
            port: self.port(port)?,
        })
    }

    fn pod_ip(&self) -> Result<IpAddr, TargetError> {
        self.pod_ips
            .first()
            .copied()
            .ok_or_else(|| TargetError::NoPodIp {
                pod: pod_identity(self.pod),
                container: self.container.name.clone(),
            })
    }

    fn port(&self, port: &IntOrString) -> Result<u16, TargetError> {
        let number = match port {
            IntOrString::Int(number) => i64::from(*number),
            IntOrString::String(name) => self.named_port(name)?,
        };
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(TargetError::InvalidPort {
                pod: pod_identity(self.pod),
                container: self.container.name.clone(),
                port: number,
            }),
        }
    }

    fn named_port(&self, name: &str) -> Result<i64, TargetError> {
        let ports = self.container.ports.as_deref().unwrap_or_default();
        let declared = ports.iter().find(|port| port.name.as_deref() == Some(name));
        if let Some(port) = declared {
            return Ok(i64::from(port.container_port));
        }
        name.parse().map_err(|_| TargetError::UnknownPort {
            pod: pod_identity(self.pod),
            container: self.container.name.clone(),
            port: name.to_owned(),
            known: known_names(ports.iter().filter_map(|port| port.name.as_deref())),
        })
    }

    fn headers(
        &self,
        action: &HTTPGetAction,
        agent: &'static str,
    ) -> Result<(Option<HeaderValue>, HeaderMap), TargetError> {
        let mut headers = HeaderMap::new();
        for header in action.http_headers.as_deref().unwrap_or_default() {
            let invalid = |part| self.invalid_header(&header.name, part);
            let name =
                HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| invalid("name"))?;
            let value = HeaderValue::from_bytes(header.value.as_bytes());
            headers.append(name, value.map_err(|_| invalid("value"))?);
        }
        let host = headers.get(HOST).filter(|host| !host.is_empty()).cloned();
        default_or_remove(&mut headers, &USER_AGENT, agent);
        default_or_remove(&mut headers, &ACCEPT, "*/*");
        for name in SET_BY_THE_CLIENT {
            headers.remove(name);
        }
        Ok((host, headers))
    }

    fn invalid_header(&self, header: &str, part: &'static str) -> TargetError {
        TargetError::InvalidHeader {
            pod: pod_identity(self.pod),
            container: self.container.name.clone(),
            header: header.to_owned(),
            part,
        }
    }

    fn no_handler(&self, handler: &'static str, cure: &'static str) -> TargetError {
        TargetError::NoHandler {
            pod: pod_identity(self.pod),
            container: self.container.name.clone(),
            handler,
            cure,
        }
    }
}

/// Headers that describe the message itself: written by the client, never by the pod's author.
const SET_BY_THE_CLIENT: [&str; 5] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "trailer",
];

/// An absent header gets its default; one set to nothing is not sent at all.
fn default_or_remove(headers: &mut HeaderMap, name: &HeaderName, default: &'static str) {
    match headers.get(name) {
        None => {
            headers.insert(name, HeaderValue::from_static(default));
        }
        Some(value) if value.is_empty() => {
            headers.remove(name);
        }
        Some(_) => {}
    }
}

fn known_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerPort, HTTPHeader, SleepAction};

    fn pod() -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some("default".into());
        pod.metadata.name = Some("web".into());
        pod
    }

    fn container() -> Container {
        let port = |name: &str, container_port| ContainerPort {
            name: Some(name.into()),
            container_port,
            ..ContainerPort::default()
        };
        Container {
            name: "nginx".into(),
            ports: Some(vec![port("http", 8080), port("80", 8081)]),
            ..Container::default()
        }
    }

    fn http(action: HTTPGetAction) -> Probe {
        Probe {
            http_get: Some(action),
            ..Probe::default()
        }
    }

    fn resolve(probe: &Probe, ips: &[&str]) -> Result<ProbeTarget, TargetError> {
        let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        probe_target(probe, &pod(), &container(), &ips)
    }

    fn check_url(action: HTTPGetAction, ips: &[&str], expected: &str) {
        match resolve(&http(action), ips) {
            Ok(ProbeTarget::Http(target)) => assert_eq!(target.url.to_string(), expected),
            other => panic!("{expected}: {other:?}"),
        }
    }

    fn get(port: IntOrString, path: &str) -> HTTPGetAction {
        HTTPGetAction {
            port,
            path: Some(path.into()),
            ..HTTPGetAction::default()
        }
    }

    #[test]
    fn urls() {
        let named = |name: &str| IntOrString::String(name.into());
        check_url(
            get(IntOrString::Int(80), "/"),
            &["10.0.0.7"],
            "http://10.0.0.7:80/",
        );
        check_url(
            get(IntOrString::Int(80), ""),
            &["10.0.0.7"],
            "http://10.0.0.7:80/",
        );
        check_url(
            get(named("http"), "ok"),
            &["10.0.0.7"],
            "http://10.0.0.7:8080/ok",
        );
        check_url(
            get(named("80"), "/"),
            &["10.0.0.7"],
            "http://10.0.0.7:8081/",
        );
        check_url(get(named("99"), "/"), &["10.0.0.7"], "http://10.0.0.7:99/");
        check_url(
            get(IntOrString::Int(80), "/a?b=c"),
            &["fd00::1", "10.0.0.7"],
            "http://[fd00::1]:80/a?b=c",
        );
        let mut action = get(IntOrString::Int(443), "/x");
        action.host = Some("example.org".into());
        action.scheme = Some("HTTPS".into());
        check_url(action, &[], "https://example.org:443/x");
    }

    #[test]
    fn ports_that_lead_nowhere() {
        let tcp = |port| Probe {
            tcp_socket: Some(TCPSocketAction { host: None, port }),
            ..Probe::default()
        };
        let message = |port| resolve(&tcp(port), &["10.0.0.7"]).unwrap_err().to_string();
        assert_eq!(
            message(IntOrString::String("grpc".into())),
            "pod default/web: container nginx: port \"grpc\" is neither a number nor a name in ports \
             (has: http, 80)"
        );
        for port in [0, -1, 65536] {
            assert_eq!(
                message(IntOrString::Int(port)),
                format!("pod default/web: container nginx: invalid port number: {port}")
            );
        }
        let no_ip = resolve(&tcp(IntOrString::Int(80)), &[]).unwrap_err();
        assert!(matches!(no_ip, TargetError::NoPodIp { .. }));
    }

    fn sent(headers: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
        let mut action = get(IntOrString::Int(80), "/");
        let header = |(name, value): &(&str, &str)| HTTPHeader {
            name: (*name).into(),
            value: (*value).into(),
        };
        action.http_headers = Some(headers.iter().map(header).collect());
        let Ok(ProbeTarget::Http(target)) = resolve(&http(action), &["10.0.0.7"]) else {
            panic!("not an HTTP target");
        };
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let mut lines: Vec<String> = target
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect();
        lines.sort();
        (target.host.as_ref().map(text), lines)
    }

    #[test]
    fn headers() {
        for (given, host, expected) in [
            (
                &[][..],
                None,
                &["accept: */*", "user-agent: kube-probe/1.36"][..],
            ),
            (&[("User-Agent", ""), ("Accept", "")][..], None, &[][..]),
            (
                &[
                    ("user-agent", "me"),
                    ("ACCEPT", "a/b"),
                    ("X", "1"),
                    ("x", "2"),
                    ("y", ""),
                ][..],
                None,
                &["accept: a/b", "user-agent: me", "x: 1", "x: 2", "y: "][..],
            ),
            (
                &[
                    ("Host", "web.example"),
                    ("Content-Length", "9"),
                    ("Accept", ""),
                ][..],
                Some("web.example"),
                &["user-agent: kube-probe/1.36"][..],
            ),
        ] {
            let (sent_host, lines) = sent(given);
            assert_eq!(sent_host.as_deref(), host, "{given:?}");
            assert_eq!(lines, expected, "{given:?}");
        }
    }

    #[test]
    fn a_header_that_breaks_the_request_is_refused() {
        let mut action = get(IntOrString::Int(80), "/");
        action.http_headers = Some(vec![HTTPHeader {
            name: "X-A".into(),
            value: "a\r\nb: c".into(),
        }]);
        let error = resolve(&http(action), &["10.0.0.7"]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("\"X-A\" can't be sent: invalid value")
        );
    }

    #[test]
    fn grpc_asks_the_pod_for_a_service() {
        let probe = Probe {
            grpc: Some(GRPCAction {
                port: 9000,
                service: Some("live".into()),
            }),
            ..Probe::default()
        };
        let expected = GrpcTarget {
            authority: Authority {
                host: "fd00::1".into(),
                port: 9000,
            },
            service: "live".into(),
        };
        assert_eq!(
            resolve(&probe, &["fd00::1"]),
            Ok(ProbeTarget::Grpc(expected))
        );
    }

    #[test]
    fn hooks() {
        let hook = |handler: &LifecycleHandler| hook_target(handler, &pod(), &container(), &[]);
        let sleep = LifecycleHandler {
            sleep: Some(SleepAction { seconds: 5 }),
            ..LifecycleHandler::default()
        };
        assert_eq!(hook(&sleep), Ok(HookTarget::Sleep(5)));
        let tcp = LifecycleHandler {
            tcp_socket: Some(TCPSocketAction::default()),
            ..LifecycleHandler::default()
        };
        assert_eq!(
            hook(&tcp).unwrap_err().to_string(),
            "pod default/web: container nginx: lifecycle hook has no action that can be run: set \
             exec, httpGet or sleep"
        );
        let exec = LifecycleHandler {
            exec: Some(ExecAction {
                command: Some(vec!["echo".into(), "$(A)".into()]),
            }),
            ..LifecycleHandler::default()
        };
        let expected = HookTarget::Exec(vec!["echo".into(), "$(A)".into()]);
        assert_eq!(hook(&exec), Ok(expected));
    }
}
