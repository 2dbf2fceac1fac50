//! The command line of the DNS server. Reads the files it names; what they mean is decided in
//! [`super::settings`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;

use super::settings::{Hosts, SettingError, Settings, domain, resolv_conf, server, stub};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// Flags beside those of upstream's proxy, which has no DNS; they count with `--config` too.
#[derive(Clone, Debug, Default, Args)]
pub struct DnsFlags {
    /// Answer for the cluster's DNS on this node, at these addresses: what the kubelet's clusterDNS
    /// names. A Service of such an address that has endpoints goes before. Off by default
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub cluster_domain: String,
    /// Servers for all other names; those of --dns-resolv-conf by default
    #[arg(long, value_delimiter = ',', value_name = "IP[:PORT]")]
    pub dns_upstream: Vec<String>,
    /// Where the host's servers and search domains are
    #[arg(long, value_name = "FILE")]
    pub dns_resolv_conf: Option<PathBuf>,
    /// Servers for one domain; may be given several times
    #[arg(long, value_name = "DOMAIN=IP[:PORT],...")]
    pub dns_stub_domain: Vec<String>,
    /// Names and addresses, as in /etc/hosts, that go before all others
    #[arg(long, value_name = "FILE")]
    pub dns_hosts: Option<PathBuf>,
    /// Answer the first name of a pod's search path with what the search comes to. Wrong for pods
    /// with search domains of their own
    #[arg(long)]
    pub dns_search_shortcut: bool,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum DnsFlagError {
    /// A value is wrong.
    #[error(transparent)]
    Value(#[from] SettingError),
    /// A file cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DnsFlags {
    /// What the flags and files say; `None` where there is to be no DNS.
    ///
    /// # Errors
    /// When a value is wrong or a file that was named cannot be read.
    pub fn settings(&self) -> Result<Option<Settings>, DnsFlagError> {
        if self.cluster_dns.is_empty() {
            return Ok(None);
        }
        let listen = self.cluster_dns.iter();
        let listen: Vec<SocketAddr> = listen.map(|ip| SocketAddr::new(*ip, PORT)).collect();
        let text = match &self.dns_resolv_conf {
            Some(path) => read(path)?,
            // A host without one has nobody to ask, which is no reason not to serve the cluster.
            None => std::fs::read_to_string(RESOLV_CONF).unwrap_or_default(),
        };
        let (found, search) = resolv_conf(&text, &listen);
        let named: Result<Vec<_>, _> = self.dns_upstream.iter().map(|text| server(text)).collect();
        let named = named?;
        let stubs: Result<Vec<_>, _> = self.dns_stub_domain.iter().map(|s| stub(s)).collect();
        let mut stubs = stubs?;
        stubs.sort_by_key(|(zone, _)| std::cmp::Reverse(zone.wire().len()));
        let hosts = self.dns_hosts.as_deref().map(read).transpose()?;
        Ok(Some(Settings {
            listen,
            domain: domain(&self.cluster_domain)?,
            upstreams: if named.is_empty() { found } else { named },
            stubs,
            hosts: Hosts::parse(&hosts.unwrap_or_default()),
            search,
            shortcut: self.dns_search_shortcut,
        }))
    }
}

fn read(path: &Path) -> Result<String, DnsFlagError> {
    std::fs::read_to_string(path).map_err(|source| DnsFlagError::Read {
        path: path.to_owned(),
        source,
    })
}
