//! Which tokens are marked and removed, when, and what counts as a use.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Verdict, deadline, judge, secrets_in};
use crate::given;
use crate::kinds::Secret;
use crate::write::merge;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn uses_must_have_been_noted_for_long_enough() {
    let check = |since: &str, now: &str, expected: Option<&str>| {
        let hours = SignedDuration::from_hours(48);
        let found = deadline(since.parse().unwrap(), at(now), hours);
        assert_eq!(found, expected.map(at), "{since} {now}");
    };
    check("2026-01-01", "2026-01-03T23:59:59Z", None);
    check(
        "2026-01-01",
        "2026-01-04T00:00:00Z",
        Some("2026-01-02T00:00:00Z"),
    );
    check(
        "2026-01-01",
        "2026-02-01T10:00:00Z",
        Some("2026-01-30T10:00:00Z"),
    );
}

#[test]
fn old_tokens_that_nobody_uses_are_marked_and_then_removed() {
    let accounts = given::store(
        json!([{"metadata": {"name": "builder", "namespace": "a", "uid": "u"},
        "secrets": [{"name": "token"}]}]),
    );
    let check = |change: Value, expected: Verdict| {
        let mut secret = json!({"metadata": {"name": "token", "namespace": "a",
            "creationTimestamp": "2025-01-01T00:00:00Z",
            "annotations": {"kubernetes.io/service-account.name": "builder",
                "kubernetes.io/service-account.uid": "u"}}});
        merge(&mut secret, json!({"metadata": change}));
        let secret: Secret = given::read(secret.clone());
        let found = judge(&secret, &accounts, at("2026-01-10T12:00:00Z"));
        assert_eq!(found, expected, "{change}");
    };
    let used = |day: &str| json!({"labels": {"kubernetes.io/legacy-token-last-used": day}});
    let marked = |day: &str| json!({"labels": {"kubernetes.io/legacy-token-invalid-since": day}});
    check(json!({}), Verdict::Mark);
    check(
        json!({"creationTimestamp": "2026-01-10T12:00:00Z"}),
        Verdict::Keep,
    );
    check(
        json!({"deletionTimestamp": "2026-01-10T12:00:00Z"}),
        Verdict::Keep,
    );
    check(used("2026-01-09"), Verdict::Mark);
    check(used("2026-01-10"), Verdict::Keep);
    check(used("long ago"), Verdict::Keep);
    check(marked("2026-01-09"), Verdict::Remove);
    check(marked("2026-01-10"), Verdict::Keep);
    check(marked("long ago"), Verdict::Mark);
    let annotated = |key: &str, value: &str| json!({"annotations": {key: value}});
    check(
        annotated("kubernetes.io/service-account.uid", "v"),
        Verdict::Keep,
    );
    check(
        annotated("kubernetes.io/service-account.name", "other"),
        Verdict::Keep,
    );
    check(json!({"name": "made-by-hand"}), Verdict::Keep);
}

#[test]
fn all_uses_of_secrets_in_a_pod_are_found() {
    let spec = json!({
        "imagePullSecrets": [{"name": "a"}],
        "containers": [{"name": "no", "envFrom": [{"secretRef": {"name": "b"}}],
            "env": [{"name": "no", "valueFrom": {"secretKeyRef": {"name": "c", "key": "no"}}}]}],
        "volumes": [
            {"name": "no", "secret": {"secretName": "d"}},
            {"name": "no", "projected": {"sources": [{"secret": {"name": "e"}}]}},
            {"name": "no", "csi": {"driver": "no", "nodePublishSecretRef": {"name": "f"}}},
            {"name": "no", "azureFile": {"secretName": "g"}},
        ],
    });
    let mut names = BTreeSet::new();
    secrets_in(&spec, &mut names);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g"]);
}
