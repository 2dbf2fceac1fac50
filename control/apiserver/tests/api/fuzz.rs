//! Whatever a client sends, it gets an answer, and never one that blames the server. A seed that
//! fails is printed; `PROPTEST_CASES` asks for more of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use keelson_schema::resource_table::{Resource, Verb, builtin};
use keelson_schema::schema::Schema;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::harness::{Client, Server};
use super::tree::{numbers, tree};

const PATCHES: [&str; 5] = [
    "json-patch+json",
    "merge-patch+json",
    "strategic-merge-patch+json",
    "apply-patch+yaml",
    "no-patch",
];
/// Parts of paths that mean something, and some that do not.
const SEGMENTS: &[&str] = &[
    "api",
    "apis",
    "v1",
    "apps",
    "batch",
    "namespaces",
    "default",
    "pods",
    "configmaps",
    "nodes",
    "services",
    "deployments",
    "status",
    "scale",
    "log",
    "exec",
    "proxy",
    "binding",
    "eviction",
    "token",
    "watch",
    "openapi",
    "v2",
    "v3",
    "readyz",
    "metrics",
    "version",
    "a",
    "%2e%2e",
    "..",
    "%00",
    "%ff%fe",
    "%",
    "",
    "a:b:c",
    "\u{fc}",
    "selfsubjectrulesreviews",
    "authorization.k8s.io",
    "custom.example.com",
    "~",
    "$",
    "%2F%2F",
];
const OPTIONS: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "dryRun",
    "resourceVersionMatch",
    "fieldManager",
    "fieldValidation",
    "force",
    "propagationPolicy",
    "gracePeriodSeconds",
    "pretty",
    "timeoutSeconds",
    "allowWatchBookmarks",
    "includeObject",
    "sendInitialEvents",
    "container",
    "tailLines",
    "verbose",
    "exclude",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "true",
    "maybe",
    "a=b",
    "a in (b,c)",
    "!a",
    "a!=",
    "a in (",
    "a,,b",
    "metadata.name=x",
    "metadata.name=",
    "spec.nodeName=n",
    "=",
    "All",
    "Strict",
    "NotOlderThan",
    "Exact",
    "%",
    "\u{1f600}",
    "Background",
    "Table",
    "metadata.namespace!=kube-system",
];

fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Values of a strategy, the same ones in every run unless more are asked for.
fn examples<S: Strategy>(strategy: &S, usual: u32) -> Vec<S::Value> {
    let mut runner = if std::env::var_os("PROPTEST_CASES").is_some() {
        TestRunner::new(Config::default())
    } else {
        TestRunner::deterministic()
    };
    let mut one = || strategy.new_tree(&mut runner).unwrap().current();
    (0..cases(usual)).map(|_| one()).collect()
}

async fn check(client: &mut Client, method: &str, path: &str, kind: &str, body: &[u8]) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", kind);
    let Ok(request) = request.body(Full::new(Bytes::copy_from_slice(body))) else {
        // No client can send this.
        return 0;
    };
    let told = || format!("{method} {path} {kind} {}", String::from_utf8_lossy(body));
    let response = client.try_send(request).await;
    let response = response.unwrap_or_else(|error| panic!("no answer ({error}) to {}", told()));
    let code = response.status().as_u16();
    let whole = response.into_body().collect();
    let text = match whole.await {
        Ok(whole) => whole.to_bytes(),
        Err(error) => panic!("half an answer ({error}) to {}", told()),
    };
    assert_ne!(
        code,
        500,
        "{} to {}",
        String::from_utf8_lossy(&text),
        told()
    );
    code
}

fn queries() -> impl Strategy<Value = String> {
    let pair = (select(OPTIONS), select(VALUES)).prop_map(|(name, value)| {
        let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("{name}={value}")
    });
    // A watch that goes on for ever would be an answer too, but no end of it.
    vec(pair, 0..4).prop_map(|pairs| format!("timeoutSeconds=1&{}", pairs.join("&")))
}

#[tokio::test]
async fn any_path_and_query_is_answered() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW",
    ];
    let paths = vec(select(SEGMENTS), 0..7).prop_map(|segments| segments.join("/"));
    let all = (select(methods.to_vec()), paths, queries());
    for (method, path, query) in examples(&all, 1500) {
        // Lists that a client watches are asked for in another test.
        let path: String = path.replace("watch", "pods");
        let path: String = path.chars().filter(char::is_ascii).collect();
        check(
            &mut admin,
            method,
            &format!("/{path}?{query}"),
            "application/json",
            b"",
        )
        .await;
    }
}

