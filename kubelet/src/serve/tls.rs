//! The TLS side of the server on port 10250: its certificate, versions and suites, and what a
//! client's certificate proves.
//!
//! A client certificate that the CA does not vouch for does not break the handshake: the request
//! is answered with 401, as upstream does.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::auth::Credentials;
use keelson_api::certificate_subject::Subject;

pub mod policy;
pub mod self_signed;

use policy::TlsPolicy;

/// The files that TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The certificates that vouch for clients, PEM (`authentication.x509.clientCAFile`).
    pub client_ca: Option<PathBuf>,
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
    /// Versions and suites leave nothing to talk.
    #[error("tlsMinVersion and tlsCipherSuites leave no usable TLS: {0}")]
    Policy(rustls::Error),
    /// The self-signed certificate cannot be made or stored.
    #[error(transparent)]
    SelfSigned(#[from] self_signed::SelfSignedError),
}

/// TLS ready to accept connections.
#[derive(Debug, Clone)]
pub struct TlsSetup {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    clients: Option<Arc<LateVerifier>>,
}

impl TlsSetup {
    fn load(files: &TlsFiles, policy: &TlsPolicy) -> Result<Self, TlsError> {
        let provider = Arc::new(policy.provider());
        let pair = load_pair(files, &provider)?;
        let clients = match &files.client_ca {
            Some(path) => Some(Arc::new(client_verifier(path, &provider)?)),
            None => None,
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(policy.versions())
            .map_err(TlsError::Policy)?;
        let builder = match &clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            clients,
        })
    }

    /// What the certificates shown in a handshake prove, at this moment.
    pub fn credentials(&self, shown: Option<&[CertificateDer<'_>]>) -> Credentials {
        let Some((end_entity, intermediates)) = shown.and_then(<[_]>::split_first) else {
            return Credentials::None;
        };
        let verified = self.clients.as_ref().is_some_and(|verifier| {
            let now = UnixTime::now();
            verifier
                .0
                .verify_client_cert(end_entity, intermediates, now)
                .is_ok()
        });
        match verified.then(|| Subject::of(end_entity)).flatten() {
            Some(subject) => Credentials::Certificate(subject),
            None => Credentials::Unverifiable,
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

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
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

fn client_verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<LateVerifier, TlsError> {
    let unusable = |reason: String| TlsError::ClientCa {
        path: path.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = builder.build();
    verifier
        .map(LateVerifier)
        .map_err(|error| unusable(error.to_string()))
}

/// Lets every client finish its handshake that owns the certificate it shows; whether the CA
/// vouches for it is found out when it asks for something.
struct LateVerifier(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for LateVerifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("LateVerifier")
    }
}

impl ClientCertVerifier for LateVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
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
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// TLS that follows its files: before each connection a look at their times tells whether to
/// read them again. Files that cannot be used leave what was read before in force.
#[derive(Debug)]
pub struct ReloadingTls {
    files: TlsFiles,
    policy: TlsPolicy,
    current: Mutex<(TlsSetup, Vec<Stamp>)>,
}

/// Device, inode, size and time of change of a file; nothing if it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl ReloadingTls {
    /// Reads the files for the first time.
    pub fn open(files: TlsFiles, policy: TlsPolicy) -> Result<Self, TlsError> {
        let stamps = files.stamps();
        let setup = TlsSetup::load(&files, &policy)?;
        Ok(Self {
            files,
            policy,
            current: Mutex::new((setup, stamps)),
        })
    }

    /// The setup for the next connection.
    pub fn current(&self) -> TlsSetup {
        let mut current = self.current.lock();
        let stamps = self.files.stamps();
        if stamps != current.1 {
            current.1 = stamps;
            match TlsSetup::load(&self.files, &self.policy) {
                Ok(setup) => current.0 = setup,
                Err(error) => tracing::warn!(%error, "changed TLS files are not used"),
            }
        }
        current.0.clone()
    }
}

impl TlsFiles {
    fn stamps(&self) -> Vec<Stamp> {
        let files = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        files
            .into_iter()
            .flatten()
            .map(|path| stamp(path))
            .collect()
    }
}

fn stamp(path: &Path) -> Stamp {
    let data: io::Result<fs::Metadata> = fs::metadata(path);
    data.ok().map(|data| {
        let changed = (data.ctime(), data.ctime_nsec());
        (data.dev(), data.ino(), data.size(), changed.0, changed.1)
    })
}
