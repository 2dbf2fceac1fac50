//! The DNS server's sockets, on a thread of its own: rules that are being written never make a
//! question wait.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Found, Key};
use super::forward::{Upstreams, framed};
use super::metrics::{Entrance, Metrics};
use super::resolve::{Case, Known, Step};
use super::settings::Settings;
use super::wire::{Code, NoQuery, Query, UDP_SIZE};
use super::zone::Zone;

/// Questions that wait for other servers at a time.
const WAITING: usize = 1000;
/// TCP connections at a time, and how long one may be silent.
const CONNECTIONS: usize = 200;
const SILENCE: Duration = Duration::from_secs(10);
/// Questions answered in a row before others get a turn.
const IN_A_ROW: usize = 64;
/// How long others have before an old answer is given instead.
const BEFORE_STALE: Duration = Duration::from_millis(300);

/// The server, shared by its sockets.
#[derive(Debug)]
pub struct Server {
    zone: Arc<RwLock<Zone>>,
    settings: Settings,
    upstreams: Upstreams,
    cache: Mutex<Cache>,
    metrics: Mutex<Metrics>,
    started: Instant,
}

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    udp: Vec<std::net::UdpSocket>,
    tcp: Vec<std::net::TcpListener>,
}

impl Bound {
    /// Binds UDP and TCP at every address.
    ///
    /// # Errors
    /// The address and why not.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let mut bound = Self {
            udp: Vec::new(),
            tcp: Vec::new(),
        };
        for address in addresses {
            let udp = std::net::UdpSocket::bind(address).map_err(|error| (*address, error))?;
            // With port 0 both get the same one.
            let same = udp.local_addr().unwrap_or(*address);
            let tcp = std::net::TcpListener::bind(same).map_err(|error| (*address, error))?;
            let quiet = udp.set_nonblocking(true).and(tcp.set_nonblocking(true));
            quiet.map_err(|error| (*address, error))?;
            bound.udp.push(udp);
            bound.tcp.push(tcp);
        }
        Ok(bound)
    }

    /// Where it is.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let all = self
            .udp
            .iter()
            .filter_map(|socket| socket.local_addr().ok());
        all.collect()
    }
}

/// Serves on a thread of its own until the token is cancelled.
///
/// # Errors
/// When there can be no thread.
pub fn start(
    server: Arc<Server>,
    bound: Bound,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("dns".into());
    thread.spawn(move || runtime.block_on(run(server, bound, stop)))
}

