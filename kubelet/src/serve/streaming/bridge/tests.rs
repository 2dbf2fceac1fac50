//! WebSocket clients against the server's side of SPDY, over pipes in memory.

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::fake_runtime::FakeRuntime;
use super::super::spdy_frame::{self as frame, server};
use super::*;

const IDLE: Duration = Duration::from_secs(60);
const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;
const FAILED: &str = r#"{"metadata":{},"status":"Failure","message":"exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
const PIPES: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: true,
    tty: false,
};
const TERMINAL: Streams = Streams {
    stderr: false,
    tty: true,
    ..PIPES
};

type Client = WebSocketStream<DuplexStream>;
type Ended = JoinHandle<Result<(), BridgeError>>;

async fn start(
    protocol: Subprotocol,
    streams: Streams,
) -> (Client, FakeRuntime<DuplexStream>, Ended) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (inner, runtime) = tokio::io::duplex(64 * 1024);
    let session = Session {
        protocol,
        streams,
        idle: IDLE,
    };
    let server = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
    let ended = tokio::spawn(bridge(server, inner, session));
    let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (client, FakeRuntime::new(runtime), ended)
}

async fn say(client: &mut Client, message: &[u8]) {
    client
        .send(Message::binary(message.to_vec()))
        .await
        .unwrap();
}

/// Every message until the close, joined by channel; the close is answered.
async fn hear_all(client: &mut Client) -> Vec<(u8, String)> {
    let mut heard: Vec<(u8, String)> = Vec::new();
    while let Some(Ok(message)) = client.next().await {
        let Message::Binary(data) = message else {
            continue;
        };
        let text = std::str::from_utf8(&data[1..]).unwrap();
        match heard.last_mut() {
            Some((channel, said)) if *channel == data[0] => said.push_str(text),
            _ => heard.push((data[0], text.to_owned())),
        }
    }
    heard
}

fn channels(heard: &[(u8, &str)]) -> Vec<(u8, String)> {
    let owned = heard
        .iter()
        .map(|(channel, text)| (*channel, (*text).to_owned()));
    owned.collect()
}

