//! The first talk with an API server that nobody vouches for yet: its certificates must be of the
//! authority whose digest the administrator gave, before anything is sent to it.
//!
//! # Guarantees
//! An authority is handed out only when its key has the digest, it vouches for the server's
//! certificate, that is for the address that was asked, good at this moment, and the server holds
//! its key. No more than a TLS handshake was sent.

use super::hash::CaHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_client::kubeconfig::Server;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long connecting may take, and the handshake after it.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a server is not believed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Nobody is there.
    #[error(
        "cannot connect to {server}: {source}: is this the address of the control plane, does it run (`keelson status` there), and does nothing between drop TCP to that port?"
    )]
    Connect {
        /// The address.
        server: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Who is there speaks no TLS that we know.
    #[error("{server} does not answer as an API server: {source}")]
    Handshake {
        /// The address.
        server: String,
        /// What is wrong.
        source: io::Error,
    },
    /// It is somebody else, or the authority's certificate is not at the end of its chain.
    #[error(
        "{server} is not the control plane that --ca-hash means: it shows {shown}, and {wanted} was asked for. Nothing was sent to it. `keelson token create --print-join-command` on the control plane's machine prints the right digest"
    )]
    Other {
        /// The address.
        server: String,
        /// The digest that was given.
        wanted: CaHash,
        /// Digests of the certificates that it has shown, the server's own first.
        shown: String,
    },
    /// One of the clocks is wrong.
    #[error(
        "the certificate of {server} is not good at {here}, which is the time of this machine: set the clock (`date -u` on both machines must agree), or renew the certificate by `keelson certs renew` there"
    )]
    Clock {
        /// The address.
        server: String,
        /// What our clock says.
        here: jiff::Timestamp,
    },
    /// The server is called otherwise.
    #[error(
        "the certificate of {server} is for other addresses: {presented}. Join by one of those"
    )]
    Name {
        /// The address.
        server: String,
        /// What it is for.
        presented: String,
    },
    /// This address cannot be checked.
    #[error("{server} is neither an address nor a host's name")]
    Address {
        /// The address.
        server: String,
    },
    /// TLS cannot be set up here.
    #[error("set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// The certificate, as PEM, of the authority with this digest, which vouches for the server.
///
/// # Errors
/// When it is not there, or another one.
pub async fn authority(server: &Server, wanted: CaHash) -> Result<String, PinError> {
    let name = address(server);
    let checked = ServerName::try_from(server.host.clone()).map_err(|_| PinError::Address {
        server: name.clone(),
    })?;
    let connect = |source| PinError::Connect {
        server: name.clone(),
        source,
    };
    let tcp = TcpStream::connect((server.host.as_str(), server.port));
    let tcp = limited(tcp).await.map_err(connect)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pinned = Arc::new(Pinned {
        wanted,
        provider: provider.clone(),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(pinned.clone())
        .with_no_client_auth();
    let shaken = limited(TlsConnector::from(Arc::new(config)).connect(checked, tcp)).await;
    let seen = std::mem::take(&mut *pinned.seen.lock());
    match (shaken, seen) {
        (Ok(_), Seen::Authority(certificate)) => Ok(pem(&certificate)),
        (Err(_), Seen::Others(shown)) => Err(PinError::Other {
            server: name,
            wanted,
            shown,
        }),
        (Err(source), _) => Err(refusal(name, source)),
        (Ok(_), _) => Err(refusal(name, io::ErrorKind::InvalidData.into())),
    }
}

/// `host:port`, for people.
pub(crate) fn address(server: &Server) -> String {
    if server.host.contains(':') {
        format!("[{}]:{}", server.host, server.port)
    } else {
        format!("{}:{}", server.host, server.port)
    }
}

async fn limited<T>(act: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s");
    timeout(LIMIT, act).await.unwrap_or_else(|_| Err(late()))
}

/// What a failed handshake means.
fn refusal(server: String, source: io::Error) -> PinError {
    use rustls::Error::InvalidCertificate;
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => PinError::Clock {
            server,
            here: now(),
        },
        Some(InvalidCertificate(CertificateError::NotValidForNameContext {
            presented, ..
        })) => PinError::Name {
            server,
            presented: presented.join(", "),
        },
        _ => PinError::Handshake { server, source },
    }
}

fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| line.into_owned() + "\n").collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// Believes the server whose chain leads to the authority with the digest.
#[derive(Debug)]
struct Pinned {
    wanted: CaHash,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

/// What the server has shown.
#[derive(Debug, Default)]
enum Seen {
    /// Nothing yet.
    #[default]
    Nothing,
    /// The authority that is meant, in DER.
    Authority(Vec<u8>),
    /// Certificates with these digests alone.
    Others(String),
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = || std::iter::once(end_entity).chain(intermediates);
        let meant = shown().find(|one| CaHash::of(one) == Some(self.wanted));
        let Some(meant) = meant else {
            let digests = shown().filter_map(CaHash::of);
            let digests: Vec<_> = digests.map(|one| one.to_string()).collect();
            *self.seen.lock() = Seen::Others(digests.join(", "));
            return Err(CertificateError::UnknownIssuer.into());
        };
        *self.seen.lock() = Seen::Authority(meant.to_vec());
        let mut roots = RootCertStore::empty();
        roots.add(meant.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
