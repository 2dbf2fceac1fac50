//! The DNS server within the proxy: starts it, hands it what is watched, tells how it goes. Owns its
//! thread and its HTTP servers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use keelson_client::Change;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::link;
use super::serve::{Bound, Server, start};
use super::settings::Settings;
use super::zone::Zone;
use crate::serve::{Answer, Handler, not_found, plain, serve};
use crate::watched::{WatchedService, WatchedSlice};

const HEALTH: u16 = 8080;
const READY: u16 = 8181;
const METRICS: u16 = 9153;

/// Why there is no DNS.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The kernel does not let the node have the address.
    #[error("hold the cluster's DNS addresses: {0}")]
    Link(#[from] keelson_netlink::Error),
    /// Somebody else has the port.
    #[error("listen for DNS at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// There can be no thread.
    #[error("start the thread of the DNS server: {0}")]
    Thread(std::io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Dns {
    zone: Arc<RwLock<Zone>>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Takes the addresses, listens, and serves until the token is cancelled. Questions about the
    /// cluster fail until [`Dns::synced`].
    ///
    /// # Errors
    /// When an address or port is not to be had.
    pub async fn start(
        settings: Settings,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Self, DnsError> {
        let ips: Vec<IpAddr> = settings.listen.iter().map(SocketAddr::ip).collect();
        link::hold(&ips)?;
        let bound = Bound::bind(&settings.listen)
            .map_err(|(address, source)| DnsError::Listen { address, source })?;
        let zone = Zone::new(settings.domain.clone(), ips.clone());
        let zone = Arc::new(RwLock::new(zone));
        let server = Arc::new(Server::new(settings, zone.clone()));
        for ip in ips {
            tell(ip, &server, tasks, stop).await;
        }
        let thread = start(server, bound, stop.clone()).map_err(DnsError::Thread)?;
        Ok(Self {
            zone,
            thread: Some(thread),
        })
    }

    /// A Service changed.
    pub fn service(&self, change: &Change<WatchedService>) {
        let now = change.current().and_then(|object| object.named.clone());
        let key = &change.latest().key;
        self.zone.write().set_service(key, now);
    }

    /// A slice changed.
    pub fn slice(&self, change: &Change<WatchedSlice>) {
        let before = change.previous().and_then(|object| object.whole.as_deref());
        let now = change.current().and_then(|object| object.whole.clone());
        let key = &change.latest().key;
        self.zone.write().set_slice(key, before, now);
    }

    /// All that there is has been told.
    pub fn synced(&self) {
        self.zone.write().synced = true;
    }

    /// Waits for the thread, once its token is cancelled.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the DNS server ended in a panic");
        }
    }
}

/// Health, readiness and metrics at the DNS server's own address, so that no port of the node's is
/// taken. One that cannot be had is told.
async fn tell(ip: IpAddr, server: &Arc<Server>, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
    for port in [HEALTH, READY, METRICS] {
        let server = server.clone();
        let handler: Handler = Arc::new(move |path| answer(&server, port, path));
        match TcpListener::bind((ip, port)).await {
            Ok(listener) => drop(tasks.spawn(serve(listener, handler, stop.clone()))),
            Err(error) => tracing::warn!("tell of DNS at {ip}:{port}: {error}"),
        }
    }
}

fn answer(server: &Server, port: u16, path: &str) -> Answer {
    match (port, path) {
        (HEALTH, "/health") => plain(200, "OK".into()),
        (READY, "/ready") if server.is_ready() => plain(200, "OK".into()),
        (READY, "/ready") => plain(503, "kubernetes".into()),
        (METRICS, "/metrics") => plain(200, server.metrics()),
        _ => not_found(),
    }
}
