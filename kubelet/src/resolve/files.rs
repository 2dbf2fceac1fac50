//! `/etc/hosts` and `/etc/resolv.conf` to values. Pure: reads no file.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What the C library allows: more servers and search domains are ignored.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 32;

/// The addresses that a hosts file gives a name, in its order.
pub(super) fn addresses_in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    text.lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words
                .any(|name| name.eq_ignore_ascii_case(host))
                .then_some(address)
        })
        .collect()
}

/// The part of `resolv.conf` that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    attempts: usize,
    /// How long one server may take for one question.
    pub(super) timeout: Duration,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            attempts: 2,
            timeout: Duration::from_secs(5),
        }
    }
}

impl ResolvConf {
    /// Reads what it understands and skips the rest, like the C library.
    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(parse_server)),
                Some("search" | "domain") => {
                    conf.search = words.take(MAX_SEARCH).map(str::to_owned).collect();
                }
                Some("options") => words.for_each(|option| conf.set_option(option)),
                _ => {}
            }
        }
        conf.servers.truncate(MAX_SERVERS);
        if conf.servers.is_empty() {
            conf.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        conf
    }

    fn set_option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else {
            return;
        };
        let Ok(value) = value.parse::<u32>() else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "attempts" => self.attempts = value.clamp(1, 5) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            _ => {}
        }
    }

    /// The names to ask for, in order: as it is first when it has `ndots` dots or ends in one.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let mut names: Vec<String> = searched.collect();
        let dots = host.matches('.').count();
        let as_is = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(as_is, host.to_owned());
        names
    }

    /// The servers in the order to ask them, each as often as `attempts` says.
    pub(super) fn attempts(&self) -> impl Iterator<Item = IpAddr> {
        let once = self.servers.len();
        self.servers
            .iter()
            .copied()
            .cycle()
            .take(once * self.attempts)
    }

    /// The servers, for messages.
    pub(super) fn server_list(&self) -> String {
        let names: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

/// An address, without the zone of a link-local one.
fn parse_server(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let text =
            "# all\n127.0.0.1 localhost\n::1 localhost ip6-localhost\nbad line\n10.0.0.1 a b # c\n";
        for (host, expected) in [
            ("localhost", &["127.0.0.1", "::1"][..]),
            ("LocalHost.", &["127.0.0.1", "::1"]),
            ("b", &["10.0.0.1"]),
            ("c", &[]),
            ("line", &[]),
        ] {
            let found: Vec<String> = addresses_in_hosts(text, host)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected, "{host}");
        }
    }

    #[test]
    fn resolv_conf() {
        let text = "domain old\nsearch a.test b.test\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\n\
                    nameserver x\nnameserver 10.0.0.2 # two\nnameserver 10.0.0.3\n\
                    options ndots:5 timeout:2 attempts:1 rotate edns0 ndots:x\n";
        let conf = ResolvConf::parse(text);
        let expected = ResolvConf {
            servers: ["10.0.0.1", "fe80::1", "10.0.0.2"]
                .map(|ip| ip.parse().unwrap())
                .to_vec(),
            search: vec!["a.test".into(), "b.test".into()],
            ndots: 5,
            attempts: 1,
            timeout: Duration::from_secs(2),
        };
        assert_eq!(conf, expected);
        assert_eq!(ResolvConf::parse("").server_list(), "127.0.0.1");
    }

    #[test]
    fn candidates() {
        let conf = ResolvConf {
            search: vec!["a".into(), "b".into()],
            ndots: 2,
            ..ResolvConf::default()
        };
        for (host, expected) in [
            ("x", &["x.a", "x.b", "x"][..]),
            ("x.y.z", &["x.y.z", "x.y.z.a", "x.y.z.b"]),
            ("x.", &["x"]),
        ] {
            assert_eq!(conf.candidates(host), expected, "{host}");
        }
    }
}
