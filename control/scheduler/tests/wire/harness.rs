//! An API server in this process, with a client and a scheduler that talk to it over TLS.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use keelson_client::cache::{Reflector, Store, reflect};
use keelson_client::kubeconfig::Config;
use keelson_client::{ApiPath, Client, Resource};
use keelson_scheduler::{Options, command};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long anything may take on a machine that does a lot else.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server, an administrator and the folder of their keys.
pub struct Cluster {
    pub client: Client,
    kubeconfig: PathBuf,
    _folder: TempDir,
    _stop: oneshot::Sender<()>,
}

fn signed(
    authority: &Issuer<'static, KeyPair>,
    name: &str,
    group: Option<&str>,
) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let loopback = SanType::IpAddress([127, 0, 0, 1].into());
    params.subject_alt_names.push(loopback);
    params.distinguished_name = DistinguishedName::new();
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

impl Cluster {
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test-ca");
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let authority = Issuer::new(params, key);
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let ca = write("ca.crt", root.pem());
        let (certificate, key) = signed(&authority, "kube-apiserver", None);
        let (certificate, key) = (write("server.crt", certificate), write("server.key", key));
        let options = keelson_apiserver::Options::try_parse_from([
            "kube-apiserver".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--secure-port=0".to_owned(),
            "--in-memory".to_owned(),
            format!("--tls-cert-file={certificate}"),
            format!("--tls-private-key-file={key}"),
            format!("--client-ca-file={ca}"),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ]);
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let options = options.unwrap();
        tokio::spawn(async move {
            let tell = |address| {
                let _ = ready.send(address);
            };
            let served = keelson_apiserver::run(options, tell, async {
                let _ = stopped.await;
            });
            served.await.expect("the API server runs");
        });
        let address: std::net::SocketAddr = is_ready.await.expect("a server");
        let (certificate, key) = signed(&authority, "scheduler", Some("system:masters"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{address}"), "certificate-authority": ca}}],
            "users": [{"name": "test", "user": {
                "client-certificate": write("admin.crt", certificate),
                "client-key": write("admin.key", key)}}],
        });
        let kubeconfig = PathBuf::from(write("kubeconfig", config.to_string()));
        let config = Config::from_file(&kubeconfig).unwrap();
        Self {
            client: Client::new(&config, "test").unwrap(),
            kubeconfig,
            _folder: folder,
            _stop: stop,
        }
    }

    /// A scheduler with these flags; it stops when the token is cancelled.
    pub fn scheduler(&self, flags: &[&str], stop: &CancellationToken) -> JoinHandle<()> {
        let mut args = vec![
            "kube-scheduler".to_owned(),
            "--secure-port=0".to_owned(),
            format!("--kubeconfig={}", self.kubeconfig.display()),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let options = Options::try_parse_from(args).unwrap();
        let stop = stop.clone();
        tokio::spawn(async move { command::run(&options, stop).await.expect("a scheduler") })
    }

    pub async fn node(&self, name: &str, cpu: &str, more: Value) {
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
                "capacity": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
        });
        merge(&mut node, more);
        let nodes = core("nodes", "Node", false);
        // The server taints what is new as not ready; nobody takes that back here.
        let made: Value = self.client.create(&nodes.all(), &node).await.unwrap();
        let mut ready = made;
        ready["spec"]["taints"] = node["spec"]["taints"].clone();
        let path = nodes.named("", name);
        self.client.update::<_, Value>(&path, &ready).await.unwrap();
    }

    pub async fn pod(&self, name: &str, cpu: &str, more: Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i",
                "resources": {"requests": {"cpu": cpu}}}]},
        });
        merge(&mut pod, more);
        let pods = core("pods", "Pod", true).within("default");
        self.client.create::<_, Value>(&pods, &pod).await.unwrap();
    }

    /// An object of a list once there is one of which this is true: what is there already is
    /// listed, what comes later is watched.
    pub async fn once(&self, list: &ApiPath, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let (store, writer) = Store::<Thing>::new(Vec::new());
        let stop = CancellationToken::new();
        let _end = stop.clone().drop_guard();
        let reflector = Reflector::new(self.client.clone(), list.clone());
        tokio::spawn(reflect(reflector, writer, stop));
        let mut changes = store.changes();
        let found = async {
            loop {
                let change = changes.next().await;
                if let Some(Thing(object)) = change.current().map(|new| &**new)
                    && is(object)
                {
                    return object.clone();
                }
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| {
            let all = store.all();
            panic!("there is no {what} in {list}: {all:#?}")
        })
    }

    /// A pod once this is true of it.
    pub async fn pod_once(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let list = core("pods", "Pod", true).within("default");
        let is = |pod: &Value| pod["metadata"]["name"] == name && is(pod);
        self.once(&list, &format!("{name} that is {what}"), is)
            .await
    }

    /// Where a pod is once it is anywhere.
    pub async fn bound(&self, name: &str) -> String {
        let pod = self
            .pod_once(name, "bound", |pod| !pod["spec"]["nodeName"].is_null())
            .await;
        pod["spec"]["nodeName"].as_str().unwrap().to_owned()
    }

    /// The message of a pod that no node will do for.
    pub async fn refused(&self, name: &str) -> String {
        let message = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array()?;
            let told = conditions.iter().find(|c| c["reason"] == "Unschedulable")?;
            told["message"].as_str().map(str::to_owned)
        };
        let pod = self
            .pod_once(name, "refused", |pod| message(pod).is_some())
            .await;
        message(&pod).unwrap()
    }
}

pub fn core(plural: &'static str, kind: &'static str, namespaced: bool) -> Resource {
    Resource::fixed("", "v1", plural, kind, namespaced)
}

pub fn pod_path(name: &str) -> ApiPath {
    core("pods", "Pod", true).named("default", name)
}

/// Puts fields into an object, deeply.
pub fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, more) => *into = more,
    }
}

/// Any object.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
struct Thing(Value);

impl Thing {
    fn meta(&self, field: &str) -> &str {
        self.0["metadata"][field].as_str().unwrap_or_default()
    }
}

impl keelson_client::Object for Thing {
    fn namespace(&self) -> &str {
        self.meta("namespace")
    }

    fn name(&self) -> &str {
        self.meta("name")
    }

    fn resource_version(&self) -> &str {
        self.meta("resourceVersion")
    }
}