async fn run(server: Arc<Server>, bound: Bound, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    for socket in bound.udp {
        match UdpSocket::from_std(socket) {
            Ok(socket) => drop(tasks.spawn(udp(server.clone(), socket.into(), stop.clone()))),
            Err(error) => tracing::error!("serve DNS by UDP: {error}"),
        }
    }
    for listener in bound.tcp {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(tasks.spawn(tcp(server.clone(), listener, stop.clone()))),
            Err(error) => tracing::error!("serve DNS by TCP: {error}"),
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// What becomes of a message.
enum Outcome {
    Silence,
    Answer(Vec<u8>),
    /// Others have to be asked.
    Wait(Box<Query>, Key),
}

impl Server {
    /// A server of this zone.
    #[must_use]
    pub fn new(settings: Settings, zone: Arc<RwLock<Zone>>) -> Self {
        Self {
            upstreams: Upstreams::new(&settings),
            zone,
            settings,
            cache: Mutex::default(),
            metrics: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Whether everything is known that the cluster has.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.zone.read().synced
    }

    /// The text of /metrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        let entries = self.cache.lock().len();
        self.metrics.lock().text(entries)
    }

    fn take(&self, message: &[u8], entrance: Entrance) -> Outcome {
        let started = Instant::now();
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(NoQuery::Silence) => return Outcome::Silence,
            Err(NoQuery::Answer(code, bytes)) => {
                self.note(entrance, 0, code, started);
                return Outcome::Answer(bytes);
            }
        };
        match self.step(&query, entrance, &[]) {
            Step::Done(code, bytes) => {
                self.note(entrance, query.kind, code, started);
                Outcome::Answer(bytes)
            }
            Step::Ask(key) => Outcome::Wait(Box::new(query), key),
        }
    }

    fn note(&self, entrance: Entrance, kind: u16, code: Code, started: Instant) {
        let mut metrics = self.metrics.lock();
        metrics.answered(entrance, kind, code, started.elapsed());
    }

    /// As far as what is known allows; `told` is what was just asked for, whatever the cache has.
    fn step(&self, query: &Query, entrance: Entrance, told: &[(Key, Known)]) -> Step {
        let now = self.started.elapsed();
        let known = |key: &Key| match told.iter().find(|(asked, _)| asked == key) {
            Some((_, known)) => known.clone(),
            None => match self.cache.lock().find(key, now) {
                Found::Fresh(kept, age) => {
                    self.metrics.lock().hits[usize::from(!kept.positive)] += 1;
                    Known::Answer(kept, age)
                }
                Found::Stale(_) | Found::Missing => Known::Unasked,
            },
        };
        let limit = if entrance.tcp {
            65_535
        } else {
            query.udp_limit()
        };
        Case {
            query,
            zone: &self.zone.read(),
            settings: &self.settings,
            known: &known,
            limit,
        }
        .step()
    }

    /// Asks others until the question is answered.
    async fn finish(
        self: Arc<Self>,
        query: Box<Query>,
        mut key: Key,
        entrance: Entrance,
    ) -> Vec<u8> {
        let started = Instant::now();
        let mut told = Vec::new();
        loop {
            let known = self.ask(&key).await;
            told.push((key, known));
            match self.step(&query, entrance, &told) {
                Step::Done(code, bytes) => {
                    self.note(entrance, query.kind, code, started);
                    return bytes;
                }
                Step::Ask(next) => key = next,
            }
        }
    }

    async fn ask(self: &Arc<Self>, key: &Key) -> Known {
        self.metrics.lock().misses += 1;
        let found = self.cache.lock().find(key, self.started.elapsed());
        let old = match found {
            Found::Fresh(kept, age) => return Known::Answer(kept, age),
            Found::Stale(kept) => kept,
            Found::Missing => return self.ask_others(key).await,
        };
        // The task goes on when the client has its old answer: the next one gets the new one.
        let server = self.clone();
        let asked = key.clone();
        let mut task = tokio::spawn(async move { server.ask_others(&asked).await });
        match timeout(BEFORE_STALE, &mut task).await {
            Ok(Ok(Known::Answer(kept, age))) => Known::Answer(kept, age),
            _ => {
                self.metrics.lock().served_stale += 1;
                Known::Answer(old, u32::MAX)
            }
        }
    }

    async fn ask_others(&self, key: &Key) -> Known {
        let started = Instant::now();
        let outcome = self.upstreams.ask(key).await;
        let answered = outcome.is_ok();
        self.metrics.lock().forwarded(started.elapsed(), answered);
        match outcome {
            Ok(kept) => {
                let settled = kept.code == Code::NoError as u8 || kept.code == Code::NxDomain as u8;
                if settled && !kept.truncated {
                    let now = self.started.elapsed();
                    self.cache.lock().keep(key.clone(), kept.clone(), now);
                }
                Known::Answer(kept, 0)
            }
            Err(error) => {
                tracing::debug!("{error}");
                Known::Failed
            }
        }
    }

    /// The answer to a question that cannot wait as well.
    fn reject(&self, query: &Query, entrance: Entrance) -> Vec<u8> {
        self.metrics.lock().rejected += 1;
        self.note(entrance, query.kind, Code::ServFail, Instant::now());
        query.answer(Code::ServFail).finish()
    }
}

async fn udp(server: Arc<Server>, socket: Arc<UdpSocket>, stop: CancellationToken) {
    let mut waiting = JoinSet::new();
    let mut buffer = [0; UDP_SIZE as usize * 2];
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = waiting.join_next() => continue,
            ready = socket.readable() => if ready.is_err() { continue },
        }
        for _ in 0..IN_A_ROW {
            // A refusal of an earlier answer is reported here, and is nobody's affair any more.
            let (length, from) = match socket.try_recv_from(&mut buffer) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let entrance = Entrance {
                tcp: false,
                v6: from.is_ipv6(),
            };
            let answer = match server.take(&buffer[..length], entrance) {
                Outcome::Silence => continue,
                Outcome::Answer(bytes) => bytes,
                Outcome::Wait(query, _) if waiting.len() >= WAITING => {
                    server.reject(&query, entrance)
                }
                Outcome::Wait(query, key) => {
                    let (server, socket) = (server.clone(), socket.clone());
                    waiting.spawn(async move {
                        let bytes = server.finish(query, key, entrance).await;
                        // A client that is gone has no use for it.
                        let _ = socket.send_to(&bytes, from).await;
                    });
                    continue;
                }
            };
            if socket.try_send_to(&answer, from).is_err() {
                // The socket is full: the client asks again sooner than it would empty.
                tokio::task::yield_now().await;
            }
        }
    }
    waiting.shutdown().await;
}

async fn tcp(server: Arc<Server>, listener: TcpListener, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => {
                // A failed accept is the client's or a want of descriptors: others still count.
                if let Ok((stream, from)) = accepted {
                    let entrance = Entrance { tcp: true, v6: from.is_ipv6() };
                    connections.spawn(connection(server.clone(), stream, entrance));
                }
            }
        }
    }
    connections.shutdown().await;
}

/// Answers one question after the other; a client that is silent or breaks off ends it.
async fn connection(server: Arc<Server>, mut stream: TcpStream, entrance: Entrance) {
    loop {
        let Ok(Ok(length)) = timeout(SILENCE, stream.read_u16()).await else {
            return;
        };
        let mut message = vec![0; usize::from(length)];
        let Ok(Ok(_)) = timeout(SILENCE, stream.read_exact(&mut message)).await else {
            return;
        };
        let answer = match server.take(&message, entrance) {
            Outcome::Silence => return,
            Outcome::Answer(bytes) => bytes,
            Outcome::Wait(query, key) => server.clone().finish(query, key, entrance).await,
        };
        if stream.write_all(&framed(&answer)).await.is_err() {
            return;
        }
    }
}
