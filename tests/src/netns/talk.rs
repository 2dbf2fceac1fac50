//! Conversations between places: who is reached by which address, and whom the other side sees.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{Namespace, Pod};

/// Long enough for a busy machine, short enough for the cases that wait for nothing to happen.
const PATIENCE: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 3;

/// Where a conversation's end is.
pub trait Place {
    /// Does something there.
    fn at<T>(&self, act: impl FnOnce() -> T) -> T;
}

/// The host.
#[derive(Debug, Clone, Copy)]
pub struct Host;

impl Place for Host {
    fn at<T>(&self, act: impl FnOnce() -> T) -> T {
        act()
    }
}

impl Place for Namespace {
    fn at<T>(&self, act: impl FnOnce() -> T) -> T {
        self.inside(act)
    }
}

impl Place for Pod {
    fn at<T>(&self, act: impl FnOnce() -> T) -> T {
        self.namespace.inside(act)
    }
}

/// Like [`tcp`], but gives the kernel a while: duplicate detection of IPv6 addresses takes a second.
pub fn tcp_soon(
    from: &impl Place,
    to: SocketAddr,
    server: &impl Place,
    port: u16,
) -> Option<IpAddr> {
    (0..ATTEMPTS).find_map(|_| tcp(from, to, server, port))
}

/// Connects by TCP and returns whom the server saw; `None` where no connection came about.
pub fn tcp(from: &impl Place, to: SocketAddr, server: &impl Place, port: u16) -> Option<IpAddr> {
    let wildcard: IpAddr = if to.is_ipv6() {
        IpAddr::from([0_u16; 8])
    } else {
        IpAddr::from([0_u8; 4])
    };
    let listener = server.at(|| bound(|| TcpListener::bind((wildcard, port))));
    let mut client = from.at(|| TcpStream::connect_timeout(&to, PATIENCE)).ok()?;
    listener.set_nonblocking(true).expect("nonblocking");
    let (mut served, peer) = while_it_says(ErrorKind::WouldBlock, || listener.accept()).ok()?;
    served.set_nonblocking(false).expect("blocking");
    served.write_all(b"x").ok()?;
    client.set_read_timeout(Some(PATIENCE)).expect("timeout");
    client.read_exact(&mut [0]).ok()?;
    Some(peer.ip())
}

/// Binds, waiting for a port that is on its way out: a process that another test of this binary is
/// just starting holds copies of all our sockets between its fork and its exec.
fn bound<T>(bind: impl Fn() -> io::Result<T>) -> T {
    while_it_says(ErrorKind::AddrInUse, bind).expect("a free port")
}

/// Repeats what answers with this error, for as long as our patience lasts.
fn while_it_says<T>(passing: ErrorKind, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match act() {
            Err(error) if error.kind() == passing && Instant::now() < deadline => {
                thread::yield_now();
            }
            outcome => return outcome,
        }
    }
}

/// An end of a UDP conversation.
///
/// # Panics
/// Where the port is taken.
pub fn udp_socket(at: &impl Place, addr: SocketAddr) -> UdpSocket {
    let socket = at.at(|| bound(|| UdpSocket::bind(addr)));
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket
}

/// Sends a datagram and waits for the server's answer; whether it came.
pub fn udp(client: &UdpSocket, to: SocketAddr, server: &UdpSocket) -> bool {
    if client.send_to(b"ask", to).is_err() {
        return false;
    }
    let Ok((_, peer)) = server.recv_from(&mut [0; 8]) else {
        return false;
    };
    server.send_to(b"answer", peer).is_ok() && client.recv_from(&mut [0; 8]).is_ok()
}
