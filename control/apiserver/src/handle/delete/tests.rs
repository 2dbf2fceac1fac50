//! What a delete does to objects with a grace period, finalizers or neither.

use keelson_schema::resource_table;

use super::*;
use crate::kinds::Kinds;

fn kind(plural: &str) -> Arc<Kind> {
    assert!(resource_table::find("", "v1", plural).is_some());
    Kinds::default().find("", "v1", plural).unwrap()
}

fn options(value: Value) -> DeleteOptions {
    serde_json::from_value::<DeleteOptions>(value).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn check(plural: &str, object: Value, wish: Value, expected: &str) {
    let found = match plan(&kind(plural), &object, &options(wish), now()) {
        Next::Keep => "keep".to_owned(),
        Next::Remove(_) => "remove".to_owned(),
        Next::Put(next) => format!(
            "{} {} {}",
            metadata::text(&next, "deletionTimestamp"),
            next["metadata"]["deletionGracePeriodSeconds"],
            metadata::finalizers(&next).join(",")
        ),
    };
    assert_eq!(found, expected, "{object}");
}

#[test]
fn what_nothing_holds_is_removed() {
    check("configmaps", json!({"metadata": {}}), json!({}), "remove");
    check(
        "pods",
        json!({"metadata": {}, "spec": {}}),
        json!({}),
        "remove",
    );
    let done = json!({"metadata": {}, "spec": {"nodeName": "n"}, "status": {"phase": "Failed"}});
    check("pods", done, json!({}), "remove");
    let running = json!({"metadata": {}, "spec": {"nodeName": "n"}});
    check("pods", running, json!({"gracePeriodSeconds": 0}), "remove");
}

#[test]
fn pods_get_their_grace_and_may_lose_it() {
    let pod =
        json!({"metadata": {}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 10}});
    check("pods", pod.clone(), json!({}), "2026-01-01T00:00:10Z 10 ");
    check(
        "pods",
        pod,
        json!({"gracePeriodSeconds": 60}),
        "2026-01-01T00:01:00Z 60 ",
    );
    let going = json!({
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:20Z", "deletionGracePeriodSeconds": 30},
        "spec": {"nodeName": "n"}
    });
    check("pods", going.clone(), json!({}), "keep");
    check(
        "pods",
        going,
        json!({"gracePeriodSeconds": 5}),
        "2025-12-31T23:59:55Z 5 ",
    );
}

#[test]
fn finalizers_hold() {
    let held = json!({"metadata": {"finalizers": ["a/b"]}});
    check("configmaps", held, json!({}), "2026-01-01T00:00:00Z 0 a/b");
    let free = json!({"metadata": {}});
    let foreground = json!({"propagationPolicy": "Foreground"});
    check(
        "configmaps",
        free,
        foreground,
        "2026-01-01T00:00:00Z 0 foregroundDeletion",
    );
    let orphan = json!({"metadata": {"finalizers": ["orphan"]}});
    check(
        "configmaps",
        orphan,
        json!({"propagationPolicy": "Background"}),
        "remove",
    );
    let namespace = json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"]}, "status": {}});
    check(
        "namespaces",
        namespace,
        json!({}),
        "2026-01-01T00:00:00Z 0 ",
    );
}