#[tokio::test]
async fn v5_with_pipes_and_a_closed_stdin() {
    let (mut client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    assert_eq!(runtime.opened, ["error", "stdin", "stdout", "stderr"]);
    say(&mut client, b"\0hello ").await;
    say(&mut client, b"\0world").await;
    say(&mut client, b"\x02ignored").await;
    say(&mut client, b"\xff\0").await;
    let (heard, fin) = runtime.hear("stdin", usize::MAX).await;
    assert_eq!((heard.as_slice(), fin), (&b"hello world"[..], true));
    runtime.say("stdout", b"out", false).await;
    runtime.say("stderr", b"err", true).await;
    runtime.say("stdout", b"more", true).await;
    runtime.finish(SUCCESS).await;
    let expected = channels(&[(1, "out"), (2, "err"), (1, "more"), (3, SUCCESS)]);
    assert_eq!(hear_all(&mut client).await, expected);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_terminal_is_resized() {
    let (mut client, mut runtime, ended) = start(Subprotocol::V4, TERMINAL).await;
    runtime.accept(4).await;
    assert_eq!(runtime.opened, ["error", "stdin", "stdout", "resize"]);
    let size = br#"{"Width":80,"Height":24}"#;
    say(&mut client, &[&b"\x04"[..], size].concat()).await;
    assert_eq!(runtime.hear("resize", size.len()).await.0, size);
    runtime.say("stdout", b"$ ", false).await;
    runtime.finish(FAILED).await;
    let expected = channels(&[(1, "$ "), (3, FAILED)]);
    assert_eq!(hear_all(&mut client).await, expected);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_first_message_is_empty() {
    let only_stdin = Streams {
        stdout: false,
        stderr: false,
        ..PIPES
    };
    for (streams, channel) in [(PIPES, 1), (only_stdin, 3)] {
        let (mut client, _runtime, _ended) = start(Subprotocol::V5, streams).await;
        let first = client.next().await.unwrap().unwrap();
        assert_eq!(first, Message::binary(vec![channel]));
    }
}

#[tokio::test]
async fn before_v4_the_error_channel_has_text() {
    for (status, expected) in [
        (SUCCESS, channels(&[(1, "")])),
        (FAILED, channels(&[(1, ""), (3, "exit code 3")])),
    ] {
        let (mut client, mut runtime, ended) = start(Subprotocol::V1, PIPES).await;
        runtime.accept(4).await;
        runtime.finish(status).await;
        assert_eq!(hear_all(&mut client).await, expected);
        ended.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn base64_both_ways() {
    let (mut client, mut runtime, _ended) = start(Subprotocol::V4Base64, PIPES).await;
    runtime.accept(4).await;
    client.send(Message::text("0aGk=")).await.unwrap();
    assert_eq!(runtime.hear("stdin", 2).await.0, b"hi");
    runtime.say("stdout", b"yes", false).await;
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("1"));
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::text("1eWVz")
    );
}

#[tokio::test]
async fn a_broken_runtime_is_a_failed_session() {
    let (mut client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    runtime.say("stdout", b"half", false).await;
    drop(runtime);
    let heard = hear_all(&mut client).await;
    assert_eq!(heard[0], (1, "half".to_owned()));
    let status: serde_json::Value = serde_json::from_str(&heard[1].1).unwrap();
    assert_eq!(heard[1].0, 3);
    assert_eq!(status["status"], "Failure");
    let message = "the container runtime ended the session without saying how it went";
    assert_eq!(status["message"], message);
    assert!(matches!(ended.await.unwrap(), Err(BridgeError::NoStatus)));
}

#[tokio::test]
async fn a_runtime_that_speaks_something_else() {
    let (mut client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.write(BytesMut::from(&b"\x80\x09garbage"[..])).await;
    let heard = hear_all(&mut client).await;
    assert!(heard[1].1.contains("does not speak SPDY/3.1"), "{heard:?}");
    assert!(matches!(ended.await.unwrap(), Err(BridgeError::Runtime(_))));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_session() {
    let (client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    drop(client);
    assert_eq!(runtime.next().await, Some(Event::GoAway { status: 0 }));
    assert_eq!(runtime.next().await, None);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told() {
    let (mut client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    say(&mut client, b"\xff").await;
    let heard = hear_all(&mut client).await;
    assert!(
        heard[1]
            .1
            .contains("a close signal names one channel, not 0"),
        "{heard:?}"
    );
    assert!(matches!(ended.await.unwrap(), Err(BridgeError::Channel(_))));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session() {
    let (mut client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    let heard = hear_all(&mut client).await;
    assert!(
        heard[1].1.contains("streamingConnectionIdleTimeout"),
        "{heard:?}"
    );
    assert!(matches!(ended.await.unwrap(), Err(BridgeError::Idle(IDLE))));
}

#[tokio::test]
async fn much_output_arrives_whole() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 100;
    let (mut client, mut runtime, ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    let writer = tokio::spawn(async move {
        let piece: Vec<u8> = (0..PIECE).map(|byte| byte.to_le_bytes()[0]).collect();
        for _ in 0..PIECES {
            runtime.say("stdout", &piece, false).await;
        }
        runtime.finish(SUCCESS).await;
        runtime
    });
    let mut length = 0usize;
    while let Some(Ok(message)) = client.next().await {
        if let Message::Binary(data) = message
            && data[0] == 1
        {
            for byte in &data[1..] {
                assert_eq!(*byte, length.to_le_bytes()[0]);
                length += 1;
            }
        }
    }
    assert_eq!(length, PIECE * PIECES);
    drop(writer.await.unwrap());
    ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_makes_the_runtime_wait() {
    let (_client, mut runtime, _ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    let mut written = 0;
    let mut out = BytesMut::new();
    frame::data_header(runtime.id("stdout"), 1 << 23, false, &mut out);
    runtime.write(out).await;
    let flood = async {
        loop {
            written += runtime.io.write(&[0; 1024]).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(1), flood).await.is_err());
    // Two pipes of 64 KiB, and what one direction of a session holds.
    assert!(written < 3 * 64 * 1024 + 64 * 1024, "{written}");
}

#[tokio::test]
async fn stdin_heeds_the_windows_of_a_runtime_that_keeps_them() {
    let (mut client, mut runtime, _ended) = start(Subprotocol::V5, PIPES).await;
    runtime.await_streams(4).await;
    let mut out = BytesMut::new();
    server::settings(10, &mut out);
    runtime.write(out).await;
    runtime.accept(4).await;
    say(&mut client, &[&b"\0"[..], &[b'x'; 25]].concat()).await;
    assert_eq!(runtime.hear("stdin", 10).await.0.len(), 10);
    let mut out = BytesMut::new();
    frame::ping(2, &mut out);
    runtime.write(out).await;
    assert_eq!(
        runtime.next().await,
        Some(Event::Ping(2)),
        "no more data before"
    );
    let mut out = BytesMut::new();
    frame::window_update(runtime.id("stdin"), 100, &mut out);
    runtime.write(out).await;
    assert_eq!(runtime.hear("stdin", 15).await.0.len(), 15);
}

#[tokio::test]
async fn stdin_waits_until_its_stream_is_taken() {
    let (mut client, mut runtime, _ended) = start(Subprotocol::V5, PIPES).await;
    say(&mut client, b"\0early").await;
    runtime.await_streams(4).await;
    let mut out = BytesMut::new();
    frame::ping(2, &mut out);
    runtime.write(out).await;
    assert_eq!(runtime.next().await, Some(Event::Ping(2)));
    runtime.accept(4).await;
    assert_eq!(runtime.hear("stdin", 5).await.0, b"early");
}

#[tokio::test]
async fn room_is_given_back_for_what_the_client_took() {
    let (mut client, mut runtime, _ended) = start(Subprotocol::V5, PIPES).await;
    runtime.accept(4).await;
    runtime.say("stdout", &[b'x'; 40_000], false).await;
    let mut length = 0;
    while length < 40_000 {
        length += client.next().await.unwrap().unwrap().len() - 1;
    }
    let mut given = Vec::new();
    for _ in 0..2 {
        let Some(Event::WindowUpdate { stream, delta }) = runtime.next().await else {
            panic!("not a window update");
        };
        assert!(delta >= 32 * 1024);
        given.push(stream);
    }
    assert_eq!(given, [0, runtime.id("stdout")]);
}
