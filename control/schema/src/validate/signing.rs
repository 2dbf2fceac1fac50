//! Signing requests, what is decided about them, and the certificates that they get.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable};

/// Uses of a key that a certificate may be asked for.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Judges a signing request; whether the request itself can be read is for the signer's library.
pub fn signing_request(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let request = spec.field("request");
    if request.need("", errors) && !is_request(request.text()) {
        request.invalid("PEM block type must be CERTIFICATE REQUEST", errors);
    }
    let usages = spec.field("usages");
    usages.need("usages must be provided", errors);
    let mut seen = Vec::new();
    for usage in usages.items() {
        usage.one_of(USAGES, errors);
        if seen.contains(&usage.text()) {
            errors.duplicate(&usage.path, usage.text());
        }
        seen.push(usage.text());
    }
    let signer = spec.field("signerName");
    if signer.need("", errors) {
        let fits = signer.text().split_once('/').is_some_and(|(domain, path)| {
            names::dns_subdomain(domain).is_empty() && !path.is_empty()
        });
        if !fits {
            signer.invalid(
                "must be a fully qualified domain and path of the form 'example.com/signer-name'",
                errors,
            );
        }
    }
    let seconds = spec.field("expirationSeconds");
    if seconds.int().is_some_and(|seconds| seconds < 600) {
        seconds.invalid(
            "may not specify a duration less than 600 seconds (10 minutes)",
            errors,
        );
    }
}

/// Judges the change of a signing request.
pub fn signing_request_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec"], errors);
}

/// Whether a text in base64 holds a signing request in PEM.
fn is_request(text: &str) -> bool {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    ["BEGIN", "END"]
        .iter()
        .all(|word| text.contains(&format!("-----{word} CERTIFICATE REQUEST-----")))
}

/// Conditions that stay once they are there.
const DECISIONS: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Judges a status: the certificate comes once, and decisions are made elsewhere.
pub fn status(new: &Value, old: &Value, errors: &mut ErrorList) {
    conditions(new, old, errors);
    for kind in &DECISIONS[..2] {
        if count(new, kind) > count(old, kind) {
            let detail = format!("updates may not add a condition of type {kind:?}");
            At::root(new)
                .at("status.conditions")
                .forbidden(&detail, errors);
        }
    }
    let (now, before) = (certificate(new), certificate(old));
    if !before.is_empty() && now.value != before.value {
        now.forbidden(
            "updates may not modify existing certificate content",
            errors,
        );
    }
}

/// Judges a decision about a request.
pub fn approval(new: &Value, old: &Value, errors: &mut ErrorList) {
    signing_request_change(new, old, errors);
    conditions(new, old, errors);
    let (now, before) = (certificate(new), certificate(old));
    if now.value != before.value {
        now.forbidden("updates may not set certificate content", errors);
    }
}

fn certificate(object: &Value) -> At<'_> {
    At::root(object).at("status.certificate")
}

fn count(object: &Value, kind: &str) -> usize {
    let conditions = At::root(object).at("status.conditions").items();
    conditions
        .filter(|condition| condition.field("type").text() == kind)
        .count()
}

fn conditions(new: &Value, old: &Value, errors: &mut ErrorList) {
    let list = At::root(new).at("status.conditions");
    let mut seen: Vec<&str> = Vec::new();
    for condition in list.items() {
        let (kind, status) = (condition.field("type"), condition.field("status"));
        kind.need("", errors);
        let decides = DECISIONS.contains(&kind.text());
        let choices: &[&str] = if decides {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        status.need_one_of(choices, errors);
        let opposite = match kind.text() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if seen.contains(&opposite) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            kind.invalid(detail, errors);
        }
        if seen.contains(&kind.text()) {
            errors.duplicate(&kind.path, kind.text());
        }
        seen.push(kind.text());
    }
    for kind in DECISIONS {
        if count(new, kind) < count(old, kind) {
            let detail = format!("updates may not remove a condition of type {kind:?}");
            list.forbidden(&detail, errors);
        }
    }
}
