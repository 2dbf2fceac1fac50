//! `TokenRequest`: what a token of a service account says. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Find, Issuers};
use crate::admit::fields;
use crate::auth::SERVICE_ACCOUNT_PREFIX;
use crate::failure::{Failure, Outcome};

/// Seconds that kubelets ask for: the odd number marks tokens that may be extended.
const MARKED: i64 = 3607;
const EXTENDED: i64 = 365 * 24 * 60 * 60;
const DEFAULT: i64 = 3600;
const LEAST: i64 = 600;
const MOST: i64 = 1 << 32;

/// A token to be signed, and the request as it is answered but for the token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Issue {
    pub(crate) claims: Value,
    pub(crate) answer: Value,
    pub(crate) warnings: Vec<String>,
}

/// Decides what a token for the account says. `id` names the token.
pub(crate) fn decide(
    account: &Value,
    request: &Value,
    issuers: &Issuers,
    now: Timestamp,
    id: &str,
    find: Find<'_>,
) -> Outcome<Issue> {
    let asked = fields::number(request, "/spec/expirationSeconds").unwrap_or(DEFAULT);
    check_duration(account, asked)?;
    let mut audiences: Vec<&str> = fields::texts(request, "/spec/audiences").collect();
    if audiences.is_empty() {
        audiences = issuers.audiences.iter().map(String::as_str).collect();
    }
    let bound = bound(account, request, find)?;
    let mut warnings = Vec::new();
    let mut seconds = asked;
    if issuers.longest > 0 && asked > issuers.longest {
        seconds = issuers.longest;
        warnings.push(format!(
            "requested expiration of {asked} seconds shortened to {seconds} seconds"
        ));
    }
    let ours = audiences
        .iter()
        .all(|one| issuers.audiences.iter().any(|own| own == one));
    let extend = issuers.extend && ours && seconds == MARKED && bound.pod.is_some();
    let claims = claims(
        account, &bound, issuers, &audiences, now, seconds, extend, id,
    );
    let mut answer = request.clone();
    fields::put(&mut answer, &["spec", "audiences"], audiences);
    fields::put(&mut answer, &["spec", "expirationSeconds"], seconds);
    fields::put(
        &mut answer,
        &["status", "expirationTimestamp"],
        text_of(now.as_second() + seconds),
    );
    Ok(Issue {
        claims,
        answer,
        warnings,
    })
}

fn text_of(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn check_duration(account: &Value, seconds: i64) -> Outcome<()> {
    let why = match seconds {
        ..LEAST => "may not specify a duration less than 10 minutes",
        LEAST..=MOST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let error = (
        "spec.expirationSeconds".to_owned(),
        "FieldValueInvalid".to_owned(),
        format!("Invalid value: {seconds}: {why}"),
    );
    Err(Failure::invalid(
        "authentication.k8s.io",
        "TokenRequest",
        fields::name(account),
        [error],
    ))
}

/// What a token ends with.
#[derive(Default)]
struct Bound {
    pod: Option<Value>,
    secret: Option<Value>,
    node: Option<Value>,
}

fn bound(account: &Value, request: &Value, find: Find<'_>) -> Outcome<Bound> {
    let reference = fields::value(request, "/spec/boundObjectRef");
    if reference.is_null() {
        return Ok(Bound::default());
    }
    let (kind, name) = (
        fields::text(reference, "/kind"),
        fields::text(reference, "/name"),
    );
    let version = fields::text(reference, "/apiVersion");
    let namespace = fields::text(account, "/metadata/namespace");
    let (resource, namespace) = match (version, kind) {
        ("v1", "Pod") => ("pods", namespace),
        ("v1", "Secret") => ("secrets", namespace),
        ("v1", "Node") => ("nodes", ""),
        _ => {
            return Err(Failure::bad_request(format!(
                "cannot bind token to object of type {version}, Kind={kind}"
            )));
        }
    };
    let object =
        find(resource, namespace, name).ok_or_else(|| Failure::not_found("", resource, name))?;
    let wanted = fields::text(reference, "/uid");
    let uid = fields::text(&object, "/metadata/uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Failure::conflict("", resource, name, &why));
    }
    let named = Some(identity(&object));
    Ok(match resource {
        "pods" => Bound {
            node: node_of(account, &object, find)?,
            pod: named,
            secret: None,
        },
        "secrets" => Bound {
            secret: named,
            ..Bound::default()
        },
        _ => Bound {
            node: named,
            ..Bound::default()
        },
    })
}

/// The pod's node, for a pod that runs as this account.
fn node_of(account: &Value, pod: &Value, find: Find<'_>) -> Outcome<Option<Value>> {
    let account = fields::name(account);
    if fields::text(pod, "/spec/serviceAccountName") != account {
        let why = format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        );
        return Err(Failure::bad_request(why));
    }
    let name = fields::text(pod, "/spec/nodeName");
    if name.is_empty() {
        return Ok(None);
    }
    let found = find("nodes", "", name);
    Ok(Some(found.map_or_else(
        || json!({"name": name}),
        |node| identity(&node),
    )))
}

fn identity(object: &Value) -> Value {
    json!({"name": fields::name(object), "uid": fields::text(object, "/metadata/uid")})
}

#[expect(clippy::too_many_arguments, reason = "each becomes one claim")]
fn claims(
    account: &Value,
    bound: &Bound,
    issuers: &Issuers,
    audiences: &[&str],
    now: Timestamp,
    seconds: i64,
    extend: bool,
    id: &str,
) -> Value {
    let now = now.as_second();
    let (namespace, name) = (
        fields::text(account, "/metadata/namespace"),
        fields::name(account),
    );
    let mut own = json!({"namespace": namespace, "serviceaccount": identity(account)});
    for (field, object) in [
        ("pod", &bound.pod),
        ("secret", &bound.secret),
        ("node", &bound.node),
    ] {
        if let Some(object) = object {
            own[field] = object.clone();
        }
    }
    if extend {
        own["warnafter"] = json!(now + seconds);
    }
    let lasts = if extend { EXTENDED } else { seconds };
    json!({"iss": issuers.issuers.first(), "sub": format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
        "aud": audiences, "iat": now, "nbf": now, "exp": now + lasts, "jti": id, "kubernetes.io": own})
}
