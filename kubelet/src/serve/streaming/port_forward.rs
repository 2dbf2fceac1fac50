//! Port forwarding for WebSocket clients: the SPDY that they and the runtime speak, carried in binary
//! messages.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::relay::Activity;

const PIECE: usize = 32 * 1024;
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a tunnel ended other than by its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("the connection to the container runtime broke: {0}")]
    Runtime(#[from] io::Error),
    #[error("the client: {0}")]
    Client(#[from] tungstenite::Error),
    #[error("the client sent text where only binary messages belong")]
    Text,
    #[error("nothing was sent or received for {0:?} (streamingConnectionIdleTimeout)")]
    Idle(Duration),
}

/// Carries bytes until one side ends.
pub(super) async fn tunnel<C, R>(
    client: WebSocketStream<C>,
    runtime: R,
    idle: Duration,
) -> Result<(), TunnelError>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Activity::new();
    let (mut sink, mut source) = client.split();
    let (mut read, mut write) = tokio::io::split(runtime);
    let up = async {
        loop {
            match source.next().await {
                Some(Ok(Message::Binary(piece))) => {
                    activity.touch();
                    write.write_all(&piece).await?;
                    write.flush().await?;
                }
                Some(Ok(Message::Text(_))) => return Err(TunnelError::Text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            }
        }
    };
    let down = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(PIECE);
            if read.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            activity.touch();
            let piece = buffer.split().freeze();
            sink.send(Message::Binary(piece)).await?;
        }
    };
    let outcome = tokio::select! {
        ended = up => ended,
        ended = down => ended,
        () = activity.idle_for(idle) => Err(TunnelError::Idle(idle)),
    };
    let _ = write.shutdown().await;
    // Waits for the client's close, so that nothing sent before is lost.
    let _ = timeout(CLOSE_PATIENCE, async {
        if sink.send(Message::Close(None)).await.is_ok() {
            while let Some(Ok(_)) = source.next().await {}
        }
    })
    .await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::Role;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn bytes_pass_whole_and_the_end_is_told() {
        let (near, far) = tokio::io::duplex(1000);
        let (mut runtime, inner) = tokio::io::duplex(1000);
        let server = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        let session = tokio::spawn(tunnel(server, inner, IDLE));
        let mut client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        client.send(Message::binary(&b"hello"[..])).await.unwrap();
        let mut heard = [0; 5];
        runtime.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        let sent: Vec<u8> = (0..200_000u32).map(|byte| byte.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        tokio::spawn(async move { runtime.write_all(&copy).await.unwrap() });
        let mut received = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            if let Message::Binary(piece) = message {
                assert!(piece.len() <= PIECE);
                received.extend_from_slice(&piece);
            }
        }
        assert_eq!(received, sent);
        session.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it() {
        let (near, _far) = tokio::io::duplex(1000);
        let (_runtime, inner) = tokio::io::duplex(1000);
        let server = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        let ended = tunnel(server, inner, IDLE).await.unwrap_err();
        assert!(matches!(ended, TunnelError::Idle(IDLE)));
    }
}
