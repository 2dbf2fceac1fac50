//! One request to one response: who may ask for what on which door, and who answers.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use keelson_cri::CriError;

use super::access::Access;
use super::auth::Credentials;
use super::body::{Body, json, text};
use super::query::Query;
use super::route::{MetricsPage, Route, RouteError, allowed_methods, route};
use super::streaming::Streaming;
use super::view::NodeView;
use super::{configz, container_logs, health, metrics, node_logs, pods, unix};
use crate::metrics::render::Text;
use crate::stats::Collector;
use crate::stats::collector::Depth;

/// What the servers are told to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// `enableDebuggingHandlers`.
    pub debugging: bool,
    /// `enableSystemLogHandler`.
    pub system_logs: bool,
    /// `enableProfilingHandler`.
    pub profiling: bool,
    /// `enableDebugFlagsHandler`.
    pub debug_flags: bool,
    /// The directory behind `/logs/`.
    pub log_directory: PathBuf,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            debugging: true,
            system_logs: true,
            profiling: true,
            debug_flags: true,
            log_directory: PathBuf::from("/var/log"),
        }
    }
}

/// The way a request came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// Port 10250, with what the client proved.
    Secure(Credentials),
    /// `readOnlyPort`: no proof asked, little shown.
    ReadOnly,
    /// Port 10248: health alone.
    Health,
    /// The administrator's unix socket.
    Local,
}

/// Everything that answering needs.
#[derive(Clone)]
pub struct Services {
    /// The node.
    pub view: Arc<dyn NodeView>,
    /// The runtime.
    pub cri: keelson_cri::Client,
    /// Requests that take the connection over; its owner ends the sessions.
    pub streaming: Streaming,
    /// Usage of node and pods.
    pub stats: Arc<Collector>,
    /// Who is let in.
    pub access: Arc<Access>,
    /// What is offered.
    pub offer: Offer,
}

impl Services {
    /// Answers one request.
    pub async fn answer(&self, door: &Door, request: Request<Incoming>) -> Response<Body> {
        let found = route(request.method(), request.uri().path());
        if let Door::Secure(credentials) = door {
            let header = request.headers().get(AUTHORIZATION);
            let header = header.and_then(|value| value.to_str().ok());
            let route = found.as_ref().ok();
            let admitted = self
                .access
                .admit(credentials, header, route, request.method());
            if let Err(refused) = admitted.await {
                return text(refused.status(), refused.to_string());
            }
        }
        match found {
            Err(RouteError::NotFound) => not_found(),
            Err(RouteError::MethodNotAllowed) => method_not_allowed(request.uri().path()),
            Ok(route) if !is_open(door, &route) => not_found(),
            Ok(route) => match self.offer.refusal(&route) {
                Some(refusal) if !matches!(door, Door::Local) => refusal,
                _ => self.dispatch(route, request).await,
            },
        }
    }

    async fn dispatch(&self, route: Route, request: Request<Incoming>) -> Response<Body> {
        let query = Query::of(request.uri());
        let view = self.view.as_ref();
        match route {
            Route::Healthz(check) => health::answer(check, &query, view.sync_loop_fresh()),
            Route::Pods => pods::list(&view.pods()),
            Route::RunningPods => pods::list(&view.running_pods()),
            Route::ContainerLogs(target) => container_logs::answer(&self.view, &target, &query),
            Route::Metrics(page) => self.metrics(page).await,
            Route::StatsSummary => self.stats_summary(&query).await,
            Route::Configz => configz::answer(&view.config_json()),
            Route::NodeLogs(_) if query.first("query").is_some() => not_supported("node log query"),
            Route::NodeLogs(path) => node_logs::answer(&self.offer.log_directory, &path),
            Route::Streaming(target) => self.streaming.serve(view, &target, request).await,
            Route::Checkpoint(_) => not_supported("checkpointing of containers"),
            Route::Profiling => not_supported("profiling"),
            Route::DebugFlags => not_supported("changing the log level of a running kubelet"),
            Route::Status => unix::status(view, &query),
            Route::Why => unix::why_answer(view, &query, Timestamp::now()),
        }
    }

    async fn metrics(&self, page: MetricsPage) -> Response<Body> {
        match page {
            MetricsPage::Kubelet => metrics::kubelet(self.view.as_ref()),
            MetricsPage::Probes => metrics::probes(),
            MetricsPage::Resource => usage_page(self.stats.resource_page().await),
            MetricsPage::Cadvisor => usage_page(self.stats.cadvisor_page().await),
        }
    }

    async fn stats_summary(&self, query: &Query) -> Response<Body> {
        let depth = match query.flag("only_cpu_and_memory") {
            true => Depth::CpuAndMemory,
            false => Depth::Everything,
        };
        let rendered = match self.stats.summary(depth).await {
            Ok(summary) => serde_json::to_vec(&*summary).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match rendered {
            Ok(rendered) => json(StatusCode::OK, rendered),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error),
        }
    }
}

fn usage_page(page: Result<Text, CriError>) -> Response<Body> {
    match page {
        Ok(page) => metrics::page(page),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

impl Offer {
    /// The answer to a request for what is turned off.
    fn refusal(&self, route: &Route) -> Option<Response<Body>> {
        let debugging = match route {
            Route::Streaming(_)
            | Route::ContainerLogs(_)
            | Route::RunningPods
            | Route::NodeLogs(_)
            | Route::Profiling => Some("Debug endpoints are disabled.\n"),
            _ => None,
        };
        let single = match route {
            Route::NodeLogs(_) if !self.system_logs => Some("logs endpoint is disabled.\n"),
            Route::Profiling if !self.profiling => Some("profiling endpoint is disabled.\n"),
            Route::DebugFlags if !self.debug_flags => Some("flags endpoint is disabled.\n"),
            _ => None,
        };
        let hidden = matches!(
            route,
            Route::Configz | Route::Checkpoint(_) | Route::DebugFlags
        );
        if !self.debugging && hidden {
            return Some(not_found());
        }
        let message = debugging.filter(|_| !self.debugging).or(single)?;
        Some(text(StatusCode::METHOD_NOT_ALLOWED, message))
    }
}

/// Whether the door shows that route at all.
fn is_open(door: &Door, route: &Route) -> bool {
    match door {
        Door::Local => true,
        Door::Secure(_) => !matches!(route, Route::Status | Route::Why),
        Door::Health => matches!(route, Route::Healthz(_)),
        Door::ReadOnly => matches!(
            route,
            Route::Healthz(_) | Route::Pods | Route::StatsSummary | Route::Metrics(_)
        ),
    }
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404: Page Not Found")
}

fn not_supported(what: &str) -> Response<Body> {
    text(
        StatusCode::NOT_IMPLEMENTED,
        format!("{what} is not supported\n"),
    )
}

fn method_not_allowed(path: &str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    let allowed = [Method::GET, Method::POST, Method::PUT]
        .iter()
        .find_map(|method| route(method, path).ok());
    if let Some(route) = allowed {
        let methods = HeaderValue::from_static(allowed_methods(&route));
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}
