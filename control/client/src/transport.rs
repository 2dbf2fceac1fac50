//! Carries HTTP requests to the apiserver: a small pool of connections, HTTP/2 where the server
//! speaks it. Decides which connection takes a request and when a dead one is given up. Must not
//! know what requests mean.
//!
//! # Guarantees
//! - A request that was never put on the wire is sent again on a fresh connection, once.
//! - A connection that does not answer pings is closed, which ends its watches with an error.
//! - When certificate or CA files change, new requests use new connections.
//!
//! # Assumptions
//! The runtime is tokio's; each connection is driven by a task that ends with its last request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use tokio::sync::Semaphore;

use crate::kubeconfig::credential::Credential;
use crate::kubeconfig::{Config, KubeconfigError, Server};
use body::Body;
use dial::Dialed;
use pool::{Pool, Taken};
use tls::TlsSource;

pub mod body;
mod dial;
mod pool;
pub mod tls;

/// What requests carry.
pub type RequestBody = Full<Bytes>;

/// Why a request could not be carried.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No server could be connected to.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// The address.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// We cannot say who we are.
    #[error(transparent)]
    Credential(#[from] KubeconfigError),
    /// The request is no valid HTTP.
    #[error(transparent)]
    Malformed(#[from] hyper::http::Error),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// The way to one apiserver, or to one of several equal ones.
#[derive(Debug)]
pub struct Transport {
    servers: Vec<Server>,
    preferred: AtomicUsize,
    credential: Credential,
    tls: TlsSource,
    pool: Arc<Pool>,
    one_dials: Semaphore,
}

impl Transport {
    /// Reads the certificates; connects nowhere yet.
    ///
    /// # Errors
    /// A certificate, key or CA cannot be used.
    pub fn new(config: &Config) -> Result<Self, KubeconfigError> {
        let tls = TlsSource::new(config)?;
        Ok(Self {
            servers: config.servers.clone(),
            preferred: AtomicUsize::new(0),
            credential: Credential::new(config.identity.clone()),
            tls,
            pool: Arc::new(Pool::default()),
            one_dials: Semaphore::new(1),
        })
    }

    /// The server that is talked to at the moment, as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        dial::authority(self.chosen().1)
    }

    /// Lets go of all connections: what comes next uses new ones.
    pub fn reconnect(&self) {
        self.pool.clear();
    }

    /// The server refused our credentials. True if asking again can help.
    pub fn refused(&self) -> bool {
        self.credential.refused()
    }

    /// Sends a request whose URI is a path and query.
    ///
    /// # Errors
    /// No server is there, the credentials cannot be had, or the connection breaks.
    pub async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Body>, TransportError> {
        if self.tls.changed() {
            self.pool.clear();
        }
        let request = self.authorized(request).await?;
        let (taken, reused) = self.connection(true).await?;
        match self.exchange(taken, request.clone()).await {
            Err(TransportError::Broken(error)) if may_repeat(&error, reused, request.method()) => {
                let (taken, _) = self.connection(false).await?;
                self.exchange(taken, request).await
            }
            outcome => outcome,
        }
    }

    async fn authorized(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Request<RequestBody>, TransportError> {
        if let Some(value) = self.credential.authorization().await? {
            let mut value = HeaderValue::from_str(&value).map_err(hyper::http::Error::from)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// An open connection, or else a new one. The flag says whether it was there already.
    async fn connection(&self, reuse: bool) -> Result<(Taken, bool), TransportError> {
        if reuse && let Some(taken) = self.pool.take() {
            return Ok((taken, true));
        }
        // One at a time: those who wait find the connection that the first one made.
        let _permit = self.one_dials.acquire().await.ok();
        if let Some(taken) = self.pool.take_since(reuse) {
            return Ok((taken, true));
        }
        Ok((self.pool.add(self.dial().await?), false))
    }

    async fn dial(&self) -> Result<Dialed, TransportError> {
        let extra = self.credential.certificate().await?;
        let tls = self.tls.current(extra)?;
        let (first, _) = self.chosen();
        let mut last = None;
        for at in (0..self.servers.len()).map(|step| (first + step) % self.servers.len()) {
            let server = &self.servers[at];
            match dial::dial(server, self.tls.server_name(), tls.clone()).await {
                Ok(dialed) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(dialed);
                }
                Err(reason) => {
                    last = Some(TransportError::Connect {
                        server: dial::authority(server),
                        reason,
                    });
                }
            }
        }
        Err(last.unwrap_or_else(|| TransportError::Connect {
            server: "no server".into(),
            reason: "the configuration names none".into(),
        }))
    }

    fn chosen(&self) -> (usize, &Server) {
        let at = self.preferred.load(Ordering::Relaxed) % self.servers.len().max(1);
        (at, &self.servers[at])
    }

    async fn exchange(
        &self,
        taken: Taken,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Body>, TransportError> {
        let server = self.chosen().1;
        match taken {
            Taken::H2(mut sender, stream) => {
                *request.uri_mut() = absolute(server, request.uri())?;
                let response = sender.send_request(request).await?;
                Ok(response.map(|inner| Body::stream(inner, stream)))
            }
            Taken::H1(mut sender) => {
                *request.uri_mut() = relative(server, request.uri())?;
                let host = HeaderValue::from_str(&dial::authority(server))
                    .map_err(hyper::http::Error::from)?;
                request.headers_mut().insert(HOST, host);
                let response = sender.send_request(request).await?;
                let pool = Arc::downgrade(&self.pool);
                Ok(response.map(|inner| Body::exclusive(inner, sender, pool)))
            }
        }
    }
}

/// Whether a failed request may go out a second time: it never left, or it changes nothing and
/// went over a connection that had been idle.
fn may_repeat(error: &hyper::Error, reused: bool, method: &Method) -> bool {
    error.is_canceled() || (reused && method == Method::GET)
}

fn relative(server: &Server, uri: &Uri) -> Result<Uri, hyper::http::Error> {
    if server.prefix.is_empty() {
        return Ok(uri.clone());
    }
    Ok(format!("{}{uri}", server.prefix).parse::<Uri>()?)
}

fn absolute(server: &Server, uri: &Uri) -> Result<Uri, hyper::http::Error> {
    let scheme = if server.https { "https" } else { "http" };
    let authority = dial::authority(server);
    let text = format!("{scheme}://{authority}{}{uri}", server.prefix);
    Ok(text.parse::<Uri>()?)
}
