//! An API server of ours as a process, alone: for tests of programs that need nothing but an API.
//!
//! It listens on loopback of the namespace that the calling thread is in, keeps its objects in
//! memory and lets the token of its kubeconfig do everything.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "tests-may-do-everything";

/// A process that ends with this value.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a program of the binary under test, quiet on standard output.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(binary: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self(command.spawn().expect("start a program"))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills it, as when the machine's memory is out.
    pub fn kill(&mut self) {
        // One that ended by itself is gone as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// KiB of memory that are its own in RAM.
    ///
    /// # Panics
    /// When it ended.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|text| text.parse().ok()).expect("VmRSS")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server.
#[derive(Debug)]
pub struct ApiServer {
    folder: TempDir,
    binary: PathBuf,
    port: u16,
    process: Option<Running>,
}

impl ApiServer {
    /// Starts one at this port and waits until it listens.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn start(binary: &Path, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        certificates(folder.path());
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("write a file");
        };
        write("tokens.csv", &format!("{TOKEN},tests,1,system:masters\n"));
        let server = format!("https://127.0.0.1:{port}");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": server,
                "certificate-authority": folder.path().join("ca.crt")}}],
            "users": [{"name": "test", "user": {"token": TOKEN}}]});
        write("kubeconfig", &config.to_string());
        let mut started = Self {
            folder,
            binary: binary.to_owned(),
            port,
            process: None,
        };
        started.resume();
        started
    }

    /// Where a client finds what it needs.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Takes it away, with all its objects.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it where it was killed, with no objects.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let args = [
            "kube-apiserver".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", at("server.crt")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--token-auth-file={}", at("tokens.csv")),
            format!("--data-dir={}", at("data")),
            "--in-memory".to_owned(),
            "-v=0".to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.process = Some(Running::start(&self.binary, &args));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the API server does not listen");
            thread::yield_now();
        }
    }
}

fn certificates(folder: &Path) {
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("write a certificate");
    };
    let params = |name: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut root = params("test-ca");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().expect("a key");
    write("ca.crt", root.self_signed(&root_key).expect("a root").pem());
    let mut own = params("kube-apiserver");
    let loopback = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    own.subject_alt_names.push(loopback);
    let key = KeyPair::generate().expect("a key");
    let signed = own.signed_by(&key, &Issuer::new(root, root_key));
    write("server.crt", signed.expect("a certificate").pem());
    write("server.key", key.serialize_pem());
}
