//! The way of a request: understand, authenticate, impersonate, authorize, limit, handle, reply.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response};
use jiff::Timestamp;
use keelson_api::status_error::Reason;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::admit_metrics::AdmitMetrics;
use crate::allocate::Ranges;
use crate::auth::User;
use crate::auth::authenticate::{Shown, StaticTokens, is_public, nobody, shown};
use crate::auth::authorize::Attributes;
use crate::auth::authorizer::Authorizer;
use crate::auth::front::FrontProxy;
use crate::auth::tokens::Tokens;
use crate::auth::{impersonate, node};
use crate::backend::Backends;
use crate::body::Body;
use crate::engine::Engine;
use crate::failure::{Failure, Outcome};
use crate::handle::openapi::Documents;
use crate::handle::{self, Call};
use crate::limits::Limits;
use crate::registry::Registry;
use crate::request_metrics::RequestMetrics;
use crate::respond::{header_text, negotiate, refuse};
use crate::route::{self, Query, RequestInfo};
use crate::server::Answer;
use crate::server::tls::Peer;

/// The server's state.
pub(crate) struct Api {
    pub(crate) registry: Registry,
    pub(crate) tokens: StaticTokens,
    pub(crate) accounts: Tokens,
    pub(crate) authorizer: Authorizer,
    pub(crate) limits: Limits,
    /// Where addresses and ports of services come from.
    pub(crate) ranges: Ranges,
    /// Who is asked before a write, in order.
    pub(crate) admissions: Vec<Box<dyn Admission>>,
    /// Where others reach this server: `HOST:PORT`.
    pub(crate) address: String,
    /// The way to kubelets, pods and services.
    pub(crate) backends: Backends,
    pub(crate) openapi: Documents,
    pub(crate) metrics: RequestMetrics,
    pub(crate) admit_metrics: Arc<AdmitMetrics>,
    pub(crate) engine: Arc<Engine>,
    /// Proxies that say who calls.
    pub(crate) front: FrontProxy,
    /// Whether nobody in particular may ask for health.
    pub(crate) anonymous: bool,
    /// How long a request may take that is not long by nature.
    pub(crate) deadline: Duration,
    /// Which address of a node its kubelet is reached at, most wanted first.
    pub(crate) kubelet_addresses: Vec<String>,
    /// Begins when the server is asked to stop: watches end.
    pub(crate) stopping: CancellationToken,
    /// Whether the rest of `/readyz` can be believed: the start is over.
    pub(crate) started: CancellationToken,
}

/// A request, understood and allowed.
pub(crate) struct Admitted {
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) user: User,
    pub(crate) headers: HeaderMap,
    pub(crate) request: Request<Incoming>,
}

impl Answer for Api {
    async fn answer(
        self: Arc<Self>,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let info = route::resolve(request.method().as_str(), request.uri().path(), &query);
        let series = self.metrics.series(&info, self.is_served(&info));
        let long = is_long(&info, &query);
        let begun = Instant::now();
        let going = self
            .metrics
            .begin(matches!(info.verb(), "get" | "list" | "watch" | "head"));
        let response = match self.process(&peer, info, query, request).await {
            Ok(response) => response,
            Err(failure) => refuse(&failure),
        };
        drop(going);
        let took = (!long).then(|| begun.elapsed());
        self.metrics.done(series, response.status().as_u16(), took);
        response
    }
}

impl Api {
    fn is_served(&self, info: &RequestInfo) -> bool {
        let RequestInfo::Resource(asked) = info else {
            return false;
        };
        let kinds = &self.registry.kinds;
        let kind = kinds.find(&asked.group, &asked.version, &asked.resource);
        kind.is_some_and(|kind| {
            asked.subresource.is_empty() || kind.subresource(&asked.subresource).is_some()
        })
    }

    async fn process(
        self: &Arc<Self>,
        peer: &Peer,
        info: RequestInfo,
        query: Query,
        mut request: Request<Incoming>,
    ) -> Outcome<Response<Body>> {
        let user = self.caller(peer, &info, request.headers()).await?;
        let user = self.impersonate(user, request.headers()).await?;
        let public = matches!(&info, RequestInfo::Path { path, .. } if is_public(path));
        if !public {
            let wanted = Attributes::of(&user, &info);
            let selected = query.value("fieldSelector").and_then(node::selected);
            let check = self
                .authorizer
                .check_selected(&self.registry, &wanted, selected);
            check.await?;
        }
        // Who is passed on to another server needs them there, too.
        let headers = match &info {
            RequestInfo::Resource(asked) if asked.subresource.is_empty() => {
                std::mem::take(request.headers_mut())
            }
            _ => request.headers().clone(),
        };
        let long = is_long(&info, &query);
        let _place = self.limits.enter(info.verb(), long)?;
        let admitted = Admitted {
            info,
            query,
            user,
            headers,
            request,
        };
        if long {
            return self.handle(admitted).await;
        }
        let late = || Failure::new(Reason::Timeout, "the request did not finish in time");
        let handled = timeout(self.deadline, self.handle(admitted)).await;
        handled.unwrap_or_else(|_| Err(late()))
    }

    async fn caller(&self, peer: &Peer, info: &RequestInfo, headers: &HeaderMap) -> Outcome<User> {
        match shown(peer, &self.front, headers)? {
            Shown::User(user) => Ok(user),
            Shown::Token(token) => {
                if let Some(user) = self.tokens.user(token) {
                    return Ok(user.clone());
                }
                let owner = self.accounts.owner(&self.registry, token, &[]);
                Ok(owner.await?.user)
            }
            Shown::Nothing => match info {
                RequestInfo::Path { path, .. } if self.anonymous => nobody(path),
                _ => Err(Failure::unauthorized()),
            },
        }
    }

    async fn impersonate(&self, user: User, headers: &HeaderMap) -> Outcome<User> {
        let Some(wish) = impersonate::wish(headers)? else {
            return Ok(user);
        };
        for needed in wish.needs(&user) {
            self.authorizer.check(&self.registry, &needed).await?;
        }
        Ok(wish.user())
    }

    async fn handle(self: &Arc<Self>, admitted: Admitted) -> Outcome<Response<Body>> {
        let RequestInfo::Resource(resource) = admitted.info else {
            return handle::path::answer(self, admitted).await;
        };
        let kind = self
            .registry
            .kinds
            .find(&resource.group, &resource.version, &resource.resource)
            .ok_or_else(Failure::unknown_path)?;
        let headers = &admitted.headers;
        let output = negotiate::output(
            header_text(headers, header::ACCEPT),
            header_text(headers, header::USER_AGENT),
            &admitted.query,
        )?;
        let call = Call {
            kind,
            user: admitted.user,
            query: admitted.query,
            output,
            headers: admitted.headers,
            now: Timestamp::now(),
            request: resource,
        };
        handle::resource(self, call, admitted.request).await
    }
}

/// Whether a request is long by nature: it has no deadline and takes no place.
fn is_long(info: &RequestInfo, query: &Query) -> bool {
    let RequestInfo::Resource(request) = info else {
        return false;
    };
    request.verb == route::Verb::Watch
        || matches!(
            request.subresource.as_str(),
            "attach" | "exec" | "proxy" | "portforward"
        )
        || (request.subresource == "log" && query.flag("follow"))
}
