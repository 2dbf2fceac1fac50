//! Sockets of probes and hooks: connected to the first address that answers, closed with a reset so
//! that a probe leaves no socket in TIME_WAIT on the node, and TLS without verification.
//!
//! A probe asks whether the pod answers, not who it is: pods serve with certificates that no
//! authority known to the node has signed. [`UnverifiedServer`] is the only place that accepts them
//! and nothing outside of probes and hooks may use it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use nix::errno::Errno;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::url::Authority;
use crate::resolve::{ResolveError, Resolver};

/// Why there is no connection; reads like the words that upstream's events have.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name has no address.
    #[error("dial tcp: {0}")]
    Resolve(#[from] ResolveError),
    /// No address accepted.
    #[error("dial tcp {address}: connect: {}", describe(source))]
    Connect {
        address: SocketAddr,
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("tls: {0}")]
    Handshake(io::Error),
    /// What answered does not speak TLS.
    #[error("http: server gave HTTP response to HTTPS client")]
    NotTls,
}

/// What it takes to connect; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
}

impl Dialer {
    pub(super) fn new(resolver: Resolver) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(UnverifiedServer(provider.clone()));
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the ring provider has TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Self {
            resolver,
            tls: Arc::new(tls),
        }
    }

    /// A TCP connection.
    pub(super) async fn tcp(&self, authority: &Authority) -> Result<TcpStream, ConnectError> {
        let mut failure = None;
        for ip in self.resolver.lookup(&authority.host).await? {
            let address = SocketAddr::new(ip, authority.port);
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => {
                    failure.get_or_insert(ConnectError::Connect { address, source });
                }
            }
        }
        Err(failure.unwrap_or_else(|| ResolveError::NotFound(authority.host.clone()).into()))
    }

    /// A TLS connection, whoever answers.
    pub(super) async fn tls(
        &self,
        authority: &Authority,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = ServerName::try_from(authority.host.clone())
            .map_err(|_| ResolveError::Invalid(authority.host.clone()))?;
        let stream = self.tcp(authority).await?;
        let connector = TlsConnector::from(self.tls.clone());
        connector.connect(name, stream).await.map_err(tls_failure)
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_zero_linger()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn tls_failure(error: io::Error) -> ConnectError {
    use rustls::{Error, InvalidMessage};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => ConnectError::NotTls,
        _ => ConnectError::Handshake(error),
    }
}

/// The error in the kernel's words, lower-case and without its number.
pub(super) fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// Accepts every certificate; see the module's text.
#[derive(Debug)]
struct UnverifiedServer(Arc<CryptoProvider>);

impl ServerCertVerifier for UnverifiedServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
