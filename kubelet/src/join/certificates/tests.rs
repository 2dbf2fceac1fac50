//! Certificates from an apiserver that signs everything, or nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use keelson_client::Error;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::join::certificates::keeper::Keeper;
use crate::join::fake_api::{Authority, FakeApi, Reply, Seen, watch_of};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// What the server knows of requests: the watches must not be dropped.
#[derive(Default)]
struct Signatures {
    asked: Mutex<String>,
    watches: Mutex<Vec<mpsc::Sender<Value>>>,
    made: AtomicUsize,
}

impl Signatures {
    fn answer(&self, seen: &Seen, status: impl Fn(&str) -> Value) -> Reply {
        match (seen.method.as_str(), seen.path()) {
            ("POST", REQUESTS) => {
                let request = seen.body["spec"]["request"].as_str().unwrap();
                let request = STANDARD.decode(request).unwrap();
                *self.asked.lock() = String::from_utf8(request).unwrap();
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                let name = format!("csr-{number}");
                Reply::Json(
                    201,
                    json!({"metadata": {"name": name, "resourceVersion": "1"}}),
                )
            }
            ("GET", REQUESTS) => {
                let name = seen.url.split("metadata.name%3D").nth(1).unwrap();
                let name = name.split('&').next().unwrap();
                let metadata = json!({"name": name, "resourceVersion": "2"});
                let status = status(&self.asked.lock());
                let (sender, reply) = watch_of(&[json!({"metadata": metadata, "status": status})]);
                self.watches.lock().push(sender);
                reply
            }
            _ => Reply::Json(200, json!({"kind": "Status"})),
        }
    }
}

/// Signs everything for so long.
async fn signing(good_for: Duration) -> FakeApi {
    let (authority, signatures) = (Authority::new(), Signatures::default());
    let signer = authority.clone();
    let signed = move |request: &str| {
        let certificate = signer.sign(request, good_for);
        json!({"certificate": STANDARD.encode(certificate)})
    };
    FakeApi::start_by(authority, move |seen| signatures.answer(seen, &signed)).await
}

fn configuration(place: &TempDir, api: &FakeApi, bootstrap: bool) -> Config {
    let config = place.path().join("config.yaml");
    let text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nrotateCertificates: true\n";
    fs::write(&config, text).unwrap();
    let mut flags = vec![
        "kubelet".to_owned(),
        format!("--config={}", config.display()),
        format!(
            "--kubeconfig={}",
            place.path().join("kubelet.conf").display()
        ),
        format!("--cert-dir={}", place.path().join("pki").display()),
    ];
    if bootstrap {
        let way_in = api.write_kubeconfig("bootstrap.conf", &json!({"token": "abcdef.0123"}));
        flags.push(format!("--bootstrap-kubeconfig={}", way_in.display()));
    }
    crate::config::load(flags.into_iter().map(Into::into))
        .unwrap()
        .0
}

async fn joined(config: &Config) -> Result<Access, AccessError> {
    let kubeconfig = config.options.kubeconfig.clone().unwrap();
    access(config, &kubeconfig, "n").await
}

/// Asks for something as who the access says, and returns the certificate that was shown.
async fn shown_to(api: &FakeApi, access: &Access) -> Vec<u8> {
    let client = Client::new(access, "kubelet").unwrap();
    let before = api.seen().len();
    client.raw(hyper::Method::GET, "/version").await.unwrap();
    api.seen()[before].certificate.clone()
}

#[tokio::test]
async fn a_node_enrols_by_its_bootstrap_token() {
    let (api, place) = (
        signing(Duration::from_secs(3600)).await,
        tempfile::tempdir().unwrap(),
    );
    let config = configuration(&place, &api, true);
    let access = joined(&config).await.unwrap();
    let seen = api.seen();
    let request = &seen[0];
    assert_eq!(request.line(), format!("POST {REQUESTS}"));
    assert_eq!(request.header("authorization"), "Bearer abcdef.0123");
    let spec = &request.body["spec"];
    assert_eq!(
        spec["signerName"],
        "kubernetes.io/kube-apiserver-client-kubelet"
    );
    assert_eq!(spec["usages"], json!(["digital signature", "client auth"]));
    let pki = place.path().join("pki");
    let current = pki.join("kubelet-client-current.pem");
    let pair = fs::read_to_string(&current).unwrap();
    assert!(
        pair.contains("BEGIN CERTIFICATE") && pair.contains("PRIVATE KEY"),
        "{pair}"
    );
    let written = fs::read_to_string(place.path().join("kubelet.conf")).unwrap();
    assert!(written.contains("kubelet-client-current.pem") && !written.contains("abcdef"));
    let certificate = shown_to(&api, &access).await;
    let subject = keelson_api::certificate_subject::Subject::of(&certificate).unwrap();
    assert_eq!(subject.common_name.as_deref(), Some("system:node:n"));
    // The next start needs no token.
    let asked = api.seen().len();
    joined(&config).await.unwrap();
    assert_eq!(api.seen().len(), asked);
}

