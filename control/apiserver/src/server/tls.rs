//! The TLS side: certificate and client CA, read again when the files change, and what a client's
//! certificate proves.
//!
//! A client certificate that the CA does not vouch for does not break the handshake: the request
//! is answered with 401, as upstream does.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keelson_api::certificate_subject::Subject;
use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConnection, SignatureScheme,
};
use tokio::time::Instant;

/// How long a verified certificate is believed on one connection before it is looked at again.
const BELIEVED: Duration = Duration::from_secs(60);

/// The files that TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// `--tls-cert-file`: the server's chain, PEM.
    pub(crate) certificate: PathBuf,
    /// `--tls-private-key-file`, PEM.
    pub(crate) key: PathBuf,
    /// `--client-ca-file`: the certificates that vouch for clients, PEM.
    pub(crate) client_ca: Option<PathBuf>,
    /// `--requestheader-client-ca-file`: the certificates that vouch for proxies in front, PEM.
    pub(crate) front_ca: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not readable or holds no PEM of the right kind.
    #[error("failed to read {what} from {path:?}: {source}")]
    File {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{path:?} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together or are of an unknown kind.
    #[error("certificate {certificate:?} and key {key:?} cannot be used: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The client CA cannot be used.
    #[error("client CA {path:?} cannot be used: {reason}")]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No TLS version is left.
    #[error("no usable TLS version: {0}")]
    Versions(rustls::Error),
}

/// TLS ready to accept connections.
#[derive(Debug, Clone)]
pub(crate) struct TlsSetup {
    pub(crate) config: Arc<ServerConfig>,
    clients: Option<Verifier>,
    fronts: Option<Verifier>,
}

impl TlsSetup {
    fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = load_pair(files, &provider)?;
        let vouched = |path: &Option<PathBuf>| match path {
            Some(path) => Verifier::new(path, roots(&[path])?, &provider).map(Some),
            None => Ok(None),
        };
        let (clients, fronts) = (vouched(&files.client_ca)?, vouched(&files.front_ca)?);
        // A client chooses its certificate by the authorities that it is told of: all of them.
        let all: Vec<&PathBuf> = files.client_ca.iter().chain(&files.front_ca).collect();
        let asked = match all.first() {
            Some(path) => Some(Verifier::new(path, roots(&all)?, &provider)?),
            None => None,
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?;
        let builder = match asked {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(LateVerifier(verifier))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            clients,
            fronts,
        })
    }

    fn credentials(&self, shown: &[CertificateDer<'_>]) -> Proven {
        let Some((end_entity, intermediates)) = shown.split_first() else {
            return Proven {
                own: Credentials::None,
                front: None,
            };
        };
        let subject = |verifier: &Option<Verifier>| {
            let now = UnixTime::now();
            let verifier = &verifier.as_ref()?.0;
            let verdict = verifier.verify_client_cert(end_entity, intermediates, now);
            verdict.ok()?;
            Subject::of(end_entity).map(Arc::new)
        };
        let own = subject(&self.clients);
        Proven {
            own: own.map_or(Credentials::Unverifiable, Credentials::Certificate),
            front: subject(&self.fronts),
        }
    }
}

/// What a connection's certificate proves, to each of those who vouch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Who calls.
    pub(crate) own: Credentials,
    /// The proxy that may say who calls.
    pub(crate) front: Option<Arc<Subject>>,
}

/// What a connection's certificate proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// None was shown.
    None,
    /// The CA vouches for this subject.
    Certificate(Arc<Subject>),
    /// One was shown that nobody here vouches for.
    Unverifiable,
}

/// The other end of a connection.
pub(crate) struct Peer {
    /// Where it calls from.
    pub(crate) address: SocketAddr,
    setup: TlsSetup,
    shown: Vec<CertificateDer<'static>>,
    believed: Mutex<Option<(Instant, Proven)>>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, setup: TlsSetup, session: &ServerConnection) -> Self {
        let shown = session.peer_certificates().unwrap_or_default();
        Self {
            address,
            setup,
            shown: shown.iter().map(|one| one.clone().into_owned()).collect(),
            believed: Mutex::new(None),
        }
    }

    /// What its certificate proves by now: one that ran out stops counting on open connections.
    pub(crate) fn credentials(&self) -> Proven {
        let mut believed = self.believed.lock();
        match &*believed {
            Some((since, proven)) if since.elapsed() < BELIEVED => proven.clone(),
            _ => {
                let fresh = self.setup.credentials(&self.shown);
                *believed = Some((Instant::now(), fresh.clone()));
                fresh
            }
        }
    }
}

