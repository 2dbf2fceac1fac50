//! What is measured: a server in a process of its own, or a bare handler on the same TLS stack.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::load::{Connection, Work};

/// The argument that makes this program the API server.
pub const SERVE: &str = "__serve";
/// The argument that makes it answer everything with 1 KiB.
pub const BARE: &str = "__bare";
const PATIENCE: Duration = Duration::from_secs(60);

/// Certificates of the server and of somebody who may do everything.
pub struct Keys {
    folder: TempDir,
    client: Arc<ClientConfig>,
}

impl Keys {
    pub fn make() -> Self {
        let folder = TempDir::new().expect("a folder");
        let key = || KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = key();
        let root = params.self_signed(&root_key).expect("a certificate");
        let issuer = Issuer::new(params, root_key);
        let issue = |name: &str, group: &str| {
            let mut params =
                CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
            params.distinguished_name.push(DnType::CommonName, name);
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
            let key = key();
            (params.signed_by(&key, &issuer).expect("a certificate"), key)
        };
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        let (server, server_key) = issue("kube-apiserver", "");
        let (admin, admin_key) = issue("admin", "system:masters");
        write("ca.crt", root.pem());
        write("server.crt", server.pem());
        write("server.key", server_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(admin_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![admin.der().clone()], private)
            .expect("a pair");
        let client = Arc::new(client);
        Self { folder, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A process that answers.
pub struct Target {
    pub address: SocketAddr,
    pub client: Arc<ClientConfig>,
    /// From its exec to its first answer.
    pub ready_after: Duration,
    process: Child,
    data: TempDir,
    command: (OsString, Vec<String>),
}

impl Target {
    /// A server on an empty embedded store.
    pub async fn start(keys: &Keys) -> Self {
        Self::with(keys, &[]).await
    }

    /// A server with more flags.
    pub async fn with(keys: &Keys, more: &[String]) -> Self {
        let data = TempDir::new().expect("a folder");
        let (program, first) = match std::env::var_os("KEELSON_TEST_KEELSON") {
            Some(binary) => (binary, "kube-apiserver"),
            None => (std::env::current_exe().expect("a program").into(), SERVE),
        };
        let flag = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let mut args = vec![
            first.to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "-v=0".to_owned(),
            flag("data-dir", data.path().join("data")),
            flag("tls-cert-file", keys.path("server.crt")),
            flag("tls-private-key-file", keys.path("server.key")),
            flag("client-ca-file", keys.path("ca.crt")),
        ];
        args.extend(more.iter().cloned());
        Self::launch(keys, data, (program, args)).await
    }

    /// A handler that does nothing but answer.
    pub async fn bare(keys: &Keys) -> Self {
        let program = std::env::current_exe().expect("a program").into();
        let data = TempDir::new().expect("a folder");
        let folder = keys.folder.path().display().to_string();
        Self::launch(keys, data, (program, vec![BARE.to_owned(), folder])).await
    }

    async fn launch(keys: &Keys, data: TempDir, command: (OsString, Vec<String>)) -> Self {
        let (process, address, ready_after) = exec(&command, &keys.client).await;
        let client = Arc::clone(&keys.client);
        Self {
            address,
            client,
            ready_after,
            process,
            data,
            command,
        }
    }

    /// Ends it and starts it again on what it has stored.
    pub async fn restart(&mut self) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::TERM)
            .expect("a signal");
        self.process.wait().expect("an end");
        (self.process, self.address, self.ready_after) = exec(&self.command, &self.client).await;
    }

    /// MiB of memory that it has.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|text| text.parse::<f64>().ok())
            .expect("a size")
            / 1024.0
    }

    /// MiB of its store's files.
    pub fn file(&self) -> f64 {
        let entries = std::fs::read_dir(self.data.path().join("data")).expect("a folder");
        let size = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.metadata().ok();
        let all: u64 = entries.filter_map(size).map(|data| data.len()).sum();
        all as f64 / f64::from(1 << 20)
    }

    /// The processor's time that it has used.
    pub fn time(&self) -> Duration {
        time_of(&self.process.id().to_string())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a program and waits until it answers that it is ready.
async fn exec(
    command: &(OsString, Vec<String>),
    client: &Arc<ClientConfig>,
) -> (Child, SocketAddr, Duration) {
    // The port is chosen here, so that it can be told.
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("an address");
    drop(held);
    let begun = Instant::now();
    let process = Command::new(&command.0)
        .args(&command.1)
        .arg(format!("--secure-port={}", address.port()))
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let ready = async {
        while !is_ready(address, client).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("a server that is ready");
    (process, address, begun.elapsed())
}

async fn is_ready(address: SocketAddr, client: &Arc<ClientConfig>) -> bool {
    let Some(mut connection) = Connection::dial(address, client).await else {
        return false;
    };
    connection.ask(&Work::get("/readyz")).await.code == 200
}

/// The processor's time that a process has used; 100 ticks are a second.
pub fn time_of(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Answers everything with 1 KiB, over the same TLS and HTTP.
pub fn bare(args: &[OsString]) -> ExitCode {
    let folder = Path::new(&args[0]);
    let port = args[1]
        .to_str()
        .and_then(|arg| arg.rsplit('=').next())
        .expect("a port");
    let port: u16 = port.parse().expect("a port");
    let chain = CertificateDer::pem_file_iter(folder.join("server.crt")).expect("a certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a port");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true).expect("a socket");
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let body = Bytes::from(vec![b'x'; 1100]);
                let answer = service_fn(move |_| {
                    let body = body.clone();
                    async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection_with_upgrades(TokioIo::new(stream), answer)
                    .await;
            });
        }
    })
}