#[tokio::test]
async fn an_expired_certificate_is_replaced_by_a_token_and_told_of_without() {
    let (api, place) = (signing(Duration::ZERO).await, tempfile::tempdir().unwrap());
    let with_token = configuration(&place, &api, true);
    joined(&with_token).await.unwrap();
    let asked = || {
        api.seen()
            .iter()
            .filter(|seen| seen.method == "POST")
            .count()
    };
    assert_eq!(asked(), 1);
    let access = joined(&with_token).await.unwrap();
    assert_eq!(asked(), 2, "it had expired");
    assert!(matches!(
        standing(&access, Timestamp::now()),
        Standing::Expired(_)
    ));
    // Without a token the node starts all the same: static pods need nobody.
    let without = configuration(&place, &api, false);
    joined(&without).await.unwrap();
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn a_refusal_says_why() {
    let signatures = Signatures::default();
    let denied = |_: &str| json!({"conditions": [{"type": "Denied", "message": "not you"}]});
    let api = FakeApi::start(move |seen| signatures.answer(seen, denied)).await;
    let refused = enrol(&api.client(), &Wish::client("n")).await.unwrap_err();
    let expected = "certificate signing request csr-0 is denied: not you";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told() {
    let api = FakeApi::start(|_| Reply::refusal(403, "Forbidden")).await;
    let refused = enrol(&api.client(), &Wish::client("n")).await.unwrap_err();
    assert!(
        matches!(&refused, enrol::EnrolError::Api(Error::Status { .. })),
        "{refused}"
    );
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends_and_shown() {
    let (api, place) = (
        signing(Duration::from_secs(3600)).await,
        tempfile::tempdir().unwrap(),
    );
    let config = configuration(&place, &api, true);
    let access = joined(&config).await.unwrap();
    let first = shown_to(&api, &access).await;
    let store = client_store(&config);
    let second = Duration::from_secs;
    let old = api.authority.pair(second(1000), second(60));
    store.store(&old).unwrap();
    let keeper = Keeper {
        client: Client::new(&access, "kubelet").unwrap(),
        wish: Wish::client("n"),
        store: client_store(&config),
        trouble: watch::Sender::new(None),
    };
    let mut trouble = keeper.trouble.subscribe();
    let running = tokio::spawn(keeper.run(CancellationToken::new()));
    trouble.wait_for(Option::is_some).await.unwrap();
    trouble.wait_for(Option::is_none).await.unwrap();
    let second = shown_to(&api, &access).await;
    assert_ne!(first, second);
    let validity = store.validity().unwrap();
    assert!(validity.until.duration_since(Timestamp::now()).as_secs() > 3000);
    running.abort();
}

#[tokio::test]
async fn a_servers_request_names_its_addresses() {
    let api = signing(Duration::from_secs(60)).await;
    let addresses = ["192.0.2.7".parse().unwrap()];
    enrol(&api.client(), &Wish::server("n", &addresses))
        .await
        .unwrap();
    let spec = api.seen()[0].body["spec"].clone();
    assert_eq!(spec["signerName"], "kubernetes.io/kubelet-serving");
    assert_eq!(spec["usages"], json!(["digital signature", "server auth"]));
    let request = STANDARD.decode(spec["request"].as_str().unwrap()).unwrap();
    use rustls::pki_types::CertificateSigningRequestDer;
    use rustls::pki_types::pem::PemObject as _;
    let der = CertificateSigningRequestDer::from_pem_slice(&request).unwrap();
    for part in [
        &b"system:nodes"[..],
        b"system:node:n",
        &[0x87, 4, 192, 0, 2, 7],
    ] {
        assert!(
            der.windows(part.len()).any(|window| window == part),
            "{part:?}"
        );
    }
}
