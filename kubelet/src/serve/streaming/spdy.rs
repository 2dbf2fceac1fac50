//! One SPDY/3.1 connection to a runtime's streaming server, as its client: a reader and a writer that
//! share the connection's windows. Neither buffers more than one piece of data, so whoever reads
//! slowly makes the other side wait.

use std::io;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::flow::Flow;
use super::spdy_frame::{self as frame, Decoder, Encoder, Event, FrameError};

const READ_SIZE: usize = 32 * 1024;

/// Why a connection can't be used any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpdyError {
    #[error("the connection to the container runtime broke: {0}")]
    Io(#[from] io::Error),
    #[error("the container runtime does not speak SPDY/3.1: {0}")]
    Frame(#[from] FrameError),
}

/// What reader and writer have to know of each other.
#[derive(Debug)]
pub(super) struct Shared {
    flow: Mutex<Flow>,
    changed: Notify,
}

impl Shared {
    /// For a connection with these streams.
    pub(super) fn new(streams: impl IntoIterator<Item = u32>) -> Self {
        Self {
            flow: Mutex::new(Flow::new(streams)),
            changed: Notify::new(),
        }
    }

    /// Data of a stream has been passed on.
    pub(super) fn consumed(&self, stream: u32, length: usize) {
        self.update(|flow| flow.consumed(stream, length));
    }

    /// Returns once there are control frames to write.
    pub(super) async fn control_due(&self) {
        while !self.flow.lock().has_control() {
            self.changed.notified().await;
        }
    }

    fn update(&self, change: impl FnOnce(&mut Flow)) {
        change(&mut self.flow.lock());
        self.changed.notify_one();
    }

    /// Takes note of what concerns the connection rather than its data.
    fn note(&self, event: &Event) {
        match *event {
            Event::SynReply { stream, .. } => self.update(|flow| flow.accepted(stream)),
            Event::Reset { stream, .. } => self.update(|flow| flow.closed(stream)),
            Event::Settings { initial_window } => self.update(|flow| flow.settings(initial_window)),
            Event::WindowUpdate { stream, delta } => {
                self.update(|flow| flow.window_update(stream, delta));
            }
            Event::Ping(id) => self.update(|flow| flow.ping(id)),
            Event::SynStream { stream, .. } => self.update(|flow| flow.refuse(stream)),
            Event::Data { .. } | Event::Headers { .. } | Event::GoAway { .. } => {}
        }
    }
}

/// Reads what the runtime sends.
pub(super) struct Reader<'a, R> {
    io: R,
    buffer: BytesMut,
    decoder: Decoder,
    shared: &'a Shared,
}

impl<'a, R: AsyncRead + Unpin> Reader<'a, R> {
    pub(super) fn new(io: R, shared: &'a Shared) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            decoder: Decoder::default(),
            shared,
        }
    }

    /// The next event; `None` once the runtime has closed. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, SpdyError> {
        loop {
            if let Some(event) = self.decoder.next(&mut self.buffer)? {
                self.shared.note(&event);
                return Ok(Some(event));
            }
            self.buffer.reserve(READ_SIZE);
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return self.end();
            }
        }
    }

    fn end(&self) -> Result<Option<Event>, SpdyError> {
        if self.buffer.is_empty() && self.decoder.is_between_frames() {
            return Ok(None);
        }
        Err(SpdyError::Io(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Writes to the runtime. Its methods must run to their end: a frame cut in two breaks the
/// connection.
pub(super) struct Writer<'a, W> {
    io: W,
    out: BytesMut,
    encoder: Encoder,
    shared: &'a Shared,
}

impl<'a, W: AsyncWrite + Unpin> Writer<'a, W> {
    pub(super) fn new(io: W, shared: &'a Shared) -> Self {
        Self {
            io,
            out: BytesMut::new(),
            encoder: Encoder::default(),
            shared,
        }
    }

    /// Opens streams, each with its headers.
    pub(super) async fn open(&mut self, streams: &[(u32, &[(&str, &str)])]) -> io::Result<()> {
        for (stream, headers) in streams {
            self.encoder.syn_stream(*stream, headers, &mut self.out);
        }
        self.flush().await
    }

    /// Sends all of `data` as the windows allow; what the peer no longer wants is dropped.
    pub(super) async fn send(&mut self, stream: u32, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let granted = self.shared.flow.lock().reserve(stream, data.len());
            match granted {
                None => break,
                Some(0) => {
                    self.write_control().await?;
                    self.shared.changed.notified().await;
                }
                Some(length) => {
                    let (now, later) = data.split_at(length);
                    frame::data_header(stream, length, false, &mut self.out);
                    self.out.extend_from_slice(now);
                    self.flush().await?;
                    data = later;
                }
            }
        }
        Ok(())
    }

    /// Ends our half of a stream.
    pub(super) async fn finish(&mut self, stream: u32) -> io::Result<()> {
        frame::data_header(stream, 0, true, &mut self.out);
        self.flush().await
    }

    /// Writes the control frames that are due.
    pub(super) async fn write_control(&mut self) -> io::Result<()> {
        self.shared.flow.lock().take_control(&mut self.out);
        self.flush().await
    }

    /// Says goodbye and closes.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        frame::go_away(&mut self.out);
        self.flush().await?;
        self.io.shutdown().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.io.write_all_buf(&mut self.out).await?;
        self.io.flush().await
    }
}
