//! Typed requests. Decides when a request is sent again (429 with `Retry-After`, a refused
//! credential) and how long an answer may take. Must not know what objects mean.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::error::{Error, Status};
use crate::kubeconfig::{Config, KubeconfigError};
use crate::path::ApiPath;
use crate::request::{
    DeleteOptions, ListOptions, Patch, WatchOptions, WriteOptions, list_url, watch_url, write_url,
};
use crate::transport::body::Body;
use crate::transport::{RequestBody, Transport, TransportError};
use crate::watch::WatchStream;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often a request is sent that the server asks to send later.
const ATTEMPTS: u32 = 10;
/// How long we let the server make us wait, at most, in one go.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// The largest answer, in bytes.
const BODY_LIMIT: usize = 256 << 20;

/// A bearer token that its owner keeps fresh.
#[derive(Clone, Debug, Default)]
pub struct Bearer(Arc<RwLock<Option<HeaderValue>>>);

impl Bearer {
    /// What requests carry from now on. A text that no header can hold counts as no token.
    pub fn set(&self, token: &str) {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).ok();
        *self.0.write() = value.map(|mut value| {
            value.set_sensitive(true);
            value
        });
    }
}

/// Talks to an apiserver. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    bearer: Option<Bearer>,
    user_agent: HeaderValue,
    limit: Duration,
    metadata_only: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.transport.server())
            .finish_non_exhaustive()
    }
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct List<T> {
    /// Its version and where it goes on.
    #[serde(default)]
    pub metadata: ListMeta,
    /// The objects. Inside a list they carry neither kind nor apiVersion.
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub items: Vec<T>,
}

/// Of which version a list is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListMeta {
    /// The version to watch from.
    pub resource_version: String,
    /// Where the next page begins; empty on the last one.
    #[serde(rename = "continue")]
    pub continue_token: String,
}

fn null_is_empty<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Client {
    /// A client that calls itself `keelson-PROGRAM/VERSION`. Connects with the first request.
    ///
    /// # Errors
    /// Certificates, keys or the CA cannot be used.
    pub fn new(config: &Config, program: &str) -> Result<Self, KubeconfigError> {
        let name = format!("keelson-{program}/{}", env!("CARGO_PKG_VERSION"));
        let user_agent = HeaderValue::from_str(&name).map_err(|error| KubeconfigError::Field {
            field: "program name".into(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            transport: Arc::new(Transport::new(config)?),
            bearer: None,
            user_agent,
            limit: ANSWER_LIMIT,
            metadata_only: false,
        })
    }

    /// The same client, over the same connections, with another limit on the time until an
    /// answer is there. Watches are not concerned.
    #[must_use]
    pub fn with_limit(&self, limit: Duration) -> Self {
        Self {
            limit,
            ..self.clone()
        }
    }

    /// The same connections, used in the name of somebody else. The client must have no
    /// credentials of its own: a server believes a client certificate first.
    #[must_use]
    pub fn acting_as(&self, bearer: &Bearer) -> Self {
        Self {
            bearer: Some(bearer.clone()),
            ..self.clone()
        }
    }

    /// The same connections, asking for no more of objects than their metadata. For reading,
    /// listing and watching alone: what a write answers has another form.
    #[must_use]
    pub fn metadata_only(&self) -> Self {
        Self {
            metadata_only: true,
            ..self.clone()
        }
    }

    /// The server that is talked to, as `host:port`.
    #[must_use]
    pub fn server(&self) -> String {
        self.transport.server()
    }

    /// Lets go of all connections, as after a new certificate or a change of networks.
    pub fn reconnect(&self) {
        self.transport.reconnect();
    }

    /// Reads an object.
    ///
    /// # Errors
    /// See [`Error`]; as for all requests.
    pub async fn get<T: DeserializeOwned>(&self, path: &ApiPath) -> Result<T, Error> {
        let call = Call::new(Method::GET, "get", path, path.url());
        self.decoded(call).await
    }

    /// Reads one page of a list.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &ApiPath,
        options: &ListOptions,
    ) -> Result<List<T>, Error> {
        let mut call = Call::new(Method::GET, "list", path, list_url(path, options));
        call.is_list = true;
        self.decoded(call).await
    }

    /// Opens a watch. The time limit counts until the server begins to answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn watch(
        &self,
        path: &ApiPath,
        options: &WatchOptions,
    ) -> Result<WatchStream, Error> {
        let call = Call::new(Method::GET, "watch", path, watch_url(path, options));
        let answer = timeout(self.limit, self.answered(&call, 1)).await;
        let response = answer.map_err(|_| call.late(self.limit))??;
        Ok(WatchStream::new(call.label, response.into_body()))
    }

    /// Creates an object in the list that the path names. What comes back is what the server
    /// made of it. For a subresource (`binding`, `eviction`, `token`) the path names the object.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &ApiPath,
        object: &B,
    ) -> Result<T, Error> {
        let url = write_url(path, &WriteOptions::default());
        let call = Call::new(Method::POST, "create", path, url).json(object)?;
        self.decoded(call).await
    }

    /// Replaces an object. With `metadata.resourceVersion` in it: only if nobody else did.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &ApiPath,
        object: &B,
    ) -> Result<T, Error> {
        let url = write_url(path, &WriteOptions::default());
        let call = Call::new(Method::PUT, "update", path, url).json(object)?;
        self.decoded(call).await
    }

    /// Changes an object.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &ApiPath,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<T, Error> {
        let url = write_url(path, options);
        let mut call = Call::new(Method::PATCH, "patch", path, url).json(patch.body())?;
        call.content_type = patch.content_type();
        self.decoded(call).await
    }

    /// Deletes an object, or begins to. What it answers with is not read: an object or a status.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, path: &ApiPath, options: &DeleteOptions) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, "delete", path, path.url()).json(options)?;
        self.body(&call).await.map(drop)
    }

    /// Reads anything, such as `/version` or `/apis`, as bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn raw(&self, method: Method, url: &str) -> Result<Bytes, Error> {
        let call = Call {
            label: format!("{method} {url}"),
            method,
            url: url.to_owned(),
            body: Bytes::new(),
            content_type: JSON,
            is_list: false,
        };
        self.body(&call).await
    }

    async fn decoded<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.body(&call).await?;
        serde_json::from_slice(&body).map_err(|source| Error::Decode {
            request: call.label,
            source,
        })
    }

    async fn body(&self, call: &Call) -> Result<Bytes, Error> {
        let exchange = async {
            let response = self.answered(call, ATTEMPTS).await?;
            read_all(response.into_body(), call).await
        };
        let outcome = timeout(self.limit, exchange).await;
        outcome.map_err(|_| call.late(self.limit))?
    }

    /// Sends until there is an answer that is neither a refused credential, which is renewed
    /// once, nor a request to come back later.
    async fn answered(&self, call: &Call, attempts: u32) -> Result<Response<Body>, Error> {
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let response = self.transport.send(self.request(call)?).await;
            let response = response.map_err(|error| call.failed(error))?;
            let code = response.status();
            if code.is_success() {
                return Ok(response);
            }
            if code == StatusCode::UNAUTHORIZED && !renewed && self.transport.refused() {
                renewed = true;
                continue;
            }
            let error = refusal(response, call).await;
            let Some(wait) = error.retry_after().filter(|_| attempt < attempts) else {
                return Err(error);
            };
            attempt += 1;
            sleep(wait.min(WAIT_LIMIT)).await;
        }
    }

    fn accepted(&self, call: &Call) -> &'static str {
        match (self.metadata_only, call.is_list) {
            (false, _) => JSON,
            (true, false) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (true, true) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        }
    }

    fn request(&self, call: &Call) -> Result<Request<RequestBody>, Error> {
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(&call.url)
            .header(USER_AGENT, self.user_agent.clone())
            .header(ACCEPT, self.accepted(call));
        let bearer = self
            .bearer
            .as_ref()
            .and_then(|bearer| bearer.0.read().clone());
        if let Some(bearer) = bearer {
            builder = builder.header(AUTHORIZATION, bearer);
        }
        if !call.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, call.content_type);
        }
        let body = RequestBody::new(call.body.clone());
        builder.body(body).map_err(|source| Error::Malformed {
            request: call.label.clone(),
            source,
        })
    }
}

