//! Reviews against an apiserver that knows two users.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::*;
use crate::join::fake_api::{FakeApi, Reply, Seen};
use crate::serve::route::route;

/// Ann may see metrics and pods; the token `t0k` is hers.
fn answer(seen: &Seen) -> Reply {
    let spec = &seen.body["spec"];
    let status = if seen.path().ends_with("/tokenreviews") {
        match spec["token"].as_str() {
            Some("t0k") => json!({"authenticated": true, "user": {"username": "ann", "uid": "7",
                "groups": ["ops"], "extra": {"scopes": ["a"]}}}),
            _ => json!({"user": {}}),
        }
    } else {
        let wanted = spec["resourceAttributes"]["subresource"].as_str();
        let may = matches!(wanted, Some("metrics" | "pods"));
        json!({"allowed": spec["user"] == "ann" && may})
    };
    Reply::Json(201, json!({"status": status}))
}

fn configuration() -> KubeletConfiguration {
    let mut kubelet = KubeletConfiguration::default();
    kubelet.authentication.webhook.enabled = true;
    kubelet.authorization.mode = "Webhook".to_owned();
    kubelet
}

fn access(api: &FakeApi) -> Access {
    Access::new(&configuration(), "n", Some(&api.client())).unwrap()
}

/// The status of a request with that token, 200 if it is let in.
async fn asked(access: &Access, token: &str, path: &str) -> u16 {
    let header = format!("Bearer {token}");
    let route = route(&Method::GET, path).ok();
    let header = (!token.is_empty()).then_some(header.as_str());
    let credentials = &Credentials::None;
    let outcome = access.admit(credentials, header, route.as_ref(), &Method::GET);
    outcome
        .await
        .map_or_else(|refused| refused.status().as_u16(), |_| 200)
}

#[tokio::test]
async fn who_comes_in() {
    let api = FakeApi::start(answer).await;
    let access = access(&api);
    for (token, path, expected) in [
        ("t0k", "/metrics", 200),
        ("t0k", "/pods", 200),
        ("t0k", "/exec/a/b/c", 403),
        ("t0k", "/nowhere", 403),
        ("other", "/metrics", 401),
        ("", "/metrics", 401),
    ] {
        assert_eq!(
            asked(&access, token, path).await,
            expected,
            "{token} {path}"
        );
    }
}

#[tokio::test]
async fn asks_what_upstream_asks() {
    let api = FakeApi::start(answer).await;
    asked(&access(&api), "t0k", "/configz").await;
    let seen = api.seen();
    let lines: Vec<_> = seen.iter().map(Seen::line).collect();
    let subject = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
    let token = "POST /apis/authentication.k8s.io/v1/tokenreviews";
    assert_eq!(lines, [token, subject, subject]);
    assert_eq!(seen[0].body["spec"], json!({"token": "t0k"}));
    let wanted = |subresource: &str| -> Value {
        json!({"user": "ann", "uid": "7", "groups": ["ops", "system:authenticated"],
            "extra": {"scopes": ["a"]}, "resourceAttributes": {"verb": "get", "version": "v1",
            "resource": "nodes", "subresource": subresource, "name": "n"}})
    };
    assert_eq!(seen[1].body["spec"], wanted("configz"));
    assert_eq!(seen[2].body["spec"], wanted("proxy"));
}

#[tokio::test]
async fn answers_are_kept_and_failures_are_not() {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = broken.clone();
    let api = FakeApi::start(move |seen| match is_broken.load(Ordering::Relaxed) {
        true => Reply::refusal(403, "Forbidden"),
        false => answer(seen),
    })
    .await;
    let access = access(&api);
    for _ in 0..3 {
        assert_eq!(asked(&access, "t0k", "/metrics").await, 200);
        assert_eq!(asked(&access, "bad", "/metrics").await, 401);
    }
    assert_eq!(api.seen().len(), 3, "two tokens and one permission");
    broken.store(true, Ordering::Relaxed);
    assert_eq!(asked(&access, "t0k", "/metrics").await, 200);
    assert_eq!(asked(&access, "t0k", "/stats/summary").await, 500);
    assert_eq!(asked(&access, "new", "/metrics").await, 401);
    broken.store(false, Ordering::Relaxed);
    assert_eq!(asked(&access, "t0k", "/stats/summary").await, 403);
}

#[tokio::test]
async fn anonymous_only_where_it_is_allowed() {
    let mut kubelet = configuration();
    kubelet.authorization.mode = "AlwaysAllow".to_owned();
    let api = FakeApi::start(answer).await;
    for (anonymous, expected) in [(true, 200), (false, 401)] {
        kubelet.authentication.anonymous.enabled = anonymous;
        let access = Access::new(&kubelet, "n", Some(&api.client())).unwrap();
        assert_eq!(asked(&access, "", "/pods").await, expected);
        assert_eq!(
            asked(&access, "bad", "/pods").await,
            401,
            "a wrong token is no nobody"
        );
    }
}

#[test]
fn without_an_apiserver_the_cure_is_told() {
    let check = |webhook: bool, mode: &str, cure: &str| {
        let mut kubelet = configuration();
        kubelet.authentication.webhook.enabled = webhook;
        kubelet.authorization.mode = mode.to_owned();
        let refused = Access::new(&kubelet, "n", None).unwrap_err().to_string();
        assert!(refused.contains(cure), "{refused}");
    };
    check(true, "AlwaysAllow", "set it to false");
    check(false, "Webhook", "set it to AlwaysAllow");
    check(false, "Never", "expected Webhook or AlwaysAllow");
}
