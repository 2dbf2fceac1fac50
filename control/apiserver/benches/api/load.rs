//! The load: connections over TLS that send one request after the other, and what that took. It
//! costs as little as it can, since it runs on the server's processors: requests are bytes made
//! beforehand, and of an answer only its code and length are read. It must not know who answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::answer::{Framing, Head, Newlines};
use crate::share_of;
use crate::target::Target;

/// Connections at once.
pub const CONNECTIONS: usize = 32;
/// Bytes read at once: more than a record of TLS.
const BLOCK: usize = 64 * 1024;

/// One request, as it is sent.
pub struct Work(Vec<u8>);

impl Work {
    pub fn new(method: &str, path: &str, kind: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        Self(text.into_bytes())
    }

    pub fn get(path: &str) -> Self {
        let text =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n");
        Self(text.into_bytes())
    }
}

/// What many requests took.
pub struct Measured {
    /// Requests a second.
    pub rate: f64,
    pub half: Duration,
    pub p99: Duration,
    /// Processors that this process used.
    pub own: f64,
    /// Processors that the server used.
    pub theirs: f64,
}

/// A connection. What it has read and not used yet is in `read[used..]`.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
    used: usize,
}

impl Connection {
    pub async fn open(target: &Target) -> Self {
        let dialled = Self::dial(target.address, &target.client).await;
        dialled.expect("a connection")
    }

    /// A connection, if somebody is there.
    pub async fn dial(address: SocketAddr, client: &Arc<ClientConfig>) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let connector = TlsConnector::from(Arc::clone(client));
        let name = ServerName::try_from("localhost").ok()?;
        let stream = connector.connect(name, stream).await.ok()?;
        Some(Self {
            stream,
            read: Vec::new(),
            used: 0,
        })
    }

    async fn fill(&mut self) {
        self.read.drain(..self.used);
        self.used = 0;
        self.read.reserve(BLOCK);
        let count = self.stream.read_buf(&mut self.read).await;
        assert!(count.expect("an answer") > 0, "the connection has ended");
    }

    /// Sends a request and reads the head of its answer.
    pub async fn ask(&mut self, work: &Work) -> Head {
        self.stream.write_all(&work.0).await.expect("a connection");
        self.stream.flush().await.expect("a connection");
        loop {
            if let Some(head) = Head::read(&self.read[self.used..]) {
                self.used += head.size;
                return head;
            }
            self.fill().await;
        }
    }

    async fn ask_well(&mut self, work: &Work) -> Head {
        let head = self.ask(work).await;
        let text = || String::from_utf8_lossy(&self.read[self.used..]).into_owned();
        assert!((200..300).contains(&head.code), "{} {}", head.code, text());
        head
    }

    /// Sends a request and gives the size of its answer.
    pub async fn send(&mut self, work: &Work) -> usize {
        let mut body = self.ask_well(work).await.framing;
        let mut size = 0;
        while !body.is_over() {
            let (count, used) = body.take(&self.read[self.used..]);
            (size, self.used) = (size + count, self.used + used);
            if used == 0 {
                self.fill().await;
            }
        }
        size
    }

    /// Sends a request and reads its answer, which says its length.
    pub async fn value(&mut self, work: &Work) -> Value {
        let Framing::Length(length) = self.ask_well(work).await.framing else {
            panic!("a long answer");
        };
        while self.read.len() - self.used < length {
            self.fill().await;
        }
        let body = &self.read[self.used..self.used + length];
        let value = serde_json::from_slice(body).expect("JSON");
        self.used += length;
        value
    }

    /// Begins to watch.
    pub async fn watch(&mut self, work: &Work) {
        let framing = self.ask_well(work).await.framing;
        assert!(matches!(framing, Framing::Chunks { .. }), "a stream");
    }

    /// Reads on until so many lines have come.
    pub async fn lines(&mut self, count: usize) {
        let mut lines = Newlines::default();
        loop {
            self.used += lines.take(&self.read[self.used..]);
            if lines.seen >= count {
                return;
            }
            self.fill().await;
        }
    }
}

/// Has all requests sent.
pub async fn run(target: &Target, count: usize, make: impl Fn(usize) -> Work) -> Measured {
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let works: Vec<Work> = share_of(count, number).map(&make).collect();
        connections.push((Connection::open(target).await, works));
    }
    let (begun, own, theirs) = (Instant::now(), own_time(), target.time());
    let mut senders = tokio::task::JoinSet::new();
    for (mut connection, works) in connections {
        senders.spawn(async move {
            let mut times = Vec::with_capacity(works.len());
            for work in works {
                let begun = Instant::now();
                connection.send(&work).await;
                times.push(begun.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
    let took = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    Measured {
        rate: count as f64 / took,
        half: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
        own: (own_time() - own).as_secs_f64() / took,
        theirs: (target.time() - theirs).as_secs_f64() / took,
    }
}

/// The processor's time that this process has used.
pub fn own_time() -> Duration {
    crate::target::time_of("self")
}