#[tokio::test]
async fn any_list_is_answered() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for name in ["a", "b", "c"] {
        let object = json!({"metadata": {"name": name, "labels": {"a": name}}});
        admin
            .post("/api/v1/namespaces/default/configmaps", &object)
            .await;
    }
    let token = (
        select(vec!["meta.k8s.io/v1", "v0"]),
        any::<i64>(),
        "\\PC{0,12}",
    );
    let token = token.prop_map(|(version, revision, start)| {
        let inner = json!({"v": version, "rv": revision, "start": start});
        URL_SAFE_NO_PAD.encode(inner.to_string())
    });
    let token = prop_oneof![token, "[a-zA-Z0-9_=-]{0,40}"];
    let plurals = ["configmaps", "pods", "secrets", "services", "events"];
    for (plural, query, token) in examples(&(select(plurals.to_vec()), queries(), token), 500) {
        let path = format!("/api/v1/{plural}?{query}&limit=1&continue={token}");
        check(&mut admin, "GET", &path, "application/json", b"").await;
    }
}

/// Where objects of a kind are made.
fn place(row: &Resource) -> String {
    let root = if row.group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{}", row.group)
    };
    let inside = if row.is_namespaced() {
        "/namespaces/default"
    } else {
        ""
    };
    format!("{root}/{}{inside}/{}", row.version, row.plural)
}

/// Sends what is all about one kind; tells how much of it was taken.
async fn send_any(client: &mut Client, row: &Resource, seed: u64) -> usize {
    let mut codes = Vec::new();
    let schema = Schema::builtin();
    let root = schema.named(&row.type_name).expect("type");
    let mut next = numbers(seed);
    let (place, json) = (place(row), "application/json");
    let mut object = tree(schema, root, 0, &mut next);
    object["metadata"]["name"] = "fuzz".into();
    object["metadata"]["namespace"] = Value::Null;
    let whole = object.to_string();
    codes.push(check(client, "POST", &place, json, whole.as_bytes()).await);
    let half = &whole.as_bytes()[..next() % whole.len()];
    codes.push(check(client, "POST", &place, json, half).await);
    let packed = [b"k8s\0", half].concat();
    let protobuf = "application/vnd.kubernetes.protobuf";
    codes.push(check(client, "POST", &place, protobuf, &packed).await);
    // Whatever was refused, something simple may be taken, for patches to meet.
    let simple = json!({"metadata": {"name": "fuzz"}});
    codes.push(check(client, "POST", &place, json, simple.to_string().as_bytes()).await);
    let one = format!("{place}/fuzz");
    for kind in PATCHES {
        let other = tree(schema, root, 0, &mut next);
        let body = if kind.starts_with("json-patch") {
            let paths = [
                "/spec",
                "/metadata/labels/a~1b",
                "/metadata",
                "",
                "/spec/-",
                "/x/0/y",
                "x",
            ];
            let verbs = ["add", "remove", "replace", "move", "copy", "test", "swap"];
            let operation = json!({"op": verbs[next() % verbs.len()], "value": other["spec"],
                "path": paths[next() % paths.len()], "from": paths[next() % paths.len()]});
            json!([operation])
        } else {
            other
        };
        let path = format!("{one}?fieldManager=fuzz&force=true");
        codes.push(
            check(
                client,
                "PATCH",
                &path,
                &format!("application/{kind}"),
                body.to_string().as_bytes(),
            )
            .await,
        );
    }
    let status = tree(schema, root, 0, &mut next).to_string();
    codes.push(check(client, "PUT", &one, json, status.as_bytes()).await);
    codes.push(
        check(
            client,
            "PATCH",
            &format!("{one}/status"),
            "application/merge-patch+json",
            status.as_bytes(),
        )
        .await,
    );
    codes.push(check(client, "GET", &one, json, b"").await);
    codes.push(check(client, "DELETE", &one, json, half).await);
    codes.push(check(client, "DELETE", &one, json, b"").await);
    codes
        .iter()
        .filter(|code| (200..300).contains(*code))
        .count()
}

#[tokio::test]
async fn any_object_and_patch_is_answered() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let writable = |row: &&Resource| row.verbs.has(Verb::Create) && row.plural != "namespaces";
    let mut taken = 0;
    for seed in examples(&any::<u64>(), 6) {
        for row in builtin().iter().filter(writable) {
            // What decides about other requests would make this test about something else.
            let deciding =
                row.group == "admissionregistration.k8s.io" || row.plural == "resourcequotas";
            if !deciding {
                taken += send_any(&mut admin, row, seed).await;
            }
        }
    }
    assert!(taken > 100, "only {taken} of all that was sent was taken");
}
