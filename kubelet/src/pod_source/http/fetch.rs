//! One GET at a time: names resolved without the C library, TLS with the system's roots.
//!
//! Must not know what is fetched.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ETAG, HOST, IF_NONE_MATCH, LOCATION};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pod_source::MAX_MANIFEST;
use crate::resolve::{ResolveError, Resolver};

/// Time for one request, from the lookup of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The roots of trust of most Linux distributions.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is not one.
    #[error("{0:?} is not an http or https URL")]
    Url(String),
    /// The name has no address.
    #[error(transparent)]
    Name(#[from] ResolveError),
    /// Nobody listens there.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The roots of trust cannot be read.
    #[error("reading the roots of trust in {ROOTS}: {0}")]
    Roots(String),
    /// The server's certificate is not trusted, or TLS failed otherwise.
    #[error("TLS with {host}: {source}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A header of the configuration cannot be sent.
    #[error("a header of staticPodURLHeader cannot be sent: {0}")]
    Header(String),
    /// The exchange broke.
    #[error("GET: {0}")]
    Exchange(String),
    /// The server refused.
    #[error("GET: the server answered {0}")]
    Status(StatusCode),
    /// The manifest is elsewhere.
    #[error("GET: the server answered {0} and points to {1:?}")]
    Redirect(StatusCode, String),
    /// The answer is larger than a manifest may be.
    #[error("GET: the answer has more than {MAX_MANIFEST} bytes")]
    TooLarge,
    /// The answer is not text.
    #[error("GET: the answer is not UTF-8")]
    NotText,
    /// It took too long.
    #[error("GET: no whole answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

impl FetchError {
    /// What to do about it.
    pub(super) fn cure(&self) -> &'static str {
        match self {
            Self::Url(_) => "correct staticPodURL",
            Self::Redirect(..) => "set staticPodURL to where it points",
            Self::Header(_) => "correct staticPodURLHeader",
            Self::Roots(_) | Self::Tls { .. } => {
                "install ca-certificates, or the server's own root"
            }
            _ => "check the server; its pods stay as they are",
        }
    }
}

/// What a fetch gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The body.
    Text(String),
    /// The body is the one of the last answer.
    Same,
}

/// Fetches one URL again and again.
#[derive(Debug)]
pub(super) struct Fetcher {
    url: String,
    headers: BTreeMap<String, Vec<String>>,
    etag: Option<String>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Fetcher {
    pub(super) fn new(url: String, headers: BTreeMap<String, Vec<String>>) -> Self {
        Self {
            url,
            headers,
            etag: None,
        }
    }

    /// Fetches once, within the time limit.
    pub(super) async fn fetch(&mut self) -> Result<Answer, FetchError> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange()).await;
        answer.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn exchange(&mut self) -> Result<Answer, FetchError> {
        let wrong = || FetchError::Url(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.to_owned();
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = connect(&host, port).await?;
        let stream: Box<dyn Stream> = if secure {
            Box::new(tls(&host, tcp).await?)
        } else {
            Box::new(tcp)
        };
        let request = self.request(&uri)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broke)?;
            self.read(response).await
        };
        // The connection moves bytes while the exchange waits; it ends with the exchange.
        tokio::pin!(connection, exchange);
        let mut open = true;
        loop {
            tokio::select! {
                answer = &mut exchange => return answer,
                _ = &mut connection, if open => open = false,
            }
        }
    }

    fn request(&self, uri: &Uri) -> Result<Request<Empty<Bytes>>, FetchError> {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let authority = uri.authority().map_or("", |a| a.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let mut builder = Request::get(path);
        let own_host = self
            .headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("host"));
        if !own_host {
            builder = builder.header(HOST, host);
        }
        for (name, values) in &self.headers {
            for value in values {
                builder = builder.header(name, value);
            }
        }
        if let Some(etag) = &self.etag {
            builder = builder.header(IF_NONE_MATCH, etag);
        }
        builder
            .body(Empty::new())
            .map_err(|e| FetchError::Header(e.to_string()))
    }

    async fn read(
        &mut self,
        response: Response<hyper::body::Incoming>,
    ) -> Result<Answer, FetchError> {
        let status = response.status();
        let header = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        if status == StatusCode::NOT_MODIFIED && self.etag.is_some() {
            return Ok(Answer::Same);
        }
        if status.is_redirection() {
            return Err(FetchError::Redirect(
                status,
                header(LOCATION).unwrap_or_default(),
            ));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status));
        }
        let etag = header(ETAG);
        let limit = usize::try_from(MAX_MANIFEST).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), limit).collect().await;
        let bytes = body.map_err(|e| match e.downcast_ref::<LengthLimitError>() {
            Some(_) => FetchError::TooLarge,
            None => FetchError::Exchange(e.to_string()),
        })?;
        let text = String::from_utf8(bytes.to_bytes().into()).map_err(|_| FetchError::NotText)?;
        self.etag = etag;
        Ok(Answer::Text(text))
    }

    /// Forgets the last answer, so that the next one comes whole.
    pub(super) fn forget(&mut self) {
        self.etag = None;
    }
}

fn broke(error: hyper::Error) -> FetchError {
    FetchError::Exchange(error.to_string())
}

/// Tries the host's addresses in order; the last failure counts.
async fn connect(host: &str, port: u16) -> Result<TcpStream, FetchError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = None;
    for address in Resolver::default().lookup(bare).await? {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                let address = format!("{host}:{port}");
                last = Some(FetchError::Connect { address, source });
            }
        }
    }
    Err(last.unwrap_or(FetchError::TimedOut))
}

async fn tls(host: &str, tcp: TcpStream) -> Result<impl Stream, FetchError> {
    let failed = |source| FetchError::Tls {
        host: host.to_owned(),
        source,
    };
    let bare = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(bare).map_err(|e| failed(io::Error::other(e)))?;
    let connector = TlsConnector::from(client_config()?);
    connector.connect(name, tcp).await.map_err(failed)
}

/// Read anew for each connection: roots change, and holding them costs memory for nothing.
fn client_config() -> Result<Arc<ClientConfig>, FetchError> {
    let unreadable = |e: &dyn std::fmt::Display| FetchError::Roots(e.to_string());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ROOTS).map_err(|e| unreadable(&e))?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unreadable(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
