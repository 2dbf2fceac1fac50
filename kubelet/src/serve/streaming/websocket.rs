//! The WebSocket side: which subprotocol is spoken, the handshake's answer, and channels in
//! messages. The codec is pure; only [`open`] touches the connection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::{Response, StatusCode};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::upgrade::Pipe;
use crate::serve::body::{self, Body};

/// The largest message taken from a client; what upstream's server takes.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;
/// Buffers of one session. Every message is flushed before the next one, so this is all there is.
const BUFFER: usize = 16 * 1024;
/// First byte of the v5 message that closes a channel.
const CLOSE_SIGNAL: u8 = 255;

/// A subprotocol for exec and attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subprotocol {
    /// `v5.channel.k8s.io`: v4, and channels can be closed.
    V5,
    /// `v4.channel.k8s.io`: the error channel carries a `metav1.Status`.
    V4,
    /// `v4.base64.channel.k8s.io`.
    V4Base64,
    /// `channel.k8s.io`, or none named: the error channel carries text.
    V1,
    /// `base64.channel.k8s.io`.
    V1Base64,
}

impl Subprotocol {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "v5.channel.k8s.io" => Self::V5,
            "v4.channel.k8s.io" => Self::V4,
            "v4.base64.channel.k8s.io" => Self::V4Base64,
            "channel.k8s.io" => Self::V1,
            "base64.channel.k8s.io" => Self::V1Base64,
            _ => return None,
        })
    }

    fn is_base64(self) -> bool {
        matches!(self, Self::V4Base64 | Self::V1Base64)
    }

    /// Whether the error channel carries a `metav1.Status` rather than text.
    pub(super) fn has_status(self) -> bool {
        !matches!(self, Self::V1 | Self::V1Base64)
    }

    /// One message for a channel.
    pub(super) fn encode(self, channel: u8, data: &[u8]) -> Message {
        if self.is_base64() {
            let digit = char::from(b'0'.saturating_add(channel));
            return Message::text(format!("{digit}{}", BASE64.encode(data)));
        }
        let mut message = BytesMut::with_capacity(data.len() + 1);
        message.put_u8(channel);
        message.put_slice(data);
        Message::Binary(message.freeze())
    }

    /// What a message is about; `None` for one that says nothing.
    pub(super) fn decode(self, message: Message) -> Result<Option<FromClient>, ChannelError> {
        let mut payload = match message {
            Message::Binary(payload) => payload,
            Message::Text(text) => text.into(),
            _ => return Ok(None),
        };
        if payload.is_empty() {
            return Ok(None);
        }
        let channel = payload.split_to(1)[0];
        if self == Self::V5 && channel == CLOSE_SIGNAL {
            let [channel] = payload[..] else {
                return Err(ChannelError::Close(payload.len()));
            };
            return Ok(Some(FromClient::Close { channel }));
        }
        if !self.is_base64() {
            return Ok(Some(FromClient::Data {
                channel,
                data: payload,
            }));
        }
        let data = BASE64.decode(&payload).map_err(|_| ChannelError::Base64)?;
        Ok(Some(FromClient::Data {
            channel: channel.wrapping_sub(b'0'),
            data: data.into(),
        }))
    }
}

/// What a client's message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FromClient {
    /// Bytes for a channel.
    Data { channel: u8, data: Bytes },
    /// The client has sent all it will on a channel.
    Close { channel: u8 },
}

/// A message that breaks the subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChannelError {
    #[error("a close signal names one channel, not {0}")]
    Close(usize),
    #[error("a message is not valid base64")]
    Base64,
}

/// Why a handshake is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("requested protocol(s) are not supported: {requested:?}; supports {supported}")]
    Protocol {
        requested: Vec<String>,
        supported: &'static str,
    },
    #[error("header Sec-WebSocket-Key is missing")]
    NoKey,
    #[error("header Sec-WebSocket-Version must be 13")]
    Version,
}

/// A handshake that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    accept: String,
    subprotocol: Option<HeaderValue>,
}

