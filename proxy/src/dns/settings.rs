//! What the DNS server is told: its address, the cluster's domain, whom to ask about the rest, names
//! of a hosts file. Pure: texts come in.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::name::Name;

const PORT: u16 = 53;

/// Everything the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain.
    pub domain: Name,
    /// Whom to ask about what is not the cluster's.
    pub upstreams: Vec<SocketAddr>,
    /// Domains with servers of their own, the longest first.
    pub stubs: Vec<(Name, Vec<SocketAddr>)>,
    /// Names that are settled.
    pub hosts: Hosts,
    /// The host's own search domains, which pods have behind the cluster's.
    pub search: Vec<Name>,
    /// Whether a name that a client completed with its namespace's domain is answered with what the
    /// client would come to at the end of its search path.
    pub shortcut: bool,
}

/// Why a setting cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No domain.
    #[error("{0:?} is no domain name: write it as cluster.local")]
    Domain(String),
    /// No server.
    #[error("{0:?} is no server: write IP, IP:PORT or [IP]:PORT")]
    Server(String),
    /// No domain with servers.
    #[error("{0:?} is no domain with servers: write corp.example=10.0.0.1,10.0.0.2")]
    Stub(String),
}

/// Reads a domain.
///
/// # Errors
/// When it is none.
pub fn domain(text: &str) -> Result<Name, SettingError> {
    let name = Name::parse(text.trim());
    name.ok_or_else(|| SettingError::Domain(text.to_owned()))
}

/// Reads a server's address; the port is 53 where none is given.
///
/// # Errors
/// When it is none.
pub fn server(text: &str) -> Result<SocketAddr, SettingError> {
    let text = text.trim();
    let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    plain
        .or_else(|_| text.parse())
        .map_err(|_| SettingError::Server(text.to_owned()))
}

/// Reads `corp.example=10.0.0.1,10.0.0.2`.
///
/// # Errors
/// When it is something else.
pub fn stub(text: &str) -> Result<(Name, Vec<SocketAddr>), SettingError> {
    let wrong = || SettingError::Stub(text.to_owned());
    let (zone, servers) = text.split_once('=').ok_or_else(wrong)?;
    let servers: Result<Vec<_>, _> = servers.split(',').map(server).collect();
    Ok((domain(zone)?, servers?))
}

/// What a resolv.conf names: servers and search domains. What we are ourselves is left out: asking it
/// would be asking forever.
#[must_use]
pub fn resolv_conf(text: &str, own: &[SocketAddr]) -> (Vec<SocketAddr>, Vec<Name>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let found = words.next().and_then(|word| server(word).ok());
                servers.extend(found.filter(|address| !own.contains(address)));
            }
            Some("search" | "domain") => search = words.filter_map(Name::parse).collect(),
            _ => {}
        }
    }
    (servers, search)
}

/// Names and addresses of a hosts file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    addresses: HashMap<Name, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads a hosts file; lines that are none are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            for name in words.filter_map(Name::parse) {
                hosts.addresses.entry(name).or_default().push(ip);
            }
        }
        hosts
    }

    /// The addresses of a name, of both families.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&[IpAddr]> {
        self.addresses.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(server("10.0.0.1"), Ok(address("10.0.0.1:53")));
        assert_eq!(server("[fd00::1]:5353"), Ok(address("[fd00::1]:5353")));
        assert!(server("example.com").is_err() && domain("a..b").is_err());
        let (zone, servers) = stub("corp.example=10.0.0.1,10.0.0.2:5353").unwrap();
        assert_eq!(
            (zone.to_string().as_str(), servers.len()),
            ("corp.example.", 2)
        );
        assert!(stub("corp.example").is_err());
    }

    #[test]
    fn we_do_not_ask_ourselves() {
        let text = "nameserver 10.96.0.10\nnameserver 192.0.2.53\nsearch a.example b.example\n";
        let (servers, search) = resolv_conf(text, &[server("10.96.0.10").unwrap()]);
        assert_eq!(servers, vec![server("192.0.2.53").unwrap()]);
        assert_eq!(search.len(), 2);
    }

    #[test]
    fn hosts_have_comments_and_several_names() {
        let hosts = Hosts::parse("127.0.0.1 a b # c\nnonsense\n::1 A\n");
        let find = |name: &str| hosts.find(&Name::parse(name).unwrap()).map(<[IpAddr]>::len);
        assert_eq!((find("a"), find("b"), find("c")), (Some(2), Some(1), None));
    }
}
