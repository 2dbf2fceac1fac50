//! What is done for a request about a resource. Each verb has its file; this one chooses.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use jiff::Timestamp;
use keelson_api::status_error::Reason;
use keelson_schema::resource_table::Verb as RowVerb;

use crate::api::Api;
use crate::auth::User;
use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::kinds::Kind;
use crate::respond::{Output, Reply, takes_gzip};
use crate::route::{Query, ResourceRequest, Verb};

pub(crate) mod binding;
pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod decode;
pub(crate) mod delete;
pub(crate) mod discovery;
pub(crate) mod edit;
pub(crate) mod eviction;
pub(crate) mod get;
pub(crate) mod judge;
pub(crate) mod list;
pub(crate) mod openapi;
pub(crate) mod options;
pub(crate) mod parts;
pub(crate) mod path;
pub(crate) mod present;
pub(crate) mod review;
pub(crate) mod scale;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod watch;

/// Subresources that are a part of their object.
const PARTS: [&str; 5] = [
    "status",
    "approval",
    "ephemeralcontainers",
    "finalize",
    "resize",
];
/// The largest body.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// A request about a resource, understood and allowed.
pub(crate) struct Call {
    pub(crate) request: ResourceRequest,
    pub(crate) kind: Arc<Kind>,
    pub(crate) user: User,
    pub(crate) query: Query,
    pub(crate) output: Output,
    pub(crate) headers: HeaderMap,
    pub(crate) now: Timestamp,
}

impl Call {
    /// The refusal of a verb.
    pub(crate) fn not_allowed(&self) -> Failure {
        let action = self.request.verb.as_str();
        Failure::method_not_allowed(&self.kind.group, &self.kind.plural, action)
    }

    /// What a watch keeps of its request.
    pub(crate) fn for_watch(&self) -> Self {
        Self {
            request: self.request.clone(),
            kind: Arc::clone(&self.kind),
            user: User::default(),
            query: Query::default(),
            output: self.output,
            headers: HeaderMap::new(),
            now: self.now,
        }
    }

    /// There is no such object.
    pub(crate) fn not_found(&self) -> Failure {
        Failure::not_found(&self.kind.group, &self.kind.plural, &self.request.name)
    }

    /// The namespace; what lives in the cluster has none.
    pub(crate) fn namespace(&self) -> &str {
        if self.kind.is_namespaced() {
            &self.request.namespace
        } else {
            ""
        }
    }
}

/// Answers a request about a resource.
pub(crate) async fn resource(
    api: &Arc<Api>,
    call: Call,
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    check_scope(&call)?;
    if connect::is_relayed(&call.request.subresource) {
        check_part(&call)?;
        return connect::answer(api, &call, request).await;
    }
    let may_pack = takes_gzip(&call.headers);
    let reply = if call.request.subresource.is_empty() {
        main(api, call, request).await?
    } else {
        subresource(api, call, request).await?
    };
    Ok(reply.respond(may_pack))
}

/// What lives in the cluster is not asked for in a namespace, and one object of a namespaced kind
/// not without.
fn check_scope(call: &Call) -> Outcome<()> {
    let namespaced = call.kind.is_namespaced();
    let given = !call.request.namespace.is_empty();
    let own = call.request.resource == "namespaces";
    let one =
        !call.request.name.is_empty() && !matches!(call.request.verb, Verb::List | Verb::Watch);
    match (namespaced, given) {
        (false, true) if !own => Err(Failure::unknown_path()),
        (true, false) if one || call.request.verb == Verb::Create => Err(Failure::unknown_path()),
        _ => Ok(()),
    }
}

async fn main(api: &Arc<Api>, call: Call, request: Request<Incoming>) -> Outcome<Reply> {
    if !call.kind.verbs.has(row_verb(call.request.verb)) {
        return Err(call.not_allowed());
    }
    match call.request.verb {
        Verb::Create if !call.request.name.is_empty() => Err(call.not_allowed()),
        Verb::Create if review::is_review(&call.kind) => {
            review::answer(api, &call, body(request).await?).await
        }
        Verb::Create if call.kind.kind == "Binding" => {
            binding::answer(api, &call, body(request).await?).await
        }
        Verb::Get => get::answer(api, &call).await,
        Verb::List => list::answer(api, &call).await,
        Verb::Watch => watch::answer(api, &call).await,
        Verb::Create => create::answer(api, &call, body(request).await?).await,
        Verb::Update => update::put(api, &call, body(request).await?).await,
        Verb::Patch => update::patch(api, &call, body(request).await?).await,
        Verb::Delete => delete::one(api, &call, body(request).await?).await,
        Verb::DeleteCollection => delete::collection(api, &call, body(request).await?).await,
    }
}

/// The kind has the subresource, and it takes the verb.
fn check_part(call: &Call) -> Outcome<()> {
    let part = call.kind.subresource(&call.request.subresource);
    let part = part.ok_or_else(Failure::unknown_path)?;
    if !part.verbs.has(row_verb(call.request.verb)) {
        return Err(call.not_allowed());
    }
    Ok(())
}

async fn subresource(api: &Arc<Api>, call: Call, request: Request<Incoming>) -> Outcome<Reply> {
    check_part(&call)?;
    match (call.request.subresource.as_str(), call.request.verb) {
        ("token", Verb::Create) => token::answer(api, &call, body(request).await?).await,
        ("scale", _) => scale::answer(api, &call, body(request).await?).await,
        ("binding", _) => binding::answer(api, &call, body(request).await?).await,
        ("eviction", _) => eviction::answer(api, &call, body(request).await?).await,
        (part, Verb::Get) if PARTS.contains(&part) => get::answer(api, &call).await,
        (part, Verb::Update) if PARTS.contains(&part) => {
            update::put(api, &call, body(request).await?).await
        }
        (part, Verb::Patch) if PARTS.contains(&part) => {
            update::patch(api, &call, body(request).await?).await
        }
        _ => Err(Failure::new(
            Reason::MethodNotAllowed,
            format!("{} is not supported yet", call.request.subresource),
        )),
    }
}

/// The whole body of a request.
pub(crate) async fn body(request: Request<Incoming>) -> Outcome<Bytes> {
    let limited = Limited::new(request.into_body(), MAX_BODY);
    let collected = limited.collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let message = format!("Request entity too large: limit is {MAX_BODY}");
            Failure::new(Reason::RequestEntityTooLarge, message)
        } else {
            Failure::bad_request(format!("the request's body could not be read: {error}"))
        }
    })?;
    Ok(collected.to_bytes())
}

fn row_verb(verb: Verb) -> RowVerb {
    match verb {
        Verb::Get => RowVerb::Get,
        Verb::List => RowVerb::List,
        Verb::Watch => RowVerb::Watch,
        Verb::Create => RowVerb::Create,
        Verb::Update => RowVerb::Update,
        Verb::Patch => RowVerb::Patch,
        Verb::Delete => RowVerb::Delete,
        Verb::DeleteCollection => RowVerb::DeleteCollection,
    }
}
