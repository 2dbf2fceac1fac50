//! Objects on their way out: conditions, grace, finalizers, and the end.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{self, Action, Ask};
use crate::allocate;
use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::options::dry_run;
use crate::handle::{Call, decode, list, present};
use crate::kinds::Kind;
use crate::registry::{Changed, Next, metadata};
use crate::respond::Reply;
use crate::route::Query;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// What a pod gets that names no grace.
const POD_GRACE: i64 = 30;
/// Kinds whose deletion is answered with the object.
const SHOWN: [&str; 7] = [
    "pods",
    "services",
    "serviceaccounts",
    "persistentvolumeclaims",
    "persistentvolumes",
    "resourcequotas",
    "podtemplates",
];

/// `DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    pub(crate) preconditions: Option<Preconditions>,
    pub(crate) dry_run: Vec<String>,
}

/// What must still be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Preconditions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the body, or the query where there is none.
    pub(crate) fn read(call: &Call, body: &[u8]) -> Outcome<Self> {
        let options = if body.iter().all(u8::is_ascii_whitespace) {
            Self::of_query(&call.query)?
        } else {
            let (value, _) = decode::tree(&call.headers, body)?;
            serde_json::from_value(value)
                .map_err(|error| Failure::bad_request(format!("DeleteOptions: {error}")))?
        };
        options.check()
    }

    fn of_query(query: &Query) -> Outcome<Self> {
        let grace = query
            .value("gracePeriodSeconds")
            .map(str::parse::<i64>)
            .transpose();
        let bad = |error| Failure::bad_request(format!("gracePeriodSeconds: {error}"));
        Ok(Self {
            grace_period_seconds: grace.map_err(bad)?,
            propagation_policy: query.value("propagationPolicy").map(str::to_owned),
            orphan_dependents: query
                .has("orphanDependents")
                .then(|| query.flag("orphanDependents")),
            preconditions: None,
            dry_run: query.values("dryRun").map(str::to_owned).collect(),
        })
    }

    fn check(self) -> Outcome<Self> {
        let refuse = |field: &str, message: String| {
            let error = (field.to_owned(), "FieldValueInvalid".to_owned(), message);
            Err(Failure::invalid(
                "meta.k8s.io",
                "DeleteOptions",
                "",
                [error],
            ))
        };
        if self.propagation_policy.is_some() && self.orphan_dependents.is_some() {
            let message =
                "Invalid value: orphanDependents and deletionPropagation cannot be both set";
            return refuse("propagationPolicy", message.to_owned());
        }
        match self.propagation_policy.as_deref() {
            None | Some("Orphan" | "Background" | "Foreground") => {}
            Some(other) => {
                let message = format!(
                    "Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\", \"nil\""
                );
                return refuse("propagationPolicy", message);
            }
        }
        Ok(self)
    }

    /// What becomes of dependents.
    fn policy(&self) -> Option<&str> {
        match (self.propagation_policy.as_deref(), self.orphan_dependents) {
            (Some(policy), _) => Some(policy),
            (None, Some(true)) => Some("Orphan"),
            (None, Some(false)) => Some("Background"),
            (None, None) => None,
        }
    }
}

