//! Bytes from one connection to the other and back, until one side is done or nothing has moved for
//! too long. Knows no protocol.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// When something last moved. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Something moved.
    pub(super) fn touch(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Returns once nothing has moved for `limit`; never, if that is zero.
    pub(super) async fn idle_for(&self, limit: Duration) {
        if limit.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let end = *self.0.lock() + limit;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// Copies both ways. Ends when either side has sent all it will, as both protocols carried here close
/// the connection as a whole; what was read by then is delivered.
pub(super) async fn relay<A, B>(client: A, runtime: B, idle: Duration) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Activity::new();
    let (client_read, mut client_write) = tokio::io::split(client);
    let (runtime_read, mut runtime_write) = tokio::io::split(runtime);
    let mut from_client = Watched(client_read, activity.clone());
    let mut from_runtime = Watched(runtime_read, activity.clone());
    let outcome = tokio::select! {
        copied = tokio::io::copy(&mut from_client, &mut runtime_write) => copied,
        copied = tokio::io::copy(&mut from_runtime, &mut client_write) => copied,
        () = activity.idle_for(idle) => Err(io::ErrorKind::TimedOut.into()),
    };
    // Whoever is gone already can't be told.
    let _ = client_write.shutdown().await;
    let _ = runtime_write.shutdown().await;
    outcome.map(|_bytes| ())
}

/// A reader that notes when it read something.
struct Watched<R>(R, Activity);

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.1.touch();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::time::advance;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn both_ways_until_one_side_ends() {
        let (mut client, near) = tokio::io::duplex(64);
        let (mut runtime, far) = tokio::io::duplex(64);
        let session = tokio::spawn(relay(near, far, IDLE));
        client.write_all(b"ask").await.unwrap();
        let mut asked = [0; 3];
        runtime.read_exact(&mut asked).await.unwrap();
        runtime.write_all(b"answer").await.unwrap();
        drop(runtime);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((&asked, answer.as_str()), (b"ask", "answer"));
        session.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_ends_and_a_busy_one_does_not() {
        let (mut client, near) = tokio::io::duplex(64);
        let (mut runtime, far) = tokio::io::duplex(64);
        let start = Instant::now();
        let session = tokio::spawn(relay(near, far, IDLE));
        for _ in 0..3 {
            advance(IDLE / 2).await;
            client.write_all(b"x").await.unwrap();
            runtime.read_u8().await.unwrap();
        }
        let ended = session.await.unwrap().unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= IDLE * 5 / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_means_no_limit() {
        let (_client, near) = tokio::io::duplex(64);
        let (runtime, far) = tokio::io::duplex(64);
        let session = tokio::spawn(relay(near, far, Duration::ZERO));
        tokio::time::sleep(IDLE * 1000).await;
        assert!(!session.is_finished());
        drop(runtime);
        session.await.unwrap().unwrap();
    }
}