const JSON: &str = "application/json";

/// A request before it is sent, and as often as it is sent.
struct Call {
    label: String,
    method: Method,
    url: String,
    body: Bytes,
    content_type: &'static str,
    is_list: bool,
}

impl Call {
    fn new(method: Method, verb: &str, path: &ApiPath, url: String) -> Self {
        Self {
            label: format!("{verb} {path}"),
            method,
            url,
            body: Bytes::new(),
            content_type: JSON,
            is_list: false,
        }
    }

    fn json<B: Serialize + ?Sized>(mut self, body: &B) -> Result<Self, Error> {
        match serde_json::to_vec(body) {
            Ok(text) => self.body = text.into(),
            Err(source) => {
                return Err(Error::Encode {
                    request: self.label,
                    source,
                });
            }
        }
        Ok(self)
    }

    fn late(&self, after: Duration) -> Error {
        Error::Timeout {
            request: self.label.clone(),
            after,
        }
    }

    fn failed(&self, error: TransportError) -> Error {
        let request = self.label.clone();
        match error {
            TransportError::Connect { server, reason } => Error::Connect { server, reason },
            TransportError::Credential(error) => Error::Credential(error),
            TransportError::Malformed(source) => Error::Malformed { request, source },
            TransportError::Broken(source) => Error::Broken { request, source },
        }
    }
}

async fn refusal(response: Response<Body>, call: &Call) -> Error {
    let code = response.status().as_u16();
    let wait = response.headers().get(RETRY_AFTER);
    let wait = wait.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = read_all(response.into_body(), call).await;
    let body = body.unwrap_or_default();
    Error::Status {
        request: call.label.clone(),
        status: Box::new(Status::read(code, &body, wait)),
    }
}

async fn read_all(mut body: Body, call: &Call) -> Result<Bytes, Error> {
    let mut whole = Vec::new();
    let mut only = Bytes::new();
    while let Some(chunk) = body.chunk().await.map_err(|source| Error::Broken {
        request: call.label.clone(),
        source,
    })? {
        if only.is_empty() && whole.is_empty() {
            only = chunk;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&only);
        }
        whole.extend_from_slice(&chunk);
        if whole.len() > BODY_LIMIT {
            return Err(Error::TooLarge {
                request: call.label.clone(),
                limit: BODY_LIMIT,
            });
        }
    }
    Ok(if whole.is_empty() { only } else { whole.into() })
}
