//! An API server in this process, controllers that are service accounts of it, and a hollow kubelet
//! that reports of each pod what its annotations ask for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use keelson_client::cache::{Changes, Reflector, reflect};
use keelson_client::kubeconfig::Config;
use keelson_client::request::{DeleteOptions, ListOptions, Patch, WriteOptions};
use keelson_client::{ApiPath, Client, Object as _, Resource, Store};
use keelson_controllers::kinds::{Kind as _, Pod};
use keelson_controllers::options::Options;
use keelson_controllers::run::run;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long anything may take on a machine that does a lot else.
pub const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a hollow pod ends: `Succeeded` or `Failed`. One without goes on.
pub const ENDS: &str = "hollow/ends";

/// Uid and name of a pod.
pub type Born = (Box<str>, Box<str>);

/// A server, an administrator and the folder of their keys.
pub struct Cluster {
    pub client: Client,
    /// The uids and names of all pods that there ever were, in the order in which they came.
    pub seen: Arc<Mutex<Vec<Born>>>,
    folder: TempDir,
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
        let ca_key = key.serialize_pem();
        let authority = Issuer::new(params, key);
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let ca = write("ca.crt", root.pem());
        write("ca.key", ca_key);
        let (certificate, key) = signed(&authority, "kube-apiserver", None);
        let (certificate, key) = (write("server.crt", certificate), write("server.key", key));
        let tokens = write("sa.key", KeyPair::generate().unwrap().serialize_pem());
        let options = keelson_apiserver::Options::try_parse_from([
            "kube-apiserver".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--secure-port=0".to_owned(),
            "--in-memory".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={tokens}"),
            format!("--tls-cert-file={certificate}"),
            format!("--tls-private-key-file={key}"),
            format!("--client-ca-file={ca}"),
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
        let config = |file: &str, name: &str, group: Option<&str>| {
            let (certificate, key) = signed(&authority, name, group);
            let text = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": {
                    "server": format!("https://{address}"), "certificate-authority": ca}}],
                "users": [{"name": "test", "user": {
                    "client-certificate": write(&format!("{file}.crt"), certificate),
                    "client-key": write(&format!("{file}.key"), key)}}],
            });
            PathBuf::from(write(file, text.to_string()))
        };
        config("manager", "system:kube-controller-manager", None);
        let admin = config("admin", "admin", Some("system:masters"));
        let client = Client::new(&Config::from_file(&admin).unwrap(), "test").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(hollow(client.clone(), seen.clone()));
        Self {
            client,
            seen,
            folder,
            _stop: stop,
        }
    }

    /// The way to the server as `admin` or `manager`.
    pub fn config(&self, who: &str) -> Config {
        Config::from_file(&self.folder.path().join(who)).unwrap()
    }

    /// A manager with these flags; it stops when the token is cancelled.
    pub fn manager(&self, flags: &[&str], stop: &CancellationToken) -> JoinHandle<()> {
        let kubeconfig = self.folder.path().join("manager");
        let mut args = vec![
            "kube-controller-manager".to_owned(),
            "--secure-port=0".to_owned(),
            "--use-service-account-credentials".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
        ];
        for (flag, file) in [
            ("root-ca-file", "ca.crt"),
            ("cluster-signing-cert-file", "ca.crt"),
            ("cluster-signing-key-file", "ca.key"),
            ("service-account-private-key-file", "sa.key"),
        ] {
            args.push(format!(
                "--{flag}={}",
                self.folder.path().join(file).display()
            ));
        }
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let options = Options::try_parse_from(args).unwrap();
        let stop = stop.clone();
        tokio::spawn(async move { run(options, stop).await.expect("a manager") })
    }

    pub async fn create(&self, resource: &Resource, object: Value) {
        self.create_in("default", resource, object).await;
    }

    pub async fn create_in(&self, namespace: &str, resource: &Resource, object: Value) {
        let mut object = object;
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        let list = resource.within(namespace);
        let made = self.client.create::<_, Value>(&list, &object).await;
        made.unwrap_or_else(|error| panic!("{error}: {object:#}"));
    }

    pub async fn patch(&self, path: &ApiPath, change: Value) {
        let options = WriteOptions::default();
        let patch = Patch::Merge(change);
        let patched = self.client.patch::<Value>(path, &patch, &options).await;
        patched.unwrap();
    }

    /// An object once this is true of it.
    pub async fn once(&self, path: &ApiPath, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let object: Value = self.client.get(path).await.unwrap();
            if is(&object) {
                return object;
            }
            assert!(Instant::now() < end, "{path} is not {what}: {object:#}");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// An object once it is there and this is true of it.
    pub async fn once_there(&self, path: &ApiPath, what: &str, is: impl Fn(&Value) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.client.get::<Value>(path).await {
                Ok(object) if is(&object) => return,
                Err(error) if !error.is_not_found() => panic!("{error}"),
                _ => {}
            }
            assert!(Instant::now() < end, "{path} is not {what}");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until an object is gone.
    pub async fn once_gone(&self, path: &ApiPath) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.client.get::<Value>(path).await {
                Err(error) if error.is_not_found() => return,
                left => assert!(Instant::now() < end, "{path} stays: {left:?}"),
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The objects of a kind in the namespace.
    pub async fn all(&self, resource: &Resource) -> Vec<Value> {
        let list = resource.within("default");
        let options = ListOptions::default();
        let page = self.client.list::<Value>(&list, &options).await;
        page.unwrap().items
    }

    /// The objects of a kind once this is true of them.
    pub async fn all_once(
        &self,
        resource: &Resource,
        what: &str,
        are: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.all(resource).await;
            if are(&all) {
                return all;
            }
            assert!(Instant::now() < end, "{resource} are not {what}: {all:#?}");
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Says of each pod that it runs, or has ended, and removes what is leaving.
async fn hollow(client: Client, seen: Arc<Mutex<Vec<Born>>>) {
    let (store, writer) = Store::<Pod>::new(Pod::all_indexes());
    let mut changes: Changes<Pod> = store.changes();
    let reflector = Reflector::new(client.clone(), Pod::RESOURCE.all());
    tokio::spawn(reflect(reflector, writer, CancellationToken::new()));
    let mut known = BTreeSet::new();
    loop {
        let change = changes.next().await;
        let Some(pod) = change.current() else {
            continue;
        };
        let born = (pod.metadata.uid.clone(), pod.metadata.name.clone());
        seen.lock()
            .extend(known.insert(born.0.clone()).then_some(born));
        let path = Pod::RESOURCE.named(pod.namespace(), pod.name());
        if pod.metadata.is_leaving() {
            let now = DeleteOptions::now(&pod.metadata.uid);
            let _ = client.delete(&path, &now).await;
            continue;
        }
        let wanted = pod
            .metadata
            .annotations
            .get(ENDS)
            .map_or("Running", String::as_str);
        if &*pod.status.phase == wanted && (wanted != "Running" || pod.is_ready()) {
            continue;
        }
        let ready = if wanted == "Running" { "True" } else { "False" };
        let status = json!({"status": {"phase": wanted, "conditions": [{"type": "Ready",
            "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let patch = Patch::Merge(status);
        let path = path.subresource("status");
        let options = WriteOptions::default();
        // A pod that was removed meanwhile needs no status.
        let _ = client.patch::<Value>(&path, &patch, &options).await;
    }
}
