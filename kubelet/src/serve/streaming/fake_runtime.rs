//! The server's side of a SPDY session, for tests: takes every stream, and says what it is told to.

use std::collections::BTreeMap;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::spdy_frame::server::{self, Headers};
use super::spdy_frame::{self as frame, Decoder, Event};

pub(super) struct FakeRuntime<Io> {
    pub(super) io: Io,
    buffer: BytesMut,
    decoder: Decoder,
    headers: Headers,
    /// Streams by type, in the order of their opening.
    pub(super) opened: Vec<String>,
    ids: BTreeMap<String, u32>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> FakeRuntime<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            decoder: Decoder::default(),
            headers: Headers::new(),
            opened: Vec::new(),
            ids: BTreeMap::new(),
        }
    }

    /// The next frame; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.decoder.next(&mut self.buffer).unwrap() {
                return Some(event);
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Waits for `count` streams, and takes them.
    pub(super) async fn accept(&mut self, count: usize) {
        self.await_streams(count).await;
        let mut out = BytesMut::new();
        for id in self.ids.values() {
            server::syn_reply(*id, &mut out);
        }
        self.write(out).await;
    }

    pub(super) async fn await_streams(&mut self, count: usize) {
        while self.opened.len() < count {
            let Some(Event::SynStream { stream, headers }) = self.next().await else {
                panic!("not a new stream");
            };
            let headers = self.headers.read(&headers);
            let [(name, kind)] = &headers[..] else {
                panic!("{headers:?}");
            };
            assert_eq!(name, "streamtype");
            self.opened.push(kind.clone());
            self.ids.insert(kind.clone(), stream);
        }
    }

    pub(super) fn id(&self, kind: &str) -> u32 {
        self.ids[kind]
    }

    pub(super) async fn write(&mut self, mut out: BytesMut) {
        self.io.write_all_buf(&mut out).await.unwrap();
    }

    pub(super) async fn say(&mut self, kind: &str, data: &[u8], fin: bool) {
        let mut out = BytesMut::new();
        frame::data_header(self.id(kind), data.len(), fin, &mut out);
        out.extend_from_slice(data);
        self.write(out).await;
    }

    /// Ends the session as runtimes do: status, then all streams reset, then a goodbye.
    pub(super) async fn finish(&mut self, status: &str) {
        self.say("error", status.as_bytes(), false).await;
        let mut out = BytesMut::new();
        for id in self.ids.values() {
            frame::reset(*id, 5, &mut out);
        }
        frame::go_away(&mut out);
        self.write(out).await;
    }

    /// What arrives on a stream until `length` bytes are there or the stream ends, and whether it
    /// ended.
    pub(super) async fn hear(&mut self, kind: &str, length: usize) -> (Vec<u8>, bool) {
        let wanted = self.id(kind);
        let mut heard = Vec::new();
        while let Some(event) = self.next().await {
            let Event::Data { stream, data, fin } = event else {
                continue;
            };
            assert_eq!(stream, wanted);
            heard.extend_from_slice(&data);
            if fin || heard.len() >= length {
                return (heard, fin);
            }
        }
        panic!("the session ended after {heard:?}");
    }
}
