//! Host names to addresses without the C library's resolver, which a static binary cannot use: an
//! IP literal, else `/etc/hosts`, else the name servers of `/etc/resolv.conf` over UDP.
//!
//! Must not know who asks, or what for. Answers are not kept: who asks often resolves once.

mod dns;
mod files;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use dns::{Answer, RecordType};
use files::ResolvConf;

/// Answers larger than this are cut; 1232 is what servers send over UDP at most.
const MAX_ANSWER: usize = 1232;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No file and no server knows it.
    #[error("lookup {0}: no such host")]
    NotFound(String),
    /// It can't be asked for.
    #[error("lookup {0}: not a host name")]
    Invalid(String),
    /// No server answered.
    #[error("lookup {host}: no name server of {servers} answered")]
    NoAnswer {
        /// The name.
        host: String,
        /// The servers asked.
        servers: String,
    },
}

/// Resolves names with the files and servers of this machine.
#[derive(Clone, Debug)]
pub struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            port: 53,
        }
    }
}

impl Resolver {
    /// The addresses of `host`, IPv4 first; at least one. Bounded by the time-outs of
    /// `resolv.conf` (5 s twice per server unless it says otherwise); give it a deadline of your
    /// own.
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let hosts = tokio::fs::read_to_string(&self.hosts).await;
        let known = files::addresses_in_hosts(&hosts.unwrap_or_default(), host);
        if !known.is_empty() {
            return Ok(known);
        }
        let text = tokio::fs::read_to_string(&self.resolv_conf).await;
        self.ask_servers(host, &ResolvConf::parse(&text.unwrap_or_default()))
            .await
    }

    async fn ask_servers(
        &self,
        host: &str,
        conf: &ResolvConf,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let mut answered = false;
        for name in conf.candidates(host) {
            for server in conf.attempts() {
                let server = SocketAddr::new(server, self.port);
                let found = ask_both(&name, server, conf.timeout).await;
                let Some(addresses) = found.map_err(|()| ResolveError::Invalid(host.to_owned()))?
                else {
                    continue;
                };
                if !addresses.is_empty() {
                    return Ok(addresses);
                }
                answered = true;
                break;
            }
        }
        if answered {
            Err(ResolveError::NotFound(host.to_owned()))
        } else {
            Err(ResolveError::NoAnswer {
                host: host.to_owned(),
                servers: conf.server_list(),
            })
        }
    }
}

/// A and AAAA records of one name from one server. `None`: it did not answer. `Err`: the name can't
/// be asked for.
async fn ask_both(
    name: &str,
    server: SocketAddr,
    wait: Duration,
) -> Result<Option<Vec<IpAddr>>, ()> {
    let v4 = dns::query(query_id(), name, RecordType::A).ok_or(())?;
    let v6 = dns::query(query_id(), name, RecordType::Aaaa).ok_or(())?;
    let (v4, v6) = tokio::join!(ask(&v4, server, wait), ask(&v6, server, wait));
    Ok(match (v4, v6) {
        (None, None) => None,
        (v4, v6) => Some(v4.into_iter().chain(v6).flatten().collect()),
    })
}

async fn ask(query: &[u8], server: SocketAddr, wait: Duration) -> Option<Vec<IpAddr>> {
    timeout(wait, exchange(query, server)).await.ok().flatten()
}

async fn exchange(query: &[u8], server: SocketAddr) -> Option<Vec<IpAddr>> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(query).await.ok()?;
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        match dns::answer(&buffer[..length], query) {
            Answer::Addresses(addresses) => return Some(addresses),
            Answer::ServerFailed => return None,
            Answer::NotOurs => {}
        }
    }
}

/// Unpredictable enough that a forged answer has to guess it along with the port.
fn query_id() -> u16 {
    use std::hash::{BuildHasher, Hasher};
    let hash = std::hash::RandomState::new().build_hasher().finish();
    u16::from_ne_bytes([hash.to_ne_bytes()[0], hash.to_ne_bytes()[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server on loopback that knows `web.pods.test` only, and answers `reply` code 3 otherwise.
    async fn server() -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let reply = dns::test_reply(&buffer[..length], "web.pods.test");
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        port
    }

    async fn resolver(conf: &str, port: u16) -> (tempfile::TempDir, Resolver) {
        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("hosts");
        let resolv_conf = dir.path().join("resolv.conf");
        std::fs::write(&hosts, "10.1.2.3 box box.lan # ours\n").unwrap();
        std::fs::write(&resolv_conf, conf).unwrap();
        let resolver = Resolver {
            hosts,
            resolv_conf,
            port,
        };
        (dir, resolver)
    }

    #[tokio::test]
    async fn literal_then_hosts_then_servers() {
        let conf = "nameserver 127.0.0.1\nsearch example.test pods.test\n";
        let (_dir, resolver) = resolver(conf, server().await).await;
        for (host, expected) in [
            ("::1", "::1"),
            ("BOX.lan", "10.1.2.3"),
            ("web.pods.test", "192.0.2.1"),
            ("web", "192.0.2.1"),
        ] {
            let found = resolver.lookup(host).await.unwrap();
            assert_eq!(found[0].to_string(), expected, "{host}");
        }
        let missing = resolver.lookup("nowhere.test").await.unwrap_err();
        assert_eq!(missing.to_string(), "lookup nowhere.test: no such host");
        let invalid = resolver.lookup("a..b").await.unwrap_err();
        assert_eq!(invalid.to_string(), "lookup a..b: not a host name");
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let conf = "nameserver 127.0.0.1\noptions timeout:1 attempts:1 ndots:0\n";
        let (_dir, resolver) = resolver(conf, port).await;
        tokio::time::pause();
        let error = resolver.lookup("x.test").await.unwrap_err();
        let expected = "lookup x.test: no name server of 127.0.0.1 answered";
        assert_eq!(error.to_string(), expected);
    }
}
