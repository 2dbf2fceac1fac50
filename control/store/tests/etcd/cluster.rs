//! Members of etcd on this machine, in a folder that goes with them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use keelson_store::Store;
use keelson_store::etcd::{EtcdStore, Options, Tls};
use rustix::process::{Pid, Signal, kill_process};

/// How often a cluster is started whose ports others take.
const ATTEMPTS: usize = 5;

/// One process and how it is started.
struct Member {
    arguments: Vec<String>,
    process: Child,
}

/// A cluster of its own.
pub struct Cluster {
    folder: tempfile::TempDir,
    members: Vec<Member>,
    options: Options,
}

impl Cluster {
    /// Starts `count` members and waits until they have a leader.
    pub async fn start(count: usize) -> Self {
        for _ in 0..ATTEMPTS {
            if let Some(cluster) = Self::attempt(count).await {
                return cluster;
            }
        }
        panic!("the members end at once, whatever their ports");
    }

    async fn attempt(count: usize) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let clients = addresses("http", count);
        let peers = addresses("http", count);
        let all: Vec<_> = (0..count)
            .map(|member| format!("{member}={}", peers[member]))
            .collect();
        let members = (0..count).map(|member| {
            let arguments = [
                format!("--name={member}"),
                format!(
                    "--data-dir={}",
                    folder.path().join(member.to_string()).display()
                ),
                format!("--listen-client-urls={}", clients[member]),
                format!("--advertise-client-urls={}", clients[member]),
                format!("--listen-peer-urls={}", peers[member]),
                format!("--initial-advertise-peer-urls={}", peers[member]),
                format!("--initial-cluster={}", all.join(",")),
            ];
            Member::start(arguments.to_vec())
        });
        let members = members.collect();
        let options = Options {
            endpoints: clients,
            tls: None,
        };
        Self::ready(folder, members, options).await
    }

    /// Starts one member that wants to know its clients.
    pub async fn start_tls() -> Self {
        for _ in 0..ATTEMPTS {
            if let Some(cluster) = Self::attempt_tls().await {
                return cluster;
            }
        }
        panic!("the member ends at once, whatever its ports");
    }

    async fn attempt_tls() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = Certificates::make();
        let path = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let clients = addresses("https", 1);
        let peers = addresses("http", 1);
        let arguments = [
            format!("--data-dir={}", folder.path().join("data").display()),
            format!("--listen-client-urls={}", clients[0]),
            format!("--advertise-client-urls={}", clients[0]),
            format!("--listen-peer-urls={}", peers[0]),
            format!("--initial-advertise-peer-urls={}", peers[0]),
            format!("--initial-cluster=default={}", peers[0]),
            "--client-cert-auth".to_owned(),
            format!(
                "--trusted-ca-file={}",
                path("ca.pem", &certificates.authority)
            ),
            format!("--cert-file={}", path("server.pem", &certificates.server.0)),
            format!("--key-file={}", path("server.key", &certificates.server.1)),
        ];
        let members = vec![Member::start(arguments.to_vec())];
        let options = Options {
            endpoints: clients,
            tls: Some(Tls {
                authority: certificates.authority,
                identity: Some(certificates.client),
            }),
        };
        Self::ready(folder, members, options).await
    }

    async fn ready(
        folder: tempfile::TempDir,
        members: Vec<Member>,
        options: Options,
    ) -> Option<Self> {
        let mut cluster = Self {
            folder,
            members,
            options,
        };
        cluster.wait().await.then_some(cluster)
    }

    /// Waits until every member answers; false when one has ended, as it does when somebody else
    /// has its port.
    async fn wait(&mut self) -> bool {
        let store = self.store();
        let answers = async {
            while store.members().await.len() < self.members.len()
                || store.revision().await.is_err()
            {
                if self.members.iter_mut().any(Member::has_ended) {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            true
        };
        let ready = tokio::time::timeout(Duration::from_secs(60), answers).await;
        let folder = self.folder.path().display();
        ready.unwrap_or_else(|_| panic!("the members in {folder} do not answer"))
    }

    /// How to reach it.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// A client of its own.
    pub fn store(&self) -> Arc<EtcdStore> {
        Arc::new(EtcdStore::new(&self.options).expect("a store"))
    }

    /// Ends a member without a word.
    pub fn kill(&mut self, member: usize) {
        let process = &mut self.members[member].process;
        process.kill().expect("a kill");
        process.wait().expect("an end");
    }

    /// Starts a member that was killed.
    pub async fn restart(&mut self, member: usize) {
        let arguments = self.members[member].arguments.clone();
        self.members[member] = Member::start(arguments);
        assert!(self.wait().await, "member {member} does not come back");
    }

    /// Stops a member as it is: its connections stay open and nobody answers.
    pub fn freeze(&self, member: usize) {
        self.members[member].signal(Signal::STOP);
    }

    /// Lets a frozen member go on.
    pub fn thaw(&self, member: usize) {
        self.members[member].signal(Signal::CONT);
    }

    /// Which member leads.
    pub async fn leader(&self) -> usize {
        let found = async {
            loop {
                let members = self.store().members().await;
                if let Some(leader) = members.into_iter().find(|one| one.leads) {
                    let endpoints = &self.options.endpoints;
                    return endpoints.iter().position(|one| *one == leader.endpoint);
                }
            }
        };
        let leader = tokio::time::timeout(Duration::from_secs(60), found).await;
        leader.expect("a leader in time").expect("a known address")
    }
}

impl Member {
    fn start(arguments: Vec<String>) -> Self {
        let folder = std::env::var_os("KEELSON_TEST_ETCD_BIN");
        let folder = folder.expect("set KEELSON_TEST_ETCD_BIN to the folder of etcd 3.5");
        let process = Command::new(PathBuf::from(folder).join("etcd"))
            .args(&arguments)
            // A busy machine is no reason to elect a leader anew.
            .args([
                "--log-level=error",
                "--heartbeat-interval=100",
                "--election-timeout=1000",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("etcd starts");
        Self { arguments, process }
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("a signal");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Addresses that nobody listens on, below the ports that connections go out from: a member that
/// was killed finds its own free when it comes back.
fn addresses(scheme: &str, count: usize) -> Vec<String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 8000).unwrap_or_default();
    let free = std::iter::repeat_with(|| {
        let at = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 8000;
        TcpListener::bind(("127.0.0.1", 20_000 + at)).ok()
    });
    let held: Vec<_> = free.flatten().take(count).collect();
    let address = |held: &TcpListener| held.local_addr().expect("an address");
    held.iter()
        .map(|held| format!("{scheme}://{}", address(held)))
        .collect()
}

/// An authority, a server's and a client's certificate with their keys.
struct Certificates {
    authority: String,
    server: (String, String),
    client: (String, String),
}

impl Certificates {
    fn make() -> Self {
        let key = || rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_key = key();
        let ca = parameters.self_signed(&ca_key).expect("a certificate");
        let issuer = rcgen::Issuer::new(parameters, ca_key);
        let issue = |name: &str, usage| {
            let mut parameters =
                rcgen::CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            parameters.extended_key_usages = usage;
            let key = key();
            let certificate = parameters.signed_by(&key, &issuer).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        };
        use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        Self {
            authority: ca.pem(),
            server: issue("127.0.0.1", vec![ServerAuth, ClientAuth]),
            client: issue("keelson", vec![ClientAuth]),
        }
    }
}