/// Whether a request asks for WebSocket.
pub(super) fn is_requested(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// The subprotocols that a client asks for, most wanted first.
pub(super) fn requested(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Chooses the subprotocol of an exec or attach: v5 wherever the client can, else its first choice.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<(Subprotocol, Handshake), HandshakeError> {
    let requested = requested(headers);
    if requested.is_empty() {
        return Ok((Subprotocol::V1, Handshake::new(headers, None)?));
    }
    let known = || {
        requested
            .iter()
            .filter_map(|name| Some((name, Subprotocol::named(name)?)))
    };
    let chosen = known()
        .find(|(_, protocol)| *protocol == Subprotocol::V5)
        .or_else(|| known().next());
    let Some((name, protocol)) = chosen else {
        return Err(HandshakeError::Protocol {
            requested,
            supported: "v5.channel.k8s.io, v4.channel.k8s.io, v4.base64.channel.k8s.io, \
                        channel.k8s.io, base64.channel.k8s.io",
        });
    };
    Ok((protocol, Handshake::new(headers, Some(name))?))
}

/// The first of the requested subprotocols that tunnels SPDY, and what it tunnels
/// (`SPDY/3.1+portforward.k8s.io`, `portforward.k8s.io`).
pub(super) fn tunnel(headers: &HeaderMap) -> Option<(String, String)> {
    requested(headers).into_iter().find_map(|name| {
        let inner = name.strip_prefix("SPDY/3.1+")?.to_owned();
        inner.ends_with(".k8s.io").then_some((name, inner))
    })
}

impl Handshake {
    /// Checks the rest of a handshake whose subprotocol is settled.
    pub(super) fn new(
        headers: &HeaderMap,
        subprotocol: Option<&str>,
    ) -> Result<Self, HandshakeError> {
        let version = headers.get("sec-websocket-version");
        if version.is_none_or(|version| version != "13") {
            return Err(HandshakeError::Version);
        }
        let key = headers
            .get(SEC_WEBSOCKET_KEY)
            .ok_or(HandshakeError::NoKey)?;
        Ok(Self {
            accept: derive_accept_key(key.as_bytes()),
            subprotocol: subprotocol.and_then(|name| HeaderValue::from_str(name).ok()),
        })
    }

    /// The response that switches protocols.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::try_from(self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        response
    }
}

/// The server's end of a connection that has switched to WebSocket.
pub(super) async fn open(pipe: Pipe) -> WebSocketStream<Pipe> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER);
    WebSocketStream::from_raw_socket(pipe, Role::Server, Some(config)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Subprotocol; 5] = [
        Subprotocol::V5,
        Subprotocol::V4,
        Subprotocol::V4Base64,
        Subprotocol::V1,
        Subprotocol::V1Base64,
    ];

    fn headers(protocols: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("WebSocket"));
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        headers.insert("sec-websocket-key", key);
        for list in protocols {
            headers.append("sec-websocket-protocol", HeaderValue::from_static(list));
        }
        headers
    }

    #[test]
    fn subprotocols() {
        for (requested, chosen, named) in [
            (&[][..], Subprotocol::V1, None),
            (
                &["v4.channel.k8s.io"],
                Subprotocol::V4,
                Some("v4.channel.k8s.io"),
            ),
            (
                &["v4.channel.k8s.io, v5.channel.k8s.io"],
                Subprotocol::V5,
                Some("v5.channel.k8s.io"),
            ),
            (
                &["x", "base64.channel.k8s.io", "channel.k8s.io"],
                Subprotocol::V1Base64,
                Some("base64.channel.k8s.io"),
            ),
        ] {
            let (protocol, handshake) = negotiate(&headers(requested)).unwrap();
            assert_eq!(protocol, chosen, "{requested:?}");
            let response = handshake.response();
            assert_eq!(response.status(), 101);
            assert_eq!(
                response.headers()["sec-websocket-accept"],
                "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            );
            let answered = response.headers().get("sec-websocket-protocol");
            assert_eq!(answered.map(|value| value.to_str().unwrap()), named);
        }
        let refused = negotiate(&headers(&["v6.channel.k8s.io"]))
            .unwrap_err()
            .to_string();
        assert!(
            refused.starts_with("requested protocol(s) are not supported: [\"v6.channel.k8s.io\"]")
        );
    }

    #[test]
    fn handshakes_that_are_none() {
        let mut old = headers(&[]);
        old.insert("sec-websocket-version", HeaderValue::from_static("8"));
        assert_eq!(negotiate(&old), Err(HandshakeError::Version));
        let mut keyless = headers(&[]);
        keyless.remove("sec-websocket-key");
        assert_eq!(negotiate(&keyless), Err(HandshakeError::NoKey));
        assert!(is_requested(&keyless));
        assert!(!is_requested(&HeaderMap::new()));
    }

    #[test]
    fn tunnels() {
        let found = tunnel(&headers(&[
            "v4.channel.k8s.io, SPDY/3.1+portforward.k8s.io",
        ]));
        let expected = ("SPDY/3.1+portforward.k8s.io", "portforward.k8s.io");
        assert_eq!(found, Some((expected.0.to_owned(), expected.1.to_owned())));
        assert_eq!(tunnel(&headers(&["SPDY/3.1+other"])), None);
        assert_eq!(tunnel(&headers(&["v5.channel.k8s.io"])), None);
    }

    #[test]
    fn messages() {
        let data = |channel, data: &'static str| {
            Ok(Some(FromClient::Data {
                channel,
                data: Bytes::from_static(data.as_bytes()),
            }))
        };
        let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
        let close = Ok(Some(FromClient::Close { channel: 0 }));
        for (protocol, message, expected) in [
            (Subprotocol::V5, binary(b"\0hi"), data(0, "hi")),
            (Subprotocol::V5, binary(b"\xff\0"), close),
            (
                Subprotocol::V5,
                binary(b"\xff"),
                Err(ChannelError::Close(0)),
            ),
            (
                Subprotocol::V5,
                binary(b"\xff\0\x01"),
                Err(ChannelError::Close(2)),
            ),
            (Subprotocol::V4, binary(b"\xff\0"), data(255, "\0")),
            (Subprotocol::V4, Message::text("\0hi"), data(0, "hi")),
            (Subprotocol::V4, binary(b""), Ok(None)),
            (Subprotocol::V4, Message::Ping(Bytes::new()), Ok(None)),
            (Subprotocol::V1Base64, Message::text("0aGk="), data(0, "hi")),
            (Subprotocol::V4Base64, binary(b"4aGk="), data(4, "hi")),
            (
                Subprotocol::V4Base64,
                Message::text("0!"),
                Err(ChannelError::Base64),
            ),
        ] {
            assert_eq!(protocol.decode(message.clone()), expected, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(
            channel in 0u8..5,
            data in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            for protocol in ALL {
                let decoded = protocol.decode(protocol.encode(channel, &data));
                let data = Bytes::from(data.clone());
                prop_assert_eq!(decoded, Ok(Some(FromClient::Data { channel, data })));
            }
        }

        #[test]
        fn garbage_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            for protocol in ALL {
                let _ = protocol.decode(Message::Binary(payload.clone().into()));
            }
        }
    }
}
