//! Method and path to the thing asked for. Pure: knows no server, no user and no pod.

use hyper::Method;

use super::query::decode_segment;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/healthz` and its named checks.
    Healthz(HealthCheck),
    /// `/pods`: the pods this node was told to run.
    Pods,
    /// `/runningpods/`: the pods the runtime runs.
    RunningPods,
    /// `/containerLogs/NAMESPACE/POD/CONTAINER`.
    ContainerLogs(ContainerTarget),
    /// `/metrics` and its siblings.
    Metrics(MetricsPage),
    /// `/stats/summary`.
    StatsSummary,
    /// `/configz`.
    Configz,
    /// `/logs/PATH`: a file or directory below the node's log directory; empty for the directory
    /// itself.
    NodeLogs(String),
    /// Requests that need the connection itself.
    Streaming(StreamingRoute),
    /// `/checkpoint/NAMESPACE/POD/CONTAINER`.
    Checkpoint(ContainerTarget),
    /// `/debug/pprof/`: profiles that this program has not.
    Profiling,
    /// `/debug/flags/v`.
    DebugFlags,
    /// `/status`: what `keelson status` prints; unix socket only.
    Status,
    /// `/why`: what `keelson why POD` prints; unix socket only.
    Why,
}

/// One named health check, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheck {
    /// Every check.
    All,
    /// The server answers.
    Ping,
    /// The log is being written.
    Log,
    /// The pod loop has turned lately.
    SyncLoop,
}

/// One of the pages of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsPage {
    /// `/metrics`: the kubelet itself.
    Kubelet,
    /// `/metrics/resource`: use of CPU and memory by node, pod and container.
    Resource,
    /// `/metrics/probes`: probe outcomes.
    Probes,
    /// `/metrics/cadvisor`: use of everything by container.
    Cadvisor,
}

/// A container named in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerTarget {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID, where the path names it.
    pub uid: Option<String>,
    /// The container's name.
    pub container: String,
}

/// A pod named in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTarget {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID, where the path names it.
    pub uid: Option<String>,
}

/// Requests that take over the connection, or run a command to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamingRoute {
    /// `/exec/NAMESPACE/POD[/UID]/CONTAINER`.
    Exec(ContainerTarget),
    /// `/attach/NAMESPACE/POD[/UID]/CONTAINER`.
    Attach(ContainerTarget),
    /// `/run/NAMESPACE/POD[/UID]/CONTAINER`.
    Run(ContainerTarget),
    /// `/portForward/NAMESPACE/POD[/UID]`.
    PortForward(PodTarget),
}

/// Why a method and path lead nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such path.
    #[error("404: Page Not Found")]
    NotFound,
    /// The path exists, the method is not for it.
    #[error("405: Method Not Allowed")]
    MethodNotAllowed,
}

/// Finds what `method` on `path` (still percent-encoded, without the query) asks for.
pub fn route(method: &Method, path: &str) -> Result<Route, RouteError> {
    let trimmed = path.strip_prefix('/').ok_or(RouteError::NotFound)?;
    let (root, rest) = trimmed.split_once('/').unwrap_or((trimmed, ""));
    let found = match root {
        "exec" | "attach" | "run" | "portForward" => streaming(root, rest),
        "containerLogs" => container(rest, false).map(Route::ContainerLogs),
        "checkpoint" => container(rest, false).map(Route::Checkpoint),
        "logs" => node_logs(rest),
        "metrics" => metrics(rest),
        "healthz" => health(rest),
        _ => fixed(trimmed),
    };
    let found = found.ok_or(RouteError::NotFound)?;
    if allows(&found, method) {
        Ok(found)
    } else {
        Err(RouteError::MethodNotAllowed)
    }
}

/// The methods a route answers to, for the `Allow` header.
pub fn allowed_methods(route: &Route) -> &'static str {
    match route {
        Route::Streaming(StreamingRoute::Run(_)) | Route::Checkpoint(_) => "POST",
        Route::Streaming(_) => "GET, POST",
        Route::DebugFlags => "PUT",
        Route::Healthz(_) | Route::Metrics(_) | Route::Configz => "GET, HEAD",
        _ => "GET",
    }
}

fn allows(route: &Route, method: &Method) -> bool {
    allowed_methods(route)
        .split(", ")
        .any(|allowed| allowed == method.as_str())
}

fn fixed(path: &str) -> Option<Route> {
    Some(match path.strip_suffix('/').unwrap_or(path) {
        "pods" => Route::Pods,
        "runningpods" => Route::RunningPods,
        "stats/summary" => Route::StatsSummary,
        "configz" => Route::Configz,
        "debug/flags/v" => Route::DebugFlags,
        "status" => Route::Status,
        "why" => Route::Why,
        pprof if pprof.starts_with("debug/pprof") => Route::Profiling,
        _ => return None,
    })
}

fn health(check: &str) -> Option<Route> {
    Some(Route::Healthz(match check {
        "" => HealthCheck::All,
        "ping" => HealthCheck::Ping,
        "log" => HealthCheck::Log,
        "syncloop" => HealthCheck::SyncLoop,
        _ => return None,
    }))
}

fn metrics(page: &str) -> Option<Route> {
    Some(Route::Metrics(match page {
        "" => MetricsPage::Kubelet,
        "resource" => MetricsPage::Resource,
        "probes" => MetricsPage::Probes,
        "cadvisor" => MetricsPage::Cadvisor,
        _ => return None,
    }))
}

fn node_logs(rest: &str) -> Option<Route> {
    let path = decode_segment(rest)?;
    (!path.contains('\0')).then(|| Route::NodeLogs(path.into_owned()))
}

fn streaming(root: &str, rest: &str) -> Option<Route> {
    Some(Route::Streaming(match root {
        "exec" => StreamingRoute::Exec(container(rest, true)?),
        "attach" => StreamingRoute::Attach(container(rest, true)?),
        "run" => StreamingRoute::Run(container(rest, true)?),
        _ => StreamingRoute::PortForward(pod(rest)?),
    }))
}

fn container(rest: &str, uid_allowed: bool) -> Option<ContainerTarget> {
    let mut names = segments(rest)?.into_iter();
    let (namespace, pod) = (names.next()?, names.next()?);
    let (third, fourth) = (names.next()?, names.next());
    let (uid, container) = match fourth {
        Some(container) if uid_allowed => (Some(third), container),
        Some(_) => return None,
        None => (None, third),
    };
    names.next().is_none().then_some(ContainerTarget {
        namespace,
        pod,
        uid,
        container,
    })
}

fn pod(rest: &str) -> Option<PodTarget> {
    let mut names = segments(rest)?.into_iter();
    let target = PodTarget {
        namespace: names.next()?,
        pod: names.next()?,
        uid: names.next(),
    };
    names.next().is_none().then_some(target)
}

fn segments(rest: &str) -> Option<Vec<String>> {
    rest.strip_suffix('/')
        .unwrap_or(rest)
        .split('/')
        .map(|segment| decode_segment(segment).and_then(name))
        .collect()
}

/// No object is called so; a name with a slash could only be an attempt to leave a directory.
fn name(segment: std::borrow::Cow<'_, str>) -> Option<String> {
    let plain = !segment.is_empty() && !segment.contains(['/', '\0']);
    (plain && segment != "." && segment != "..").then(|| segment.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uid: Option<&str>) -> ContainerTarget {
        ContainerTarget {
            namespace: "default".into(),
            pod: "web".into(),
            uid: uid.map(Into::into),
            container: "nginx".into(),
        }
    }

    fn check(method: Method, path: &str, expected: Result<Route, RouteError>) {
        assert_eq!(route(&method, path), expected, "{method} {path}");
    }

    #[test]
    fn fixed_paths() {
        for (path, expected) in [
            ("/healthz", Route::Healthz(HealthCheck::All)),
            ("/healthz/", Route::Healthz(HealthCheck::All)),
            ("/healthz/ping", Route::Healthz(HealthCheck::Ping)),
            ("/healthz/log", Route::Healthz(HealthCheck::Log)),
            ("/healthz/syncloop", Route::Healthz(HealthCheck::SyncLoop)),
            ("/pods", Route::Pods),
            ("/pods/", Route::Pods),
            ("/runningpods/", Route::RunningPods),
            ("/runningpods", Route::RunningPods),
            ("/metrics", Route::Metrics(MetricsPage::Kubelet)),
            ("/metrics/resource", Route::Metrics(MetricsPage::Resource)),
            ("/metrics/probes", Route::Metrics(MetricsPage::Probes)),
            ("/metrics/cadvisor", Route::Metrics(MetricsPage::Cadvisor)),
            ("/stats/summary", Route::StatsSummary),
            ("/configz", Route::Configz),
            ("/debug/pprof/heap", Route::Profiling),
            ("/status", Route::Status),
            ("/why", Route::Why),
            ("/logs", Route::NodeLogs(String::new())),
            ("/logs/", Route::NodeLogs(String::new())),
            ("/logs/a/b.log", Route::NodeLogs("a/b.log".into())),
            (
                "/logs/..%2f..%2fetc",
                Route::NodeLogs("../../etc".to_owned()),
            ),
        ] {
            check(Method::GET, path, Ok(expected));
        }
    }

    #[test]
    fn containers_and_pods() {
        check(
            Method::GET,
            "/containerLogs/default/web/nginx",
            Ok(Route::ContainerLogs(target(None))),
        );
        for method in [Method::GET, Method::POST] {
            check(
                method.clone(),
                "/exec/default/web/nginx",
                Ok(Route::Streaming(StreamingRoute::Exec(target(None)))),
            );
            check(
                method,
                "/attach/default/web/u-1/nginx",
                Ok(Route::Streaming(StreamingRoute::Attach(target(Some(
                    "u-1",
                ))))),
            );
        }
        check(
            Method::POST,
            "/run/default/web/nginx",
            Ok(Route::Streaming(StreamingRoute::Run(target(None)))),
        );
        check(
            Method::POST,
            "/portForward/default/web",
            Ok(Route::Streaming(StreamingRoute::PortForward(PodTarget {
                namespace: "default".into(),
                pod: "web".into(),
                uid: None,
            }))),
        );
        check(
            Method::POST,
            "/checkpoint/default/web/nginx",
            Ok(Route::Checkpoint(target(None))),
        );
    }

    #[test]
    fn nowhere() {
        for path in [
            "",
            "/",
            "pods",
            "/nothing",
            "/healthz/etcd",
            "/metrics/slis/x",
            "/exec",
            "/exec/default/web",
            "/exec/default//nginx",
            "/exec/a/b/c/d/e",
            "/containerLogs/default/web/u/nginx",
            "/containerLogs/default/../nginx",
            "/containerLogs/default/%2e%2e/nginx",
            "/containerLogs/default/a%2fb/nginx",
            "/portForward/default",
            "/logs/%00",
        ] {
            check(Method::GET, path, Err(RouteError::NotFound));
        }
    }

    #[test]
    fn wrong_methods() {
        for (method, path) in [
            (Method::POST, "/pods"),
            (Method::DELETE, "/exec/default/web/nginx"),
            (Method::GET, "/run/default/web/nginx"),
            (Method::GET, "/checkpoint/default/web/nginx"),
            (Method::PUT, "/containerLogs/default/web/nginx"),
        ] {
            check(method, path, Err(RouteError::MethodNotAllowed));
        }
    }
}
