//! `AdmissionReview`: the question a webhook gets, and what its answer means. Pure.

use keelson_api::meta::Status;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::admit::{Notes, Request, fields};
use crate::auth::service_account::review::user_info;
use crate::failure::Failure;

const VERSION: &str = "admission.k8s.io/v1";

/// The question about a request as the webhook sees it; what it was for its caller comes beside.
pub(crate) fn question(
    request: &Request<'_>,
    caller: &Request<'_>,
    object: &Value,
    uid: &str,
) -> Value {
    let kind = |request: &Request<'_>| {
        let (group, version, kind) = request.body;
        json!({"group": group, "version": version, "kind": kind})
    };
    let resource = |request: &Request<'_>| json!({"group": request.group, "version": request.version, "resource": request.resource});
    let mut asked = json!({"uid": uid, "kind": kind(request), "resource": resource(request),
        "requestKind": kind(caller), "requestResource": resource(caller),
        "operation": request.operation.as_str(), "userInfo": user_info(request.user),
        "object": object, "oldObject": request.old, "dryRun": request.dry_run, "options": request.options});
    let texts = [
        ("name", request.name),
        ("namespace", request.namespace),
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        asked[field] = text.into();
    }
    json!({"kind": "AdmissionReview", "apiVersion": VERSION, "request": asked})
}

/// What a webhook has said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Yes, perhaps with changes as a JSON patch.
    Allowed(Option<Value>),
    /// No.
    Denied(Failure),
}

/// Reads an answer. What is said beside goes into the notes; an error tells why the answer is none.
pub(crate) fn answer(
    hook: &str,
    configuration: &str,
    body: &[u8],
    uid: &str,
    notes: &mut Notes,
) -> Result<Answer, String> {
    let review: Value = serde_json::from_slice(body)
        .map_err(|error| format!("could not read the answer: {error}"))?;
    let version = fields::text(&review, "/apiVersion");
    if version != VERSION || fields::text(&review, "/kind") != "AdmissionReview" {
        let found = fields::text(&review, "/kind");
        return Err(format!(
            "expected webhook response of {VERSION}, Kind=AdmissionReview, got {version}, Kind={found}"
        ));
    }
    let response = fields::value(&review, "/response");
    if response.is_null() {
        return Err("webhook response was absent".to_owned());
    }
    let found = fields::text(response, "/uid");
    if found != uid {
        return Err(format!("expected response.uid={uid:?}, got {found:?}"));
    }
    notes
        .warnings
        .extend(fields::texts(response, "/warnings").map(str::to_owned));
    for (key, value) in fields::text_map(response, "/auditAnnotations") {
        notes.audit.insert(format!("{hook}/{key}"), value);
    }
    if fields::flag(response, "/allowed") != Some(true) {
        return Ok(Answer::Denied(denied(
            hook,
            fields::value(response, "/status"),
        )));
    }
    patch(response, configuration).map(Answer::Allowed)
}

fn patch(response: &Value, configuration: &str) -> Result<Option<Value>, String> {
    use base64::Engine as _;
    let (text, kind) = (
        fields::text(response, "/patch"),
        fields::text(response, "/patchType"),
    );
    if text.is_empty() {
        return Ok(None);
    }
    if kind != "JSONPatch" {
        return Err(format!(
            "webhook of {configuration:?} returned response.patchType={kind:?}, want JSONPatch"
        ));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    let bytes = bytes.map_err(|error| format!("response.patch: {error}"))?;
    let patch: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("response.patch: {error}"))?;
    let empty = patch.as_array().is_some_and(Vec::is_empty);
    Ok(Some(patch).filter(|_| !empty))
}

/// The refusal that callers see: the webhook's own status, if it is one.
fn denied(hook: &str, status: &Value) -> Failure {
    const LEAST: i32 = 400;
    let mut status = Status::deserialize(status).unwrap_or_default();
    status.code = Some(status.code.unwrap_or_default().max(LEAST));
    if status.status.as_deref().unwrap_or_default() != "Failure" {
        status.status = Some("Failure".to_owned());
    }
    let said = [&status.message, &status.reason];
    let said = said.into_iter().flatten().find(|text| !text.is_empty());
    let head = format!("admission webhook {hook:?} denied the request");
    status.message = Some(match said {
        Some(text) => format!("{head}: {text}"),
        None => format!("{head} without explanation"),
    });
    Failure::of(status)
}
