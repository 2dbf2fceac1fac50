//! Webhooks on loopback that say what the test wants.

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request as Asked, Response};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::admit::tests::{World, request};
use crate::admit::webhook::plan;
use crate::admit::{Operation, fields};
use crate::auth::User;

/// A server with a certificate for `localhost`, which answers what `reply` makes of the question.
struct Server {
    port: u16,
    ca: String,
    _tasks: JoinSet<()>,
}

async fn serve(reply: fn(&Value) -> Value) -> Server {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us breaks off here.
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let service = service_fn(move |asked: Asked<Incoming>| async move {
                let body = asked.into_body().collect().await.unwrap().to_bytes();
                let question: Value = serde_json::from_slice(&body).unwrap();
                let mut response = reply(&question["request"]);
                response["uid"] = question["request"]["uid"].clone();
                let answer = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(answer.to_string()))))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        }
    });
    Server {
        port,
        ca: made.cert.pem(),
        _tasks: tasks,
    }
}

fn hook(server: &Server, name: &str, changes: &Value) -> Value {
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&server.ca);
    let mut hook = json!({"name": name, "sideEffects": "None", "reinvocationPolicy": "IfNeeded",
        "clientConfig": {"url": format!("https://localhost:{}/", server.port), "caBundle": bundle},
        "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]});
    for (key, value) in changes.as_object().unwrap() {
        hook[key] = value.clone();
    }
    hook
}

fn world(hooks: &[Value]) -> World {
    World::default()
        .with(
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            json!({"metadata": {"name": "m"}, "webhooks": hooks}),
        )
        .with(
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            json!({"metadata": {"name": "v"}, "webhooks": hooks}),
        )
}

fn add(path: &str, value: &Value) -> Value {
    use base64::Engine as _;
    let patch = json!([{"op": "add", "path": path, "value": value}]).to_string();
    let patch = base64::engine::general_purpose::STANDARD.encode(patch);
    json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
}

/// Counts up to what it sees, so that the order of calls can be read off the object.
fn note_b(question: &Value) -> Value {
    match fields::number(&question["object"], "/b") {
        None => add("/b", &json!(1)),
        Some(_) => json!({"allowed": true}),
    }
}

fn copy_b(question: &Value) -> Value {
    match fields::number(&question["object"], "/b") {
        Some(b) if question["object"]["a"].is_null() => add("/a", &json!(b)),
        _ => json!({"allowed": true, "warnings": ["seen"]}),
    }
}

fn deny(_: &Value) -> Value {
    json!({"allowed": false, "status": {"message": "no"}})
}

async fn run(hooks: &[Value], kind: Kind, object: &mut Value) -> (Outcome<()>, Notes) {
    let user = User::known("jane", []);
    let request = request(Operation::Create, "", "configmaps", &user, &fields::NULL);
    let planned = plan(kind, &request, object, &world(hooks), &Vec::new).unwrap();
    let (mut notes, metrics) = (Notes::default(), AdmitMetrics::default());
    let outcome = match kind {
        Kind::Mutating => {
            mutate(
                &planned,
                &request,
                object,
                &mut notes,
                &|_| Ok(()),
                &metrics,
            )
            .await
        }
        Kind::Validating => validate(planned, &request, object, &mut notes, &metrics).await,
    };
    (outcome, notes)
}

#[tokio::test]
async fn changes_add_up_and_those_who_want_are_asked_again() {
    let (copies, notes_b) = (serve(copy_b).await, serve(note_b).await);
    let mut object = json!({});
    let hooks = [
        hook(&copies, "a.io", &json!({})),
        hook(&notes_b, "b.io", &json!({})),
    ];
    let (outcome, notes) = run(&hooks, Kind::Mutating, &mut object).await;
    assert_eq!((outcome, &object), (Ok(()), &json!({"a": 1, "b": 1})));
    assert_eq!(notes.warnings, ["seen"]);
    let mut object = json!({});
    let hooks = [
        hook(&copies, "a.io", &json!({"reinvocationPolicy": "Never"})),
        hook(&notes_b, "b.io", &json!({})),
    ];
    run(&hooks, Kind::Mutating, &mut object).await.0.unwrap();
    assert_eq!(object, json!({"b": 1}));
}

#[tokio::test]
async fn a_no_is_heard() {
    let denies = serve(deny).await;
    let (outcome, _) = run(
        &[hook(&denies, "a.io", &json!({}))],
        Kind::Validating,
        &mut json!({}),
    )
    .await;
    assert_eq!(
        outcome.unwrap_err().message(),
        "admission webhook \"a.io\" denied the request: no"
    );
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let (server, other) = (serve(note_b).await, serve(note_b).await);
    let mut wrong = hook(&server, "a.io", &json!({}));
    wrong["clientConfig"]["caBundle"] =
        hook(&other, "", &json!({}))["clientConfig"]["caBundle"].clone();
    let (outcome, _) = run(std::slice::from_ref(&wrong), Kind::Mutating, &mut json!({})).await;
    let message = outcome.unwrap_err().message().to_owned();
    let head = "Internal error occurred: failed calling webhook \"a.io\": failed to call webhook: Post \"https://localhost:";
    assert!(message.starts_with(head), "{message}");
    wrong["failurePolicy"] = json!("Ignore");
    let mut object = json!({});
    assert_eq!(run(&[wrong], Kind::Mutating, &mut object).await.0, Ok(()));
    assert_eq!(object, json!({}));
}

#[tokio::test]
async fn trust_is_said() {
    let server = serve(note_b).await;
    let mut hook = hook(&server, "a.io", &json!({}));
    hook["clientConfig"]["caBundle"] = json!("");
    let (outcome, _) = run(&[hook], Kind::Mutating, &mut json!({})).await;
    let message = outcome.unwrap_err().message().to_owned();
    assert!(
        message.ends_with("caBundle holds no certificate: the system's own are not used"),
        "{message}"
    );
}