/// Deletes one object.
pub(crate) async fn one(api: &Arc<Api>, call: &Call, body: Bytes) -> Outcome<Reply> {
    let options = DeleteOptions::read(call, &body)?;
    let changed = delete(api, call, &call.request.name, &options).await?;
    let (removed, object) = match changed {
        Changed::Now(found) => (false, found.object),
        Changed::Removed(found) => (true, found.object),
    };
    if removed && !SHOWN.contains(&&*call.kind.plural) {
        return Ok(Reply::value(StatusCode::OK, &success(&call.kind, &object)));
    }
    let accepted = !removed && options.orphan_dependents == Some(false);
    let code = if accepted {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok(present::tree(call, code, object))
}

fn success(kind: &Kind, object: &Value) -> Value {
    let mut details = json!({
        "name": object["metadata"]["name"],
        "kind": kind.plural,
        "uid": object["metadata"]["uid"],
    });
    if !kind.group.is_empty() {
        details["group"] = kind.group.to_string().into();
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

/// Deletes all objects that are meant.
pub(crate) async fn collection(api: &Arc<Api>, call: &Call, body: Bytes) -> Outcome<Reply> {
    let options = DeleteOptions::read(call, &body)?;
    let listed = list::list(api, call).await?;
    let mut items = Vec::new();
    for version in &listed.versions {
        let deleted = delete_at(api, call, version.namespace(), version.name(), &options).await;
        match deleted {
            Ok(changed) => items.push(changed.found().object),
            // Somebody else was faster.
            Err(failure) if failure.code() == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    let list = json!({
        "kind": call.kind.list_kind,
        "apiVersion": call.kind.api_version(),
        "metadata": {"resourceVersion": listed.revision.to_string()},
        "items": items,
    });
    Ok(Reply::value(StatusCode::OK, &list))
}

/// Deletes an object in the namespace of the request.
pub(crate) async fn delete(
    api: &Arc<Api>,
    call: &Call,
    name: &str,
    options: &DeleteOptions,
) -> Outcome<Changed> {
    delete_at(api, call, call.namespace(), name, options).await
}

async fn delete_at(
    api: &Arc<Api>,
    call: &Call,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Outcome<Changed> {
    let dry = dry_run(options.dry_run.iter().map(String::as_str))?
        || dry_run(call.query.values("dryRun"))?;
    let kind = &call.kind;
    let mut attempt = api.registry.attempt(kind, namespace, name).await?;
    loop {
        let current = &attempt.current.object;
        check_conditions(kind, name, options, current)?;
        let ask = Ask {
            call,
            action: Action::Delete,
            name,
            namespace,
            old: current,
            dry_run: dry,
        };
        drop(admission::mutate(api, &ask, &mut Value::Null).await?);
        admission::validate(api, &ask, &Value::Null).await?;
        let next = plan(kind, current, options, call.now);
        let next = if dry { Next::Keep } else { next };
        if let Some(changed) = attempt.commit(next).await? {
            if let (true, Changed::Removed(found)) = (allocate::is_service(kind), &changed) {
                allocate::settle(&api.registry, &found.object, &Value::Null).await;
            }
            return Ok(changed);
        }
    }
}

fn check_conditions(
    kind: &Kind,
    name: &str,
    options: &DeleteOptions,
    object: &Value,
) -> Outcome<()> {
    let Some(wanted) = &options.preconditions else {
        return Ok(());
    };
    let checks = [
        ("UID", &wanted.uid, "uid"),
        (
            "ResourceVersion",
            &wanted.resource_version,
            "resourceVersion",
        ),
    ];
    for (what, wanted, field) in checks {
        let there = metadata::text(object, field);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != there) {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {there}"
            );
            return Err(Failure::conflict(&kind.group, &kind.plural, name, &why));
        }
    }
    Ok(())
}

/// Decides what a deletion does to an object now.
pub(crate) fn plan(kind: &Kind, object: &Value, options: &DeleteOptions, now: Timestamp) -> Next {
    let mut next = object.clone();
    set_finalizers(&mut next, options.policy());
    let grace = grace(kind, object, options);
    let going = metadata::is_going(object);
    let old_grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if grace == 0 && metadata::finalizers(&next).is_empty() && !holds_contents(kind, &next) {
        metadata::set(&mut next, "deletionGracePeriodSeconds", 0.into());
        return Next::Remove(next);
    }
    if going && old_grace.is_some_and(|old| grace >= old) {
        return if next == *object {
            Next::Keep
        } else {
            Next::Put(next)
        };
    }
    mark(kind, &mut next, grace, going, now);
    Next::Put(next)
}

/// Says when an object is to be gone.
fn mark(kind: &Kind, object: &mut Value, grace: i64, going: bool, now: Timestamp) {
    let begun = if going { begun(object) } else { None }.unwrap_or(now);
    let end = begun
        .saturating_add(SignedDuration::from_secs(grace))
        .unwrap_or(begun);
    metadata::set(object, "deletionTimestamp", metadata::time(end).into());
    metadata::set(object, "deletionGracePeriodSeconds", grace.into());
    if let (false, Some(generation)) = (going, object["metadata"]["generation"].as_i64()) {
        metadata::set(object, "generation", (generation + 1).into());
    }
    if is_namespace(kind) {
        object["status"]["phase"] = "Terminating".into();
    }
}

/// When a deletion was asked for first.
fn begun(object: &Value) -> Option<Timestamp> {
    let end: Timestamp = metadata::text(object, "deletionTimestamp").parse().ok()?;
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64()?;
    end.checked_sub(SignedDuration::from_secs(grace)).ok()
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "namespaces"
}

/// A namespace goes when its own finalizers are gone.
fn holds_contents(kind: &Kind, object: &Value) -> bool {
    let finalizers = object["spec"]["finalizers"].as_array();
    is_namespace(kind) && finalizers.is_some_and(|list| !list.is_empty())
}

/// Whether nothing holds an object any more that is on its way out.
pub(crate) fn is_done(object: &Value) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let contents = object["kind"] == "Namespace"
        && object["spec"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
    grace.unwrap_or_default() == 0 && metadata::finalizers(object).is_empty() && !contents
}

fn set_finalizers(object: &mut Value, policy: Option<&str>) {
    let Some(policy) = policy else {
        return;
    };
    let mut list: Vec<String> = metadata::finalizers(object)
        .into_iter()
        .filter(|name| !matches!(*name, ORPHAN | FOREGROUND))
        .map(str::to_owned)
        .collect();
    match policy {
        "Orphan" => list.push(ORPHAN.to_owned()),
        "Foreground" => list.push(FOREGROUND.to_owned()),
        _ => {}
    }
    if list.is_empty() {
        metadata::unset(object, "finalizers");
    } else {
        metadata::set(object, "finalizers", list.into());
    }
}

/// How long the object may go on. Only pods take their time.
fn grace(kind: &Kind, object: &Value, options: &DeleteOptions) -> i64 {
    if !(kind.group.is_empty() && kind.plural == "pods") {
        return 0;
    }
    let spec = &object["spec"];
    let phase = object["status"]["phase"].as_str();
    if spec["nodeName"].as_str().unwrap_or_default().is_empty()
        || matches!(phase, Some("Succeeded" | "Failed"))
    {
        return 0;
    }
    let own = spec["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(POD_GRACE);
    let grace = options.grace_period_seconds.unwrap_or(own);
    // A negative grace is taken for the shortest.
    if grace < 0 { 1 } else { grace }
}

#[cfg(test)]
mod tests;
