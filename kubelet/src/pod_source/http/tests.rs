//! A real server on loopback: headers, entity tags, failures that leave pods alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::HttpSource;
use crate::pod_source::SourceSnapshot;

fn pod(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
    )
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

/// Gives the answers in order, the last one for ever; tells each request's head.
async fn serve(answers: Vec<String>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pods?x=1", listener.local_addr().unwrap());
    let (heads, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).await.is_err() {
                    break;
                }
                head.extend(byte);
            }
            let text = &answers[turn.min(answers.len() - 1)];
            turn += 1;
            if stream.write_all(text.as_bytes()).await.is_err()
                || heads
                    .send(String::from_utf8_lossy(&head).into_owned())
                    .await
                    .is_err()
            {
                return;
            }
        }
    });
    (url, receiver)
}

async fn until(
    snapshots: &mut watch::Receiver<Arc<SourceSnapshot>>,
    right: impl Fn(&SourceSnapshot) -> bool,
) -> Arc<SourceSnapshot> {
    let found = timeout(Duration::from_secs(10), snapshots.wait_for(|s| right(s))).await;
    found.expect("never saw the snapshot").unwrap().clone()
}

fn start(
    url: String,
) -> (
    watch::Receiver<Arc<SourceSnapshot>>,
    tokio_util::sync::DropGuard,
) {
    let headers = BTreeMap::from([("X-Token".to_owned(), vec!["secret".to_owned()])]);
    let source = HttpSource::new(url, headers, "n".to_owned(), Duration::from_millis(5));
    let (sender, snapshots) = watch::channel(Arc::new(SourceSnapshot::default()));
    let cancelled = CancellationToken::new();
    tokio::spawn(source.run(sender, cancelled.clone()));
    (snapshots, cancelled.drop_guard())
}

#[tokio::test]
async fn fetches_with_headers_and_entity_tags() {
    let first = answer("200 OK", "etag: \"1\"\r\n", &pod("x"));
    let (url, mut heads) = serve(vec![first, answer("304 Not Modified", "", "")]).await;
    let (mut snapshots, _stop) = start(url);
    let snapshot = until(&mut snapshots, |s| s.ready).await;
    assert_eq!(snapshot.pods[0].pod.metadata.name.as_deref(), Some("a-n"));
    let head = heads.recv().await.unwrap().to_lowercase();
    assert!(head.starts_with("get /pods?x=1 http/1.1\r\n"), "{head}");
    assert!(
        head.contains("x-token: secret\r\n") && head.contains("host: 127.0.0.1:"),
        "{head}"
    );
    let head = heads.recv().await.unwrap().to_lowercase();
    assert!(head.contains("if-none-match: \"1\""), "{head}");
    heads.recv().await.unwrap();
    assert!(!snapshots.has_changed().unwrap());
}

#[tokio::test]
async fn failures_are_told_and_leave_pods_alone() {
    let answers = vec![
        answer("200 OK", "etag: \"1\"\r\n", &pod("x")),
        answer("500 Internal Server Error", "", ""),
        answer("200 OK", "", &pod("other")),
        answer("200 OK", "", "kind: Pod\n"),
        answer("302 Found", "location: http://elsewhere/\r\n", ""),
    ];
    let (url, mut heads) = serve(answers).await;
    let (mut snapshots, _stop) = start(url);
    // Take the heads as they come, so that the server goes on.
    tokio::spawn(async move { while heads.recv().await.is_some() {} });
    let last = until(&mut snapshots, |s| {
        s.problems
            .first()
            .is_some_and(|p| p.message.contains("elsewhere"))
    })
    .await;
    let spec = last.pods[0].pod.spec.as_ref().unwrap();
    assert_eq!(spec.containers[0].image.as_deref(), Some("other"));
    assert!(last.ready && !last.problems[0].cure.is_empty());
}

#[tokio::test]
async fn is_not_ready_before_the_first_good_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let (mut snapshots, _stop) = start(url);
    let snapshot = until(&mut snapshots, |s| !s.problems.is_empty()).await;
    assert!(!snapshot.ready);
    assert!(
        snapshot.problems[0]
            .message
            .contains("connecting to 127.0.0.1"),
        "{}",
        snapshot.problems[0]
    );
}
