//! Columns of roles, bindings, certificates and configuration.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Column;
use super::read::{NONE, entries, items, text};

/// `kubectl get rolebindings` and `clusterrolebindings`.
pub const BINDING: &[Column] = &[
    Column::NAME,
    Column::of("Role", |binding, _| {
        let role = |field: &str| text(binding, &format!("/roleRef/{field}"));
        json!(format!("{}/{}", role("kind"), role("name")))
    }),
    Column::AGE,
    Column::wide("Users", |binding, _| json!(subjects(binding, "User"))),
    Column::wide("Groups", |binding, _| json!(subjects(binding, "Group"))),
    Column::wide("ServiceAccounts", |binding, _| {
        json!(subjects(binding, "ServiceAccount"))
    }),
];

fn subjects(binding: &Value, kind: &str) -> String {
    let of_kind = items(binding, "/subjects")
        .iter()
        .filter(|s| text(s, "/kind") == kind);
    let names = of_kind.map(|subject| match (kind, text(subject, "/namespace")) {
        ("ServiceAccount", namespace) => format!("{namespace}/{}", text(subject, "/name")),
        _ => text(subject, "/name").to_owned(),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// `kubectl get certificatesigningrequests`.
pub const SIGNING_REQUEST: &[Column] = &[
    Column::NAME,
    Column::AGE,
    Column::of("SignerName", |request, _| {
        match text(request, "/spec/signerName") {
            "" => json!(NONE),
            name => json!(name),
        }
    }),
    Column::at("Requestor", ".spec.username"),
    Column::of("RequestedDuration", |request, _| {
        let seconds = request
            .pointer("/spec/expirationSeconds")
            .and_then(Value::as_i64);
        json!(seconds.map_or(NONE.to_owned(), super::age::short))
    }),
    Column::of("Condition", |request, _| json!(request_state(request))),
];

fn request_state(request: &Value) -> String {
    let has = |kind: &str| super::read::condition(request, kind).is_some();
    let mut states = Vec::new();
    if has("Denied") {
        states.push("Denied");
    } else if has("Approved") {
        states.push("Approved");
    } else {
        states.push("Pending");
    }
    if has("Failed") {
        states.push("Failed");
    }
    if !text(request, "/status/certificate").is_empty() {
        states.push("Issued");
    }
    states.join(",")
}

/// `kubectl get secrets`.
pub const SECRET: &[Column] = &[
    Column::NAME,
    Column::at("Type", ".type"),
    Column::count("Data", |secret, _| json!(entries(secret, "/data"))),
    Column::AGE,
];

/// `kubectl get configmaps`.
pub const CONFIG_MAP: &[Column] = &[
    Column::NAME,
    Column::count("Data", |map, _| {
        json!(entries(map, "/data") + entries(map, "/binaryData"))
    }),
    Column::AGE,
];

/// `kubectl get serviceaccounts`.
pub const SERVICE_ACCOUNT: &[Column] = &[
    Column::NAME,
    Column::count("Secrets", |account, _| {
        json!(items(account, "/secrets").len())
    }),
    Column::AGE,
];

/// `kubectl get roles`.
pub const ROLE: &[Column] = &[
    Column::NAME,
    Column::of("Created At", |role, _: Timestamp| {
        role.pointer("/metadata/creationTimestamp")
            .cloned()
            .unwrap_or_default()
    }),
];
