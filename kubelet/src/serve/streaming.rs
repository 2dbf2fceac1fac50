//! `/exec`, `/attach`, `/portForward` and `/run`: requests that take the connection over, or run a
//! command to its end.
//!
//! The runtime has a streaming server of its own on loopback and gives out a URL for one session.
//! Clients that speak SPDY/3.1 are connected to it byte for byte. Clients that speak WebSocket are
//! bridged for exec and attach and tunnelled for port forwarding. Whether a client may do so at all
//! has been decided before a request comes here.
//!
//! **Guarantees**: the runtime is asked before the client is told to switch protocols, so its
//! refusals reach the client as HTTP responses; credentials are never passed on to it; a session holds
//! a few buffers, whatever it carries; sessions end with [`Streaming::shutdown`].

mod bridge;
mod flow;
mod options;
mod port_forward;
mod relay;
mod respond;
mod run;
mod spdy;
mod spdy_frame;
mod upgrade;
mod websocket;

#[cfg(test)]
mod fake_runtime;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use keelson_cri::Client;
use keelson_cri::config::{AttachRequest, ExecRequest};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::bridge::Session;
use self::options::Streams;
use self::respond::StreamError;
use self::upgrade::{Answer, Location, Pipe};
use self::websocket::{Handshake, Subprotocol};
use super::body::{self, Body};
use super::query::Query;
use super::route::{ContainerTarget, PodTarget, StreamingRoute};
use super::view::NodeView;

/// The protocol of exec and attach that we speak to the runtime.
const REMOTE_COMMAND: HeaderValue = HeaderValue::from_static("v4.channel.k8s.io");

/// Serves streaming requests, and owns the sessions that come of them.
#[derive(Clone, Debug)]
pub struct Streaming {
    runtime: Client,
    idle: Duration,
    sessions: TaskTracker,
    stop: CancellationToken,
}

/// A request, taken apart for an upgrade.
struct Asked {
    method: Method,
    headers: HeaderMap,
    query: Query,
    upgrade: OnUpgrade,
}

impl Asked {
    fn new(mut request: Request<Incoming>) -> Self {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, _no_body) = request.into_parts();
        Self {
            method: parts.method,
            query: Query::of(&parts.uri),
            headers: parts.headers,
            upgrade,
        }
    }

    fn is_upgrade(&self) -> bool {
        let connection = self.headers.get_all(CONNECTION).iter();
        let mut options = connection
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','));
        options.any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
            && self.headers.contains_key(UPGRADE)
    }
}

/// The response that makes the client go on, or why it can't.
type Outcome = Result<Response<Body>, StreamError>;

