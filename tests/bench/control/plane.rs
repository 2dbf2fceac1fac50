//! A control plane of processes: our API server, with what a client needs to talk to it, and other
//! programs beside it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use keelson_client::kubeconfig::Config;
use keelson_client::{Client, Resource};
use keelson_tests::requires;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Nodes.
pub const NODES: Resource = Resource::fixed("", "v1", "nodes", "Node", false);
/// Pods.
pub const PODS: Resource = Resource::fixed("", "v1", "pods", "Pod", true);
/// Writes under way at once.
const AT_ONCE: usize = 64;
/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A process that ends with its value.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts one of our programs.
    pub fn start(program: &str, args: &[String]) -> Self {
        let child = Command::new(requires::keelson())
            .arg(program)
            .args(args)
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the program starts"))
    }

    /// Resident memory, in MiB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    /// Seconds on a processor.
    pub fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        let stat = stat.expect("the process runs");
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after.split(' ').skip(11).take(2);
        ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

/// A file of this text.
fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

fn signed(authority: &Issuer<'static, KeyPair>, name: &str, group: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    let loopback = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    params.subject_alt_names.push(loopback);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// An API server with a client's kubeconfig.
pub async fn server(folder: &Path) -> (Process, PathBuf, Client) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&key).expect("an authority");
    let authority = Issuer::new(params, key);
    let ca = write(folder, "ca.crt", &root.pem());
    let (certificate, key) = signed(&authority, "kube-apiserver", "x");
    let certificate = write(folder, "server.crt", &certificate);
    let key = write(folder, "server.key", &key);
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let address: SocketAddr = free.expect("a port");
    let process = Process::start(
        "kube-apiserver",
        &[
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", address.port()),
            format!("--tls-cert-file={}", certificate.display()),
            format!("--tls-private-key-file={}", key.display()),
            format!("--client-ca-file={}", ca.display()),
            format!("--data-dir={}", folder.join("data").display()),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--service-account-key-file={}", key.display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ],
    );
    let (certificate, key) = signed(&authority, "bench", "system:masters");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://{address}"), "certificate-authority": ca}}],
        "users": [{"name": "bench", "user": {
            "client-certificate": write(folder, "bench.crt", &certificate),
            "client-key": write(folder, "bench.key", &key)}}],
    });
    let kubeconfig = write(folder, "kubeconfig", &config.to_string());
    let config = Config::from_file(&kubeconfig).expect("a kubeconfig");
    let client = Client::new(&config, "bench").expect("a client");
    let end = Instant::now() + PATIENCE;
    while client.raw(hyper::Method::GET, "/readyz").await.is_err() {
        assert!(Instant::now() < end, "the API server is not ready");
        sleep(Duration::from_millis(50)).await;
    }
    (process, kubeconfig, client)
}

/// Creates objects, many at once.
pub async fn create(client: &Client, resource: &Resource, objects: impl Iterator<Item = Value>) {
    let path = resource.within("default");
    let mut waiting = FuturesUnordered::new();
    for object in objects {
        if waiting.len() == AT_ONCE {
            waiting.next().await;
        }
        let path = &path;
        waiting.push(async move {
            let made = client
                .create::<_, serde::de::IgnoredAny>(path, &object)
                .await;
            made.expect("the object is created");
        });
    }
    while waiting.next().await.is_some() {}
}
