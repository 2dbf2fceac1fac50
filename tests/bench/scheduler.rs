//! The scheduler end to end: our API server and scheduler as processes of their own, hollow nodes
//! that are objects only, pods that are there when the scheduler begins. Prints rows; asserts
//! nothing. `cargo bench -p keelson-scheduler` measures decisions alone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use keelson_client::cache::{Reflector, reflect};
use keelson_client::kubeconfig::Config;
use keelson_client::{Client, Resource, Store};
use keelson_tests::requires;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const NODES: usize = 5_000;
const PODS: usize = 10_000;
/// Writes under way at once.
const AT_ONCE: usize = 64;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(all());
}

/// A process that ends with its value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(program: &str, args: &[String]) -> Self {
        let child = Command::new(requires::keelson())
            .arg(program)
            .args(args)
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the program starts"))
    }

    /// Resident memory, in MiB.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    /// Seconds on a processor.
    fn processor(&self) -> f64 {
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
async fn server(folder: &Path) -> (Process, PathBuf, Client) {
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

fn node(number: usize) -> Value {
    let name = format!("node-{number:05}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{}", number % 3)}},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"}},
    })
}

fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number:06}"), "namespace": "default",
            "labels": {"app": "bench"}},
        "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "i",
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
    })
}

async fn create(client: &Client, resource: &Resource, objects: impl Iterator<Item = Value>) {
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

async fn all() {
    let folder = TempDir::new().expect("a folder");
    let (server, kubeconfig, client) = server(folder.path()).await;
    let core = |plural, kind, namespaced| Resource::fixed("", "v1", plural, kind, namespaced);
    let idle = scheduler(&kubeconfig);
    sleep(Duration::from_secs(5)).await;
    println!(
        "resident, empty cluster                {:>9.1} MiB",
        idle.resident()
    );
    drop(idle);
    create(&client, &core("nodes", "Node", false), (0..NODES).map(node)).await;
    let pods = core("pods", "Pod", true);
    create(&client, &pods, (0..PODS).map(pod)).await;

    let (store, writer) = Store::<Bound>::new(Vec::new());
    let reflector = Reflector::new(client.clone(), pods.all()).fields("spec.nodeName!=");
    let stop = tokio_util::sync::CancellationToken::new();
    let watching = tokio::spawn(reflect(reflector, writer, stop.clone()));
    let began = Instant::now();
    let process = scheduler(&kubeconfig);
    let end = began + PATIENCE;
    let mut first = None;
    while store.len() < PODS {
        assert!(Instant::now() < end, "only {} pods are bound", store.len());
        if first.is_none() && !store.is_empty() {
            first = Some(Instant::now());
        }
        sleep(Duration::from_millis(5)).await;
    }
    let took = first.unwrap_or(began).elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(PODS).unwrap_or(0)) / took;
    println!("{NODES} nodes, {PODS} pods, bound end to end {rate:>6.0} pods/s");
    println!(
        "resident, {NODES} nodes, {PODS} pods   {:>9.1} MiB",
        process.resident()
    );
    println!(
        "processor time of the scheduler       {:>9.1} s",
        process.processor()
    );
    println!(
        "resident, API server                   {:>9.1} MiB",
        server.resident()
    );
    stop.cancel();
    let _ = watching.await;
}

fn scheduler(kubeconfig: &Path) -> Process {
    Process::start(
        "kube-scheduler",
        &[
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ],
    )
}

/// A pod that is bound, by name alone.
#[derive(serde::Deserialize)]
struct Bound {
    metadata: Metadata,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Box<str>,
    resource_version: Box<str>,
}

impl keelson_client::Object for Bound {
    fn namespace(&self) -> &str {
        "default"
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}
