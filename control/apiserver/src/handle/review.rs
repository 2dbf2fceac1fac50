//! Reviews: questions that are answered and not kept. What is answered is decided in
//! `auth::access_review` and `auth::service_account::review`.

use bytes::Bytes;
use hyper::{StatusCode, header};
use serde_json::Value;

use crate::admit::fields;
use crate::api::Api;
use crate::auth::access_review::{self, question};
use crate::auth::authorize::Attributes;
use crate::auth::service_account::review;
use crate::failure::{Failure, Outcome};
use crate::handle::options::WriteOptions;
use crate::handle::{Call, decode};
use crate::kinds::Kind;
use crate::respond::{Reply, header_text, negotiate};

/// Whether objects of the kind are questions.
pub(crate) fn is_review(kind: &Kind) -> bool {
    matches!(
        &*kind.group,
        "authentication.k8s.io" | "authorization.k8s.io"
    )
}

/// Answers.
pub(crate) async fn answer(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    // An answer has no metadata to be shown in a table.
    negotiate::whole(header_text(&call.headers, header::ACCEPT))?;
    let options = WriteOptions::read(&call.query, "")?;
    let decoded = decode::object(&call.kind, &call.headers, &body, options.validation)?;
    let mut object = decoded.object;
    object["status"] = status(api, call, &object).await?;
    Ok(Reply::value(StatusCode::CREATED, &object).warning(decoded.warnings))
}

async fn status(api: &Api, call: &Call, object: &Value) -> Outcome<Value> {
    match &*call.kind.kind {
        "TokenReview" => token(api, object).await,
        "SelfSubjectReview" => Ok(access_review::who(&call.user)),
        "SelfSubjectRulesReview" => {
            let namespace = fields::text(object, "/spec/namespace");
            if namespace.is_empty() {
                return Err(Failure::bad_request("no namespace on request"));
            }
            let look = |policy: &_| access_review::rules(&call.user, namespace, policy);
            api.authorizer.with_policy(&api.registry, look).await
        }
        kind => {
            let asked = question(kind, call.namespace(), object)?;
            let wanted = Attributes {
                user: asked.user.as_ref().unwrap_or(&call.user),
                verb: asked.verb,
                what: asked.what,
            };
            let decision = api.authorizer.decide(&api.registry, &wanted).await?;
            Ok(access_review::status(&decision))
        }
    }
}

async fn token(api: &Api, object: &Value) -> Outcome<Value> {
    let token = fields::text(object, "/spec/token");
    if token.is_empty() {
        return Err(Failure::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    if let Some(user) = api.tokens.user(token) {
        return Ok(review::status(Ok((user, &[]))));
    }
    let audiences: Vec<String> = fields::texts(object, "/spec/audiences")
        .map(str::to_owned)
        .collect();
    match api.accounts.owner(&api.registry, token, &audiences).await {
        Ok(owner) => Ok(review::status(Ok((&owner.user, &owner.audiences)))),
        Err(failure) if failure.code() == 401 => Ok(review::status(Err("invalid bearer token"))),
        Err(failure) => Err(failure),
    }
}
