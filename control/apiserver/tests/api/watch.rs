//! Watches: nothing lost, nothing twice, told when it is too late.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::harness::{Client, Server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Watch {
    body: Incoming,
    rest: Vec<u8>,
}

impl Watch {
    async fn open(client: &mut Client, query: &str) -> Self {
        let request = Request::get(format!("{MAPS}?watch=1&{query}")).header("host", "x");
        let response = client
            .send(request.body(Full::new(Bytes::new())).unwrap())
            .await;
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            rest: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.rest.extend_from_slice(frame.data_ref().unwrap());
        }
    }

    async fn expect(&mut self, kind: &str, name: &str) -> Value {
        let event = self.next().await.expect("an event");
        assert_eq!(event["type"], kind, "{event}");
        assert_eq!(event["object"]["metadata"]["name"], name, "{event}");
        event
    }
}

fn map(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"l": label}}})
}

#[tokio::test]
async fn changes_arrive_in_order() {
    let server = Server::start().await;
    let (mut client, mut watcher) = (server.admin().await, server.admin().await);
    client.post(MAPS, &map("old", "x")).await;
    let mut watch = Watch::open(&mut watcher, "").await;
    watch.expect("ADDED", "old").await;
    client.post(MAPS, &map("new", "x")).await;
    let added = watch.expect("ADDED", "new").await;
    client
        .patch(
            &format!("{MAPS}/new"),
            "merge-patch+json",
            &json!({"data": {"a": "b"}}),
        )
        .await;
    let modified = watch.expect("MODIFIED", "new").await;
    client.delete(&format!("{MAPS}/new")).await;
    let deleted = watch.expect("DELETED", "new").await;
    let version = |event: &Value| -> u64 {
        let text = event["object"]["metadata"]["resourceVersion"]
            .as_str()
            .unwrap();
        text.parse().unwrap()
    };
    assert!(version(&added) < version(&modified) && version(&modified) < version(&deleted));
}

#[tokio::test]
async fn a_watch_resumes_where_it_was() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let list = client.get(MAPS).await.value;
    let from = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    client.post(MAPS, &map("a", "x")).await;
    client.post(MAPS, &map("b", "x")).await;
    let mut watcher = server.admin().await;
    let mut watch = Watch::open(&mut watcher, &format!("resourceVersion={from}")).await;
    watch.expect("ADDED", "a").await;
    watch.expect("ADDED", "b").await;
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let server = Server::start().await;
    let (mut client, mut watcher) = (server.admin().await, server.admin().await);
    let mut watch = Watch::open(&mut watcher, "labelSelector=l%3Dx").await;
    client.post(MAPS, &map("a", "y")).await;
    let path = format!("{MAPS}/a");
    let label = |value: &str| json!({"metadata": {"labels": {"l": value}}});
    client.patch(&path, "merge-patch+json", &label("x")).await;
    watch.expect("ADDED", "a").await;
    client.patch(&path, "merge-patch+json", &label("z")).await;
    let left = watch.expect("DELETED", "a").await;
    assert_eq!(left["object"]["metadata"]["labels"]["l"], "x");
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    client.post(MAPS, &map("a", "x")).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = Watch::open(&mut client, query).await;
    watch.expect("ADDED", "a").await;
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    let notes = &bookmark["object"]["metadata"]["annotations"];
    assert_eq!(notes["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_watch_ends_in_time_and_with_the_server() {
    let mut server = Server::start().await;
    let (mut client, mut watcher) = (server.admin().await, server.admin().await);
    let mut short = Watch::open(&mut client, "timeoutSeconds=1").await;
    let mut long = Watch::open(&mut watcher, "").await;
    assert_eq!(short.next().await, None);
    server.stop();
    assert_eq!(long.next().await, None);
}

#[tokio::test]
async fn a_position_that_is_gone_is_refused() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    for name in ["a", "b"] {
        client
            .post("/api/v1/namespaces/default/secrets", &map(name, "x"))
            .await;
    }
    // The kind is loaded by its first list, and its window begins there.
    client.get(MAPS).await;
    let reply = client
        .get(&format!("{MAPS}?watch=1&resourceVersion=1"))
        .await;
    assert_eq!(
        (reply.code, &reply.value["reason"]),
        (410, &json!("Expired"))
    );
}
