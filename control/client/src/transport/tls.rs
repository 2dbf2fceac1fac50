//! TLS towards the apiserver: whom we trust, what we show, and both anew when files change. Must
//! not know about connections.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::time::Instant;

use crate::kubeconfig::{Config, KubeconfigError, Pem};

/// The system's own certificates, where a kubeconfig names no CA.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How often files are looked at, at most.
const LOOK: Duration = Duration::from_secs(5);
/// TLS sessions that are kept for a faster return.
const SESSIONS: usize = 4;

/// Where TLS settings come from.
pub struct TlsSource {
    ca: Option<Pem>,
    certificate: Option<(Pem, Pem)>,
    server_name: Option<String>,
    insecure: bool,
    kept: Mutex<Kept>,
}

struct Kept {
    config: Arc<ClientConfig>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
    extra: Option<(Vec<u8>, Vec<u8>)>,
}

/// What tells one version of a file from the next.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl fmt::Debug for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSource")
            .field("server_name", &self.server_name)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

impl TlsSource {
    /// Reads everything once.
    ///
    /// # Errors
    /// A certificate, key or CA cannot be used.
    pub fn new(config: &Config) -> Result<Self, KubeconfigError> {
        let uses_tls = config.servers.iter().any(|server| server.https);
        let insecure = config.insecure || !uses_tls;
        let built = build(
            config.ca.as_ref(),
            config.certificate.as_ref(),
            None,
            insecure,
        )?;
        let source = Self {
            ca: config.ca.clone(),
            certificate: config.certificate.clone(),
            server_name: config.server_name.clone(),
            insecure,
            kept: Mutex::new(Kept {
                config: Arc::new(built),
                stamps: Vec::new(),
                looked: Instant::now(),
                extra: None,
            }),
        };
        source.kept.lock().stamps = source.stamps();
        Ok(source)
    }

    /// The name that the server must prove, if it is not the host's.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Looks, now and then, whether a file has changed and can be used. True once per change.
    pub fn changed(&self) -> bool {
        let mut kept = self.kept.lock();
        let now = Instant::now();
        if now.duration_since(kept.looked) < LOOK {
            return false;
        }
        kept.looked = now;
        let stamps = self.stamps();
        if stamps == kept.stamps {
            return false;
        }
        // Half of a pair may have been written: what was there stays good until both fit.
        let Ok(config) = self.build(kept.extra.as_ref()) else {
            return false;
        };
        kept.config = Arc::new(config);
        kept.stamps = stamps;
        true
    }

    /// The settings for a new connection, with a plugin's certificate and key if it gave any.
    ///
    /// # Errors
    /// The plugin's certificate cannot be used.
    pub fn current(
        &self,
        extra: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Arc<ClientConfig>, KubeconfigError> {
        let mut kept = self.kept.lock();
        if kept.extra != extra {
            kept.config = Arc::new(self.build(extra.as_ref())?);
            kept.extra = extra;
        }
        Ok(kept.config.clone())
    }

    fn build(&self, extra: Option<&(Vec<u8>, Vec<u8>)>) -> Result<ClientConfig, KubeconfigError> {
        build(
            self.ca.as_ref(),
            self.certificate.as_ref(),
            extra,
            self.insecure,
        )
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let pair = self.certificate.iter().flat_map(|(a, b)| [a, b]);
        let files = self.ca.iter().chain(pair).filter_map(|pem| match pem {
            Pem::File(path) => Some(path),
            Pem::Inline(_) => None,
        });
        files.map(stamp).collect()
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: meta.ino(),
        size: meta.size(),
        changed: (meta.mtime(), meta.mtime_nsec()),
    })
}

fn build(
    ca: Option<&Pem>,
    certificate: Option<&(Pem, Pem)>,
    extra: Option<&(Vec<u8>, Vec<u8>)>,
    insecure: bool,
) -> Result<ClientConfig, KubeconfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS versions", "this program", &error))?;
    let builder = if insecure {
        let anyone = Arc::new(Anyone(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone)
    } else {
        builder.with_root_certificates(roots(ca)?)
    };
    let inline = extra.map(|(a, b)| (Pem::Inline(a.clone()), Pem::Inline(b.clone())));
    let mut config = match certificate.or(inline.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let from = origin(certificate).to_owned();
            builder
                .with_client_auth_cert(chain(certificate)?, private_key(key)?)
                .map_err(|error| unusable("client certificate", &from, &error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn roots(ca: Option<&Pem>) -> Result<RootCertStore, KubeconfigError> {
    let system = Pem::File(PathBuf::from(SYSTEM_ROOTS));
    let source = ca.unwrap_or(&system);
    let mut store = RootCertStore::empty();
    let (added, _ignored) = store.add_parsable_certificates(chain(source)?);
    if added == 0 {
        return Err(unusable("CA", origin(source), &"no certificate in it"));
    }
    Ok(store)
}

fn chain(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, KubeconfigError> {
    let text = bytes(pem)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let read = read.map_err(|error| unusable("certificate", origin(pem), &error))?;
    if read.is_empty() {
        return Err(unusable("certificate", origin(pem), &"there is none"));
    }
    Ok(read)
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, KubeconfigError> {
    PrivateKeyDer::from_pem_slice(&bytes(pem)?)
        .map_err(|error| unusable("private key", origin(pem), &error))
}

fn bytes(pem: &Pem) -> Result<Vec<u8>, KubeconfigError> {
    match pem {
        Pem::Inline(text) => Ok(text.clone()),
        Pem::File(path) => std::fs::read(path).map_err(|source| KubeconfigError::Read {
            what: "PEM file",
            path: path.clone(),
            source,
        }),
    }
}

fn origin(pem: &Pem) -> &str {
    match pem {
        Pem::Inline(_) => "kubeconfig",
        Pem::File(path) => Path::to_str(path).unwrap_or("a file"),
    }
}

fn unusable(what: &'static str, from: &str, reason: &dyn fmt::Display) -> KubeconfigError {
    KubeconfigError::Certificate {
        what,
        from: from.to_owned(),
        reason: reason.to_string(),
    }
}

/// Believes any server: `insecure-skip-tls-verify`.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
