//! An exec or attach session between a WebSocket client and the runtime, which is spoken to over
//! SPDY: channels on one side are streams on the other.
//!
//! The runtime's own WebSocket server can't close stdin, so every version of the channel protocol is
//! bridged here. Both directions run in one task without queues between them: a client that reads
//! slowly makes the runtime wait, and the other way round.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::options::Streams;
use super::relay::Activity;
use super::spdy::{Reader, Shared, SpdyError, Writer};
use super::spdy_frame::Event;
use super::websocket::{ChannelError, FromClient, Subprotocol};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// How long a client may take to answer our close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// A status longer than this is cut, where it has to be read here.
const MAX_STATUS: usize = 64 * 1024;

/// What one session was agreed to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) protocol: Subprotocol,
    pub(super) streams: Streams,
    /// `streamingConnectionIdleTimeout`; zero for none.
    pub(super) idle: Duration,
}

/// Why a session ended other than by its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BridgeError {
    #[error(transparent)]
    Runtime(#[from] SpdyError),
    #[error("the container runtime ended the session without saying how it went")]
    NoStatus,
    #[error("the client: {0}")]
    Client(#[from] tungstenite::Error),
    #[error("the client: {0}")]
    Channel(#[from] ChannelError),
    #[error("nothing was sent or received for {0:?} (streamingConnectionIdleTimeout)")]
    Idle(Duration),
}

/// Which channel is which stream.
#[derive(Clone, Debug)]
struct Channels(Vec<(u8, u32)>);

impl Channels {
    /// Streams are numbered in the order of their opening; ours are odd.
    fn of(streams: Streams) -> Self {
        let wanted = [
            (ERROR, true),
            (STDIN, streams.stdin),
            (STDOUT, streams.stdout),
            (STDERR, streams.stderr),
            (RESIZE, streams.tty),
        ];
        let open = wanted.into_iter().filter(|(_, wanted)| *wanted);
        let numbers = (1u32..).step_by(2);
        Self(open.map(|(channel, _)| channel).zip(numbers).collect())
    }

    fn streams(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(_, stream)| *stream)
    }

    fn stream(&self, channel: u8) -> Option<u32> {
        let found = self.0.iter().find(|(known, _)| *known == channel);
        found.map(|(_, stream)| *stream)
    }

    /// The channel of a stream that the client reads.
    fn readable(&self, stream: u32) -> Option<u8> {
        let found = self.0.iter().find(|(_, known)| *known == stream);
        found
            .map(|(channel, _)| *channel)
            .filter(|channel| matches!(*channel, STDOUT | STDERR | ERROR))
    }

    /// The stream of a channel that the client writes.
    fn writable(&self, channel: u8) -> Option<u32> {
        matches!(channel, STDIN | RESIZE)
            .then(|| self.stream(channel))
            .flatten()
    }

    /// The channel that says the session stands, by an empty message.
    fn greeting(&self) -> u8 {
        let outputs = [STDOUT, STDERR];
        let open = outputs
            .into_iter()
            .find(|channel| self.stream(*channel).is_some());
        open.unwrap_or(ERROR)
    }
}

const fn stream_type(channel: u8) -> &'static str {
    match channel {
        STDIN => "stdin",
        STDOUT => "stdout",
        STDERR => "stderr",
        RESIZE => "resize",
        _ => "error",
    }
}

type Sink<C> = SplitSink<WebSocketStream<C>, Message>;
type Source<C> = SplitStream<WebSocketStream<C>>;

/// Runs a session to its end, and tells the client how it went.
pub(super) async fn bridge<C, R>(
    client: WebSocketStream<C>,
    runtime: R,
    session: Session,
) -> Result<(), BridgeError>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    let channels = Channels::of(session.streams);
    let shared = Shared::new(channels.streams());
    let activity = Activity::new();
    let (sink, mut source) = client.split();
    let (read, write) = tokio::io::split(runtime);
    let mut up = Up {
        runtime: Writer::new(write, &shared),
        shared: &shared,
        channels: &channels,
        activity: &activity,
        protocol: session.protocol,
    };
    let mut down = Down {
        runtime: Reader::new(read, &shared),
        client: sink,
        shared: &shared,
        channels: &channels,
        activity: &activity,
        protocol: session.protocol,
        status: Vec::new(),
        status_seen: false,
    };
    let outcome = tokio::select! {
        ended = down.run() => ended.map(|()| End::Session),
        ended = up.run(&mut source) => ended.map(|()| End::Client),
        () = activity.idle_for(session.idle) => Err(BridgeError::Idle(session.idle)),
    };
    // The runtime learns of the end by the closed connection, if not by this.
    let _ = timeout(CLOSE_PATIENCE, up.runtime.close()).await;
    let said = timeout(CLOSE_PATIENCE, down.farewell(&outcome, &mut source)).await;
    outcome?;
    said.unwrap_or(Ok(()))
}

/// Who ended a session.
enum End {
    Session,
    Client,
}

/// From the client to the runtime.
struct Up<'a, R> {
    runtime: Writer<'a, WriteHalf<R>>,
    shared: &'a Shared,
    channels: &'a Channels,
    activity: &'a Activity,
    protocol: Subprotocol,
}

