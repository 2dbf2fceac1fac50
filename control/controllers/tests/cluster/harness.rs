//! A cluster of its own for each test: an API server in memory and controllers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use keelson_client::kubeconfig::Config;
use keelson_client::request::{DeleteOptions, ListOptions, Patch, WriteOptions};
use keelson_client::{Client, Resource};
use keelson_controllers::options::Options;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long anything may take on a machine that does a lot else.
const DEADLINE: Duration = Duration::from_secs(90);

pub const NAMESPACES: Resource = Resource::fixed("", "v1", "namespaces", "Namespace", false);
pub const PODS: Resource = Resource::fixed("", "v1", "pods", "Pod", true);
pub const NODES: Resource = Resource::fixed("", "v1", "nodes", "Node", false);
pub const CONFIG_MAPS: Resource = Resource::fixed("", "v1", "configmaps", "ConfigMap", true);

/// A running cluster.
pub struct Cluster {
    pub client: Client,
    stop: CancellationToken,
    _end: oneshot::Sender<()>,
    _folder: TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test-ca");
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.crt"), root.pem()).unwrap();
        std::fs::write(folder.join("ca.key"), key.serialize_pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            folder: folder.to_owned(),
        }
    }

    /// Writes NAME.crt and NAME.key.
    fn issue(&self, name: &str, group: &str) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |kind: &str, text: String| {
            std::fs::write(self.folder.join(format!("{name}.{kind}")), text).unwrap();
        };
        write("crt", certificate.pem());
        write("key", key.serialize_pem());
    }
}

impl Cluster {
    /// A cluster whose controllers get these flags too.
    pub async fn start(flags: &[&str]) -> Self {
        let log = tracing_subscriber::fmt().with_env_filter("keelson_controllers=info,warn");
        // The first test sets it for all.
        let _ = log.with_test_writer().try_init();
        let folder = TempDir::new().unwrap();
        let authority = Authority::new(folder.path());
        authority.issue("kube-apiserver", "none");
        authority.issue("admin", "system:masters");
        let (address, end) = serve(folder.path()).await;
        let kubeconfig = kubeconfig(folder.path(), address);
        let config = Config::from_file(&kubeconfig).unwrap();
        let client = Client::new(&config, "test").unwrap();
        let stop = CancellationToken::new();
        control(folder.path(), &kubeconfig, flags, stop.clone());
        Self {
            client,
            stop,
            _end: end,
            _folder: folder,
        }
    }

    /// Creates an object and says what the server made of it.
    pub async fn make(&self, resource: &Resource, namespace: &str, mut object: Value) -> Value {
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        let path = resource.within(namespace);
        self.client.create(&path, &object).await.unwrap()
    }

    /// An object, if it is there.
    pub async fn find(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        match self.client.get(&resource.named(namespace, name)).await {
            Err(error) if error.is_not_found() => None,
            object => Some(object.unwrap()),
        }
    }

    /// All objects of a namespace.
    pub async fn list(&self, resource: &Resource, namespace: &str) -> Vec<Value> {
        let path = resource.within(namespace);
        let options = ListOptions::default();
        self.client.list(&path, &options).await.unwrap().items
    }

    /// Changes an object, or a part of it such as `status`.
    pub async fn change(
        &self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        part: &str,
        changes: Value,
    ) -> Value {
        let mut path = resource.named(namespace, name);
        if !part.is_empty() {
            path = path.subresource(part);
        }
        let options = WriteOptions::default();
        self.client
            .patch(&path, &Patch::Merge(changes), &options)
            .await
            .unwrap()
    }

    /// Deletes an object.
    pub async fn delete(
        &self,
        resource: &Resource,
        (namespace, name): (&str, &str),
        policy: Option<&'static str>,
    ) {
        let options = DeleteOptions {
            propagation_policy: policy,
            ..DeleteOptions::default()
        };
        let path = resource.named(namespace, name);
        self.client.delete(&path, &options).await.unwrap();
    }

    /// A namespace that pods can be made in.
    pub async fn namespace(&self, name: &str) {
        self.make(&NAMESPACES, "", json!({"metadata": {"name": name}}))
            .await;
        let accounts = Resource::fixed("", "v1", "serviceaccounts", "ServiceAccount", true);
        eventually("an account", async || {
            self.find(&accounts, name, "default").await
        })
        .await;
    }
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "there was never {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn serve(folder: &Path) -> (SocketAddr, oneshot::Sender<()>) {
    let flag = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
    let options = keelson_apiserver::Options::try_parse_from([
        "kube-apiserver".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--secure-port=0".to_owned(),
        "--in-memory".to_owned(),
        flag("tls-cert-file", "kube-apiserver.crt"),
        flag("tls-private-key-file", "kube-apiserver.key"),
        flag("client-ca-file", "ca.crt"),
        flag("data-dir", "data"),
        flag("service-account-signing-key-file", "kube-apiserver.key"),
        flag("service-account-key-file", "kube-apiserver.key"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
    ]);
    let (end, ended) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    tokio::spawn(async move {
        let tell = |address| {
            let _ = ready.send(address);
        };
        let served = keelson_apiserver::run(options.unwrap(), tell, async {
            let _ = ended.await;
        });
        served.await.expect("a server");
    });
    (is_ready.await.expect("a server"), end)
}

fn kubeconfig(folder: &Path, address: SocketAddr) -> PathBuf {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{address}"),
            "certificate-authority": folder.join("ca.crt")}}],
        "users": [{"name": "test", "user": {
            "client-certificate": folder.join("admin.crt"),
            "client-key": folder.join("admin.key")}}],
    });
    let path = folder.join("kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

fn control(folder: &Path, kubeconfig: &Path, flags: &[&str], stop: CancellationToken) {
    let mut args = vec![
        "kube-controller-manager".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-ca-file={}", folder.join("ca.crt").display()),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials".to_owned(),
    ];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let options = Options::try_parse_from(args).unwrap();
    tokio::spawn(async move {
        keelson_controllers::run::run(options, stop)
            .await
            .expect("controllers");
    });
}