fn load_pair(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| TlsError::File {
        what: "a private key",
        path: files.key.clone(),
        source,
    })?;
    let pair = |source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    CertifiedKey::from_der(chain, key, provider).map_err(pair)
}

/// Every certificate of a PEM file; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match chain {
        Ok(chain) if chain.is_empty() => Err(TlsError::Empty {
            path: path.to_owned(),
        }),
        Ok(chain) => Ok(chain),
        Err(source) => Err(TlsError::File {
            what: "certificates",
            path: path.to_owned(),
            source,
        }),
    }
}

/// The certificates of all these files, as those who vouch for others.
pub(crate) fn roots(paths: &[&PathBuf]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| TlsError::ClientCa {
                path: path.to_path_buf(),
                reason: error.to_string(),
            })?;
        }
    }
    Ok(roots)
}

/// Knows whom an authority vouches for.
#[derive(Clone)]
struct Verifier(Arc<dyn ClientCertVerifier>);

impl Verifier {
    fn new(
        path: &Path,
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::clone(provider);
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder
            .build()
            .map(Self)
            .map_err(|error| TlsError::ClientCa {
                path: path.to_owned(),
                reason: error.to_string(),
            })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Verifier")
    }
}

/// Lets every client finish its handshake that owns the certificate it shows; whether somebody
/// vouches for it is found out when it asks for something.
#[derive(Debug)]
struct LateVerifier(Verifier);

impl ClientCertVerifier for LateVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.0.supported_verify_schemes()
    }
}

/// Something that is made of files, and made anew when they change: before each use a look at
/// their times tells. Files that cannot be used leave what was made before in force.
pub(crate) struct Reloading<F, T> {
    files: F,
    current: Mutex<(T, Vec<Stamp>)>,
}

/// What can be made of files.
pub(crate) trait Files<T> {
    /// Where they are.
    fn paths(&self) -> Vec<&Path>;

    /// Reads them.
    fn load(&self) -> Result<T, TlsError>;
}

/// The server's own TLS.
pub(crate) type ReloadingTls = Reloading<TlsFiles, TlsSetup>;

/// Device, inode, size and time of change of a file; nothing if it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl<T: Clone, F: Files<T>> Reloading<F, T> {
    /// Reads the files for the first time.
    pub(crate) fn open(files: F) -> Result<Self, TlsError> {
        let stamps = stamps(&files.paths());
        let made = files.load()?;
        Ok(Self {
            files,
            current: Mutex::new((made, stamps)),
        })
    }

    /// What the files say now.
    pub(crate) fn current(&self) -> T {
        let mut current = self.current.lock();
        let stamps = stamps(&self.files.paths());
        if stamps != current.1 {
            current.1 = stamps;
            match self.files.load() {
                Ok(made) => current.0 = made,
                Err(error) => tracing::warn!(%error, "changed TLS files are not used"),
            }
        }
        current.0.clone()
    }
}

impl Files<TlsSetup> for TlsFiles {
    fn paths(&self) -> Vec<&Path> {
        let own = [&self.certificate, &self.key];
        let vouching = self.client_ca.iter().chain(&self.front_ca);
        own.into_iter()
            .chain(vouching)
            .map(PathBuf::as_path)
            .collect()
    }

    fn load(&self) -> Result<TlsSetup, TlsError> {
        TlsSetup::load(self)
    }
}

fn stamps(paths: &[&Path]) -> Vec<Stamp> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).ok()?;
    let changed = (data.ctime(), data.ctime_nsec());
    Some((data.dev(), data.ino(), data.size(), changed.0, changed.1))
}