impl<R: AsyncRead + AsyncWrite + Unpin> Up<'_, R> {
    /// Ends when the client does.
    async fn run<C>(&mut self, client: &mut Source<C>) -> Result<(), BridgeError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        match self.pass_on(client).await {
            // What the runtime last said may still be on its way to the client.
            Err(BridgeError::Runtime(_)) => {
                while let Some(Ok(_)) = client.next().await {}
                Ok(())
            }
            ended => ended,
        }
    }

    async fn pass_on<C>(&mut self, client: &mut Source<C>) -> Result<(), BridgeError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        self.open().await.map_err(SpdyError::Io)?;
        loop {
            let message = tokio::select! {
                biased;
                () = self.shared.control_due() => None,
                message = client.next() => Some(message),
            };
            match message {
                None => self.runtime.write_control().await.map_err(SpdyError::Io)?,
                Some(None | Some(Ok(Message::Close(_)) | Err(_))) => return Ok(()),
                Some(Some(Ok(message))) => self.take(message).await?,
            }
        }
    }

    async fn open(&mut self) -> std::io::Result<()> {
        let types: Vec<(u32, [(&str, &str); 1])> = self
            .channels
            .0
            .iter()
            .map(|(channel, stream)| (*stream, [("streamtype", stream_type(*channel))]))
            .collect();
        let streams: Vec<(u32, &[(&str, &str)])> = types
            .iter()
            .map(|(stream, headers)| (*stream, headers.as_slice()))
            .collect();
        self.runtime.open(&streams).await
    }

    async fn take(&mut self, message: Message) -> Result<(), BridgeError> {
        let Some(message) = self.protocol.decode(message)? else {
            return Ok(());
        };
        self.activity.touch();
        let sent = match message {
            FromClient::Data { channel, data } => match self.channels.writable(channel) {
                Some(stream) => self.runtime.send(stream, &data).await,
                None => Ok(()),
            },
            FromClient::Close { channel } => match self.channels.writable(channel) {
                Some(stream) => self.runtime.finish(stream).await,
                None => Ok(()),
            },
        };
        sent.map_err(|error| SpdyError::Io(error).into())
    }
}

/// From the runtime to the client.
struct Down<'a, C, R> {
    runtime: Reader<'a, ReadHalf<R>>,
    client: Sink<C>,
    shared: &'a Shared,
    channels: &'a Channels,
    activity: &'a Activity,
    protocol: Subprotocol,
    /// The status so far, where the client can't be given it as it is.
    status: Vec<u8>,
    status_seen: bool,
}

impl<C, R> Down<'_, C, R>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    /// Ends when all that the client reads has ended.
    async fn run(&mut self) -> Result<(), BridgeError> {
        self.send(self.channels.greeting(), &[]).await?;
        let mut open: Vec<u32> = self
            .channels
            .streams()
            .filter(|stream| self.channels.readable(*stream).is_some())
            .collect();
        while !open.is_empty() {
            let Some(event) = self.runtime.next().await? else {
                break;
            };
            let ended = match event {
                Event::Data { stream, data, fin } => {
                    self.deliver(stream, &data).await?;
                    fin.then_some(stream)
                }
                Event::Reset { stream, .. } => Some(stream),
                Event::SynReply { stream, fin } | Event::Headers { stream, fin } => {
                    fin.then_some(stream)
                }
                _ => None,
            };
            open.retain(|stream| Some(*stream) != ended);
        }
        if self.status_seen {
            Ok(())
        } else {
            Err(BridgeError::NoStatus)
        }
    }

    async fn deliver(&mut self, stream: u32, data: &[u8]) -> Result<(), BridgeError> {
        let Some(channel) = self.channels.readable(stream).filter(|_| !data.is_empty()) else {
            return Ok(());
        };
        self.activity.touch();
        if channel == ERROR {
            self.status_seen = true;
        }
        if channel == ERROR && !self.protocol.has_status() {
            let room = MAX_STATUS - self.status.len();
            self.status.extend_from_slice(&data[..data.len().min(room)]);
        } else {
            self.send(channel, data).await?;
        }
        self.shared.consumed(stream, data.len());
        Ok(())
    }

    async fn send(&mut self, channel: u8, data: &[u8]) -> Result<(), tungstenite::Error> {
        self.client.send(self.protocol.encode(channel, data)).await
    }

    /// The last words: the status where the client has not had it, and a close that waits for the
    /// client's, so that nothing sent before is lost.
    async fn farewell(
        &mut self,
        outcome: &Result<End, BridgeError>,
        source: &mut Source<C>,
    ) -> Result<(), BridgeError> {
        if matches!(outcome, Ok(End::Client) | Err(BridgeError::Client(_))) {
            return Ok(());
        }
        if let Err(error) = outcome
            && !self.status_seen
        {
            self.status = failure(error).into_bytes();
            if self.protocol.has_status() {
                let status = std::mem::take(&mut self.status);
                self.send(ERROR, &status).await?;
            }
        }
        if !self.protocol.has_status()
            && let Some(text) = failure_text(&self.status)
        {
            self.send(ERROR, text.as_bytes()).await?;
        }
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        self.client.send(Message::Close(Some(close))).await?;
        while let Some(Ok(_)) = source.next().await {}
        Ok(())
    }
}

/// A `metav1.Status` for a session that broke here.
fn failure(error: &BridgeError) -> String {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.to_string(),
        "reason": "InternalError",
        "code": 500,
    })
    .to_string()
}

/// What a failed status says, for clients that expect text; `None` for success.
fn failure_text(status: &[u8]) -> Option<String> {
    let status: serde_json::Value = match serde_json::from_slice(status) {
        Ok(status) => status,
        Err(_) => return Some(String::from_utf8_lossy(status).into_owned()),
    };
    if status["status"] == "Success" {
        return None;
    }
    let message = status["message"].as_str();
    Some(message.unwrap_or("unknown error").to_owned())
}

#[cfg(test)]
mod tests;
