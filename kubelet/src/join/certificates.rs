//! The node's certificates in a cluster: the first one by a bootstrap token, the next ones before
//! they end, for the client and for the server on port 10250.
//!
//! What is asked for is in [`enrol`], files are [`pem_store`]'s.

pub mod enrol;
pub mod keeper;
pub mod pem_store;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use keelson_client::Client;
use keelson_client::backoff::{Backoff, Jitter};
use keelson_client::kubeconfig::{Config as Access, KubeconfigError, Pem, Server};
use keelson_client::validity::Validity;
use serde_json::{Value, json};
use tokio::time::sleep;

use enrol::{Wish, enrol};
use pem_store::{PemStore, StoreError};

use crate::config::Config;
use crate::serve::tls::TlsFiles;
use crate::serve::tls::self_signed::{self, SelfSignedError};

/// Waits between attempts to get a certificate.
pub(super) const BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(2),
    most: Duration::from_secs(120),
};

/// Why the node has no way to its cluster.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A kubeconfig can't be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// A certificate can't be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kubeconfig can't be written.
    #[error("cannot write kubeconfig {path:?}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Where the client's certificates are kept.
#[must_use]
pub fn client_store(config: &Config) -> PemStore {
    PemStore::new(&config.options.cert_dir, "kubelet-client")
}

/// Where the server's certificates are kept.
#[must_use]
pub fn server_store(config: &Config) -> PemStore {
    PemStore::new(&config.options.cert_dir, "kubelet-server")
}

/// The files of the server's certificate, where the cluster is to sign it: a self-signed one until
/// it has.
///
/// # Errors
/// The self-signed one can't be made or stored.
pub fn serving_files(
    config: &Config,
    node: &str,
    addresses: &[IpAddr],
    client_ca: Option<PathBuf>,
) -> Result<TlsFiles, ServingError> {
    let store = server_store(config);
    if store.validity().is_none() {
        let made = self_signed::ensure(&config.options.cert_dir, node, addresses, None)?;
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        store.store_makeshift(&(read(&made.certificate) + &read(&made.key)))?;
    }
    Ok(TlsFiles {
        certificate: store.current(),
        key: store.current(),
        client_ca,
    })
}

/// Why there is no certificate for the server until the cluster has signed one.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// None can be made.
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
    /// It can't be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How to reach the apiserver as this node. Without a certificate that is good, one is asked for
/// where a bootstrap kubeconfig is there; that takes as long as the cluster takes.
///
/// # Errors
/// A file can't be used or written.
pub async fn access(config: &Config, kubeconfig: &Path, node: &str) -> Result<Access, AccessError> {
    let store = client_store(config);
    let bootstrap = config.options.bootstrap_kubeconfig.as_deref();
    let bootstrap = bootstrap.filter(|path| path.exists());
    let known = kubeconfig.exists().then(|| Access::from_file(kubeconfig));
    let known = match (known, bootstrap) {
        (Some(known), None) => Some(known?),
        (Some(known), Some(_)) => known.ok(),
        (None, _) => None,
    };
    let standing = known
        .as_ref()
        .map(|known| standing(known, Timestamp::now()));
    match (known, standing, bootstrap) {
        (Some(known), Some(Standing::Good), _) => rotating(config, known, &store),
        (_, standing, Some(bootstrap)) => {
            let why = standing.map_or_else(|| "there is none".to_owned(), |s| s.to_string());
            tracing::warn!("asking for a client certificate: {why}");
            first(kubeconfig, bootstrap, &store, node).await
        }
        (Some(known), standing, None) => {
            if let Some(standing) = standing {
                tracing::error!(
                    "{}: {standing}: renew it, or give --bootstrap-kubeconfig with a valid token",
                    kubeconfig.display()
                );
            }
            rotating(config, known, &store)
        }
        // Tells what is wrong with it.
        (None, _, None) => Ok(Access::from_file(kubeconfig)?),
    }
}

/// What becomes of the certificate that a kubeconfig shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It is good, or it is none: other credentials count.
    Good,
    /// It has ended.
    Expired(Timestamp),
    /// It or its key is not there or can't be read.
    Unusable,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Good => out.write_str("the client certificate is good"),
            Self::Expired(at) => write!(out, "the client certificate expired at {at}"),
            Self::Unusable => out.write_str("the client certificate cannot be read"),
        }
    }
}

