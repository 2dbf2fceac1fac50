//! Asks other servers. Knows how to send and whom to ask next; what an answer means is not its.
//!
//! Every question goes out from a port of its own with a random number, and only what answers exactly
//! that is taken. An answer that was cut short is asked for again by TCP, so that what is kept is
//! whole.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::cache::Key;
use super::name::Name;
use super::settings::Settings;
use super::wire::{Code, Kept, UDP_SIZE, question};

/// How long a server has: first the short times for each, then the long ones.
const PATIENCE: [Duration; 2] = [Duration::from_millis(800), Duration::from_millis(1700)];
const PATIENCE_TCP: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ForwardError {
    /// There is nobody to ask.
    #[error("ask for {0}: no server is configured")]
    Nobody(Name),
    /// All that were asked were silent or unable.
    #[error("ask for {name}: none of {servers} servers answers")]
    Silence {
        /// The name.
        name: Name,
        /// How many were asked.
        servers: usize,
    },
}

type Flight = Arc<OnceCell<Result<Arc<Kept>, ForwardError>>>;

/// The other servers.
#[derive(Debug)]
pub struct Upstreams {
    default: Group,
    stubs: Vec<(Name, Group)>,
    flights: Mutex<HashMap<Key, Flight>>,
}

/// Servers of which each will do.
#[derive(Debug)]
struct Group {
    servers: Vec<SocketAddr>,
    /// The one that answered last.
    best: AtomicUsize,
}

impl Group {
    fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            best: AtomicUsize::new(0),
        }
    }
}

impl Upstreams {
    /// Those of the settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let stubs = settings.stubs.iter();
        Self {
            default: Group::new(settings.upstreams.clone()),
            stubs: stubs
                .map(|(zone, servers)| (zone.clone(), Group::new(servers.clone())))
                .collect(),
            flights: Mutex::default(),
        }
    }

    /// How many questions are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.flights.lock().len()
    }

    /// Asks; those who want to know the same at the same time wait for one answer.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn ask(&self, key: &Key) -> Result<Arc<Kept>, ForwardError> {
        let flight = self.flights.lock().entry(key.clone()).or_default().clone();
        let outcome = flight.get_or_init(|| self.ask_group(key)).await.clone();
        self.flights.lock().remove(key);
        outcome
    }

    fn group(&self, name: &Name) -> &Group {
        let mut own = self
            .stubs
            .iter()
            .filter(|(zone, _)| name.below(zone).is_some());
        own.next().map_or(&self.default, |(_, group)| group)
    }

    async fn ask_group(&self, key: &Key) -> Result<Arc<Kept>, ForwardError> {
        let group = self.group(&key.name);
        let count = group.servers.len();
        let mut unable = None;
        for patience in PATIENCE {
            let best = group.best.load(Ordering::Relaxed);
            for turn in 0..count {
                let index = (best + turn) % count;
                let Ok(kept) = exchange(group.servers[index], key, patience).await else {
                    continue;
                };
                if kept.code == Code::ServFail as u8 || kept.code == Code::Refused as u8 {
                    unable = Some(kept);
                    continue;
                }
                group.best.store(index, Ordering::Relaxed);
                return Ok(Arc::new(kept));
            }
            if let Some(kept) = unable.take() {
                return Ok(Arc::new(kept));
            }
        }
        let name = key.name.clone();
        Err(match count {
            0 => ForwardError::Nobody(name),
            servers => ForwardError::Silence { name, servers },
        })
    }
}

async fn exchange(server: SocketAddr, key: &Key, patience: Duration) -> io::Result<Kept> {
    let asked = question(random_id(), &key.name, key.kind, key.dnssec);
    let kept = timeout(patience, by_udp(server, &asked)).await??;
    if !kept.truncated {
        return Ok(kept);
    }
    timeout(PATIENCE_TCP, by_tcp(server, &asked)).await?
}

async fn by_udp(server: SocketAddr, asked: &[u8]) -> io::Result<Kept> {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut buffer = [0; UDP_SIZE as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to this is somebody's guess.
        if let Some(kept) = Kept::read(&buffer[..length], asked) {
            return Ok(kept);
        }
    }
}

async fn by_tcp(server: SocketAddr, asked: &[u8]) -> io::Result<Kept> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&framed(asked)).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Kept::read(&bytes, asked).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A message with its length before it, as TCP needs.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(message.iter().take(usize::from(length)));
    bytes
}

/// A number nobody can guess; the port is the kernel's random choice.
fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // Short reads do not happen below 256 bytes, and a failure leaves the port to guess.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}