impl Streaming {
    /// Serves with what `runtime` offers. Sessions on which nothing moves for `idle`
    /// (`streamingConnectionIdleTimeout`) are ended; zero lets them be.
    #[must_use]
    pub fn new(runtime: Client, idle: Duration) -> Self {
        Self {
            runtime,
            idle,
            sessions: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Answers one authorized request. `request` must come from a connection served with upgrades.
    pub async fn serve(
        &self,
        view: &dyn NodeView,
        route: &StreamingRoute,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let asked = Asked::new(request);
        let outcome = match route {
            StreamingRoute::Exec(target) => self.exec(view, target, asked).await,
            StreamingRoute::Attach(target) => self.attach(view, target, asked).await,
            StreamingRoute::PortForward(target) => self.port_forward(view, target, asked).await,
            StreamingRoute::Run(target) => self.run(view, target, &asked).await,
        };
        outcome.unwrap_or_else(respond::respond)
    }

    /// Ends all sessions and waits until they are gone.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
    }

    async fn exec(&self, view: &dyn NodeView, target: &ContainerTarget, asked: Asked) -> Outcome {
        let streams = Streams::parse(&asked.query)?;
        let container_id = view.container_id(target)?;
        let client = Speaks::remote_command(&asked)?;
        let request = ExecRequest {
            container_id,
            cmd: asked.query.all("command").map(str::to_owned).collect(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        let url = self.runtime.exec_url(request).await?;
        self.start(&url, client, streams, asked).await
    }

    async fn attach(&self, view: &dyn NodeView, target: &ContainerTarget, asked: Asked) -> Outcome {
        let streams = Streams::parse(&asked.query)?;
        let container_id = view.container_id(target)?;
        let client = Speaks::remote_command(&asked)?;
        let request = AttachRequest {
            container_id,
            stdin: streams.stdin,
            tty: streams.tty,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        let url = self.runtime.attach_url(request).await?;
        self.start(&url, client, streams, asked).await
    }

    async fn port_forward(&self, view: &dyn NodeView, target: &PodTarget, asked: Asked) -> Outcome {
        let client = Speaks::port_forward(&asked)?;
        let ports = match client {
            // The runtime serves these itself, and wants to know the ports beforehand.
            Speaks::RuntimeWebSocket => options::ports(&asked.query)?,
            _ => Vec::new(),
        };
        let sandbox_id = view.sandbox_id(target)?;
        let url = self.runtime.port_forward_url(&sandbox_id, &ports).await?;
        let no_streams = Streams {
            stdin: false,
            stdout: false,
            stderr: false,
            tty: false,
        };
        self.start(&url, client, no_streams, asked).await
    }

    async fn run(&self, view: &dyn NodeView, target: &ContainerTarget, asked: &Asked) -> Outcome {
        let container_id = view.container_id(target)?;
        // Without a limit, an abandoned command is bounded by its client alone, as upstream.
        let limit = match self.idle {
            Duration::ZERO => Duration::from_secs(4 * 60 * 60),
            idle => idle,
        };
        run::run(&self.runtime, &container_id, &asked.query, limit).await
    }

    /// Connects to the runtime and, if it agrees, tells the client to switch protocols.
    async fn start(&self, url: &str, client: Speaks, streams: Streams, asked: Asked) -> Outcome {
        let location = Location::parse(url)?;
        let (method, headers) = client.request(&asked);
        let (headers, runtime) = match upgrade::upgrade(&location, method, headers).await? {
            Answer::Switched(headers, runtime) => (headers, runtime),
            Answer::Refused(refused) => return Err(StreamError::Refused(Box::new(refused))),
        };
        Ok(match client {
            Speaks::Spdy | Speaks::RuntimeWebSocket => {
                self.relay(asked.upgrade, runtime);
                switched(headers)
            }
            Speaks::Channels(protocol, handshake) => {
                let session = Session {
                    protocol,
                    streams,
                    idle: self.idle,
                };
                self.bridge(asked.upgrade, runtime, session);
                handshake.response()
            }
            Speaks::Tunnel { handshake, .. } => {
                self.tunnel(asked.upgrade, runtime);
                handshake.response()
            }
        })
    }

    fn relay(&self, upgrade: OnUpgrade, runtime: Pipe) {
        let idle = self.idle;
        self.spawn(upgrade, "relay", move |client| {
            relay::relay(client, runtime, idle)
        });
    }

    fn bridge(&self, upgrade: OnUpgrade, runtime: Pipe, session: Session) {
        self.spawn(upgrade, "bridge", move |client| async move {
            bridge::bridge(websocket::open(client).await, runtime, session).await
        });
    }

    fn tunnel(&self, upgrade: OnUpgrade, runtime: Pipe) {
        let idle = self.idle;
        self.spawn(upgrade, "tunnel", move |client| async move {
            port_forward::tunnel(websocket::open(client).await, runtime, idle).await
        });
    }

    /// Runs a session once the client has switched protocols.
    fn spawn<E, S>(
        &self,
        upgrade: OnUpgrade,
        kind: &'static str,
        session: impl FnOnce(Pipe) -> S + Send + 'static,
    ) where
        E: std::fmt::Display,
        S: Future<Output = Result<(), E>> + Send,
    {
        let stop = self.stop.clone();
        self.sessions.spawn(async move {
            let whole = async {
                let client = match upgrade.await {
                    Ok(client) => TokioIo::new(client),
                    Err(error) => {
                        tracing::debug!(kind, %error, "the client left before its session began");
                        return;
                    }
                };
                if let Err(error) = session(client).await {
                    tracing::debug!(kind, %error, "a streaming session broke");
                }
            };
            stop.run_until_cancelled(whole).await;
        });
    }
}

/// The response that passes the runtime's agreement on.
fn switched(headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// What a client speaks, and what becomes of it.
#[derive(Clone, Debug)]
enum Speaks {
    /// SPDY/3.1: connected to the runtime as it is.
    Spdy,
    /// A subprotocol of WebSocket that the runtime serves: connected to it as it is.
    RuntimeWebSocket,
    /// Channels over WebSocket: bridged to SPDY.
    Channels(Subprotocol, Handshake),
    /// SPDY over WebSocket: unwrapped.
    Tunnel {
        handshake: Handshake,
        protocol: String,
    },
}

impl Speaks {
    fn remote_command(asked: &Asked) -> Result<Self, StreamError> {
        if !asked.is_upgrade() {
            return Err(StreamError::NoUpgrade);
        }
        if !websocket::is_requested(&asked.headers) {
            return Ok(Self::Spdy);
        }
        let (protocol, handshake) = websocket::negotiate(&asked.headers)?;
        Ok(Self::Channels(protocol, handshake))
    }

    fn port_forward(asked: &Asked) -> Result<Self, StreamError> {
        if !asked.is_upgrade() {
            return Err(StreamError::NoUpgrade);
        }
        if !websocket::is_requested(&asked.headers) {
            return Ok(Self::Spdy);
        }
        let Some((subprotocol, protocol)) = websocket::tunnel(&asked.headers) else {
            return Ok(Self::RuntimeWebSocket);
        };
        Ok(Self::Tunnel {
            handshake: Handshake::new(&asked.headers, Some(&subprotocol))?,
            protocol,
        })
    }

    /// What to ask the runtime for.
    fn request(&self, asked: &Asked) -> (Method, HeaderMap) {
        match self {
            Self::Spdy | Self::RuntimeWebSocket => {
                (asked.method.clone(), passed_on(&asked.headers))
            }
            Self::Channels(..) => upgrade::to_spdy(REMOTE_COMMAND),
            Self::Tunnel { protocol, .. } => {
                let protocol = HeaderValue::from_str(protocol);
                upgrade::to_spdy(protocol.unwrap_or(HeaderValue::from_static("portforward.k8s.io")))
            }
        }
    }
}

/// The client's headers, without those that are for us and those that describe a body.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    for name in [
        AUTHORIZATION,
        COOKIE,
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        EXPECT,
    ] {
        passed.remove(name);
    }
    passed
}