fn standing(access: &Access, now: Timestamp) -> Standing {
    let Some((certificate, key)) = &access.certificate else {
        return Standing::Good;
    };
    let validity = shown(certificate).filter(|_| bytes(key).is_some());
    match validity {
        Some(validity) if now < validity.until => Standing::Good,
        Some(validity) => Standing::Expired(validity.until),
        None => Standing::Unusable,
    }
}

fn bytes(pem: &Pem) -> Option<Vec<u8>> {
    match pem {
        Pem::Inline(bytes) => Some(bytes.clone()),
        Pem::File(path) => fs::read(path).ok(),
    }
}

fn shown(certificate: &Pem) -> Option<Validity> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let text = bytes(certificate)?;
    Validity::of(&CertificateDer::from_pem_slice(&text).ok()?)
}

/// With `rotateCertificates` the pair that is shown is the one that is renewed.
fn rotating(config: &Config, mut known: Access, store: &PemStore) -> Result<Access, AccessError> {
    if !config.kubelet.rotate_certificates {
        return Ok(known);
    }
    let Some((certificate, key)) = &known.certificate else {
        return Ok(known);
    };
    let ours = Pem::File(store.current());
    let newer = match (store.validity(), shown(certificate)) {
        (Some(kept), Some(shown)) => kept.until >= shown.until,
        (kept, _) => kept.is_some(),
    };
    if *certificate != ours && !newer {
        let (Some(certificate), Some(key)) = (bytes(certificate), bytes(key)) else {
            return Ok(known);
        };
        let pair = [certificate, b"\n".to_vec(), key].concat();
        store.store(&String::from_utf8_lossy(&pair))?;
    }
    known.certificate = Some((ours.clone(), ours));
    Ok(known)
}

/// Gets the first certificate by the bootstrap kubeconfig, and writes the node's own kubeconfig.
async fn first(
    kubeconfig: &Path,
    bootstrap: &Path,
    store: &PemStore,
    node: &str,
) -> Result<Access, AccessError> {
    let (mut jitter, mut failures) = (Jitter::seeded(), 0);
    loop {
        // A new token may have been put there meanwhile.
        let way_in = Access::from_file(bootstrap)?;
        let client = Client::new(&way_in, "kubelet")?;
        match enrol(&client, &Wish::client(node)).await {
            Ok(pair) => {
                store.store(&pair)?;
                write(kubeconfig, &kubeconfig_of(&way_in, &store.current()))?;
                return Ok(Access::from_file(kubeconfig)?);
            }
            Err(error) => tracing::warn!(%error, "no client certificate yet"),
        }
        sleep(jitter.stretch(BACKOFF.after(failures), 0.1)).await;
        failures += 1;
    }
}

/// The node's kubeconfig: the servers of the bootstrap one, and the pair that is kept.
fn kubeconfig_of(way_in: &Access, pair: &Path) -> Value {
    let url = |server: &Server| {
        let scheme = if server.https { "https" } else { "http" };
        let host = match server.host.contains(':') {
            true => format!("[{}]", server.host),
            false => server.host.clone(),
        };
        format!("{scheme}://{host}:{}{}", server.port, server.prefix)
    };
    let urls: Vec<String> = way_in.servers.iter().map(url).collect();
    let mut cluster = json!({"server": urls.join(",")});
    match &way_in.ca {
        Some(Pem::Inline(ca)) => cluster["certificate-authority-data"] = STANDARD.encode(ca).into(),
        Some(Pem::File(path)) => {
            cluster["certificate-authority"] = path.display().to_string().into();
        }
        None => {}
    }
    if let Some(name) = &way_in.server_name {
        cluster["tls-server-name"] = name.as_str().into();
    }
    if way_in.insecure {
        cluster["insecure-skip-tls-verify"] = true.into();
    }
    let user = json!({"client-certificate": pair, "client-key": pair});
    let context = json!({"cluster": "default-cluster", "user": "default-auth",
        "namespace": way_in.namespace});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": user}],
        "contexts": [{"name": "default-context", "context": context}],
        "current-context": "default-context",
    })
}

fn write(path: &Path, kubeconfig: &Value) -> Result<(), AccessError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = path.with_extension("tmp");
    let text = format!("{kubeconfig:#}\n");
    let written = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    written().map_err(|source| AccessError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
