//! Who may read a program's metrics: the cluster is asked, and vouches for certificates.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::{Method, StatusCode};
use keelson_client::kubeconfig::{Config, Identity, Server};
use keelson_client::site::{self, Authority, Gate, Place};
use keelson_client::{Client, Resource};
use keelson_controllers::kinds::{Kind as _, ServiceAccount};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, PATIENCE};

const ROLES: Resource = Resource::fixed(
    "rbac.authorization.k8s.io",
    "v1",
    "clusterroles",
    "ClusterRole",
    false,
);
const BINDINGS: Resource = Resource::fixed(
    "rbac.authorization.k8s.io",
    "v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
    false,
);

/// What a site answers to a client: the page, or the status of the refusal.
async fn read(site: SocketAddr, path: &str, who: Config) -> Result<String, u16> {
    let config = Config {
        servers: vec![Server {
            https: true,
            host: site.ip().to_string(),
            port: site.port(),
            prefix: String::new(),
        }],
        ca: None,
        insecure: true,
        ..who
    };
    let client = Client::new(&config, "test").unwrap();
    match client.raw(Method::GET, path).await {
        Ok(page) => Ok(String::from_utf8(page.to_vec()).unwrap()),
        Err(error) => Err(error.status().expect("an answer").code),
    }
}

fn nobody() -> Config {
    Config::plain("", 0)
}

fn bearer(token: &str) -> Config {
    Config {
        identity: Identity::Token(token.to_owned()),
        ..nobody()
    }
}

/// A certificate that nobody vouches for.
fn stranger() -> Config {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(Vec::new()).unwrap();
    let made = made.self_signed(&key).unwrap();
    let pem = |text: String| keelson_client::kubeconfig::Pem::Inline(text.into_bytes());
    Config {
        certificate: Some((pem(made.pem()), pem(key.serialize_pem()))),
        ..nobody()
    }
}

async fn token_of(cluster: &Cluster, account: &str) -> String {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600}});
    let path = ServiceAccount::RESOURCE.named("default", account);
    let path = path.subresource("token");
    let granted: Value = cluster.client.create(&path, &request).await.unwrap();
    granted["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_for_whom_the_cluster_lets_read_them() {
    let cluster = Cluster::start().await;
    for account in ["scraper", "other"] {
        let object = json!({"metadata": {"name": account}});
        cluster.create(&ServiceAccount::RESOURCE, object).await;
    }
    let rules = json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]);
    let role = json!({"metadata": {"name": "scrape"}, "rules": rules});
    cluster.create(&ROLES, role).await;
    let binding = json!({"metadata": {"name": "scrape"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrape"},
        "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": "default"}]});
    cluster.create(&BINDINGS, binding).await;

    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let asked = || cluster.client.clone();
    let authority = Authority::of_cluster(&cluster.client, &mut tasks, stop.clone());
    let gate = Gate::new(authority, asked(), asked(), vec!["/healthz".to_owned()]);
    let pages = |path: &str| (path != "/none").then(|| (StatusCode::OK, path.to_owned()));
    let place = Place {
        address: ([127, 0, 0, 1], 0).into(),
        certificate: None,
    };
    let opened = site::open(place, gate, Box::new(pages), &mut tasks, stop.clone()).await;
    let site = opened.unwrap();

    let page = |path: &str| Ok(path.to_owned());
    assert_eq!(read(site, "/healthz", nobody()).await, page("/healthz"));
    assert_eq!(read(site, "/metrics", nobody()).await, Err(403));
    assert_eq!(read(site, "/metrics", bearer("x")).await, Err(401));
    assert_eq!(read(site, "/metrics", stranger()).await, Err(401));
    let (scraper, other) = (
        token_of(&cluster, "scraper").await,
        token_of(&cluster, "other").await,
    );
    assert_eq!(
        read(site, "/metrics", bearer(&scraper)).await,
        page("/metrics")
    );
    assert_eq!(read(site, "/configz", bearer(&scraper)).await, Err(403));
    assert_eq!(read(site, "/metrics", bearer(&other)).await, Err(403));
    // The ConfigMap that says who vouches for certificates has to arrive first.
    let end = Instant::now() + PATIENCE;
    while read(site, "/metrics", cluster.config("admin")).await != page("/metrics") {
        assert!(
            Instant::now() < end,
            "the administrator's certificate is never known"
        );
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(read(site, "/none", cluster.config("admin")).await, Err(404));
    assert_eq!(
        read(site, "/metrics", cluster.config("manager")).await,
        Err(403)
    );
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}
