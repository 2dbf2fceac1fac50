//! What a pod's `/etc/resolv.conf` says: `dnsPolicy`, `dnsConfig`, the kubelet's cluster DNS and
//! the node's own file, cut to what resolvers take. Pure: the node's file comes in as text.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodDNSConfigOption};

/// Name servers a resolver reads.
const MAX_NAMESERVERS: usize = 3;
/// Search domains upstream passes on.
const MAX_SEARCHES: usize = 32;
/// Characters of the search line, blanks included.
const MAX_SEARCH_CHARS: usize = 2048;
/// Characters of one search domain: longer ones abort some resolvers.
const MAX_SEARCH_DOMAIN: usize = 253;

/// The three lists of a resolv.conf, ready for CRI `DNSConfig`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// Domains of the `search` line.
    pub searches: Vec<String>,
    /// Words of the `options` line.
    pub options: Vec<String>,
}

/// The node's resolv.conf, parsed.
pub type HostResolv = DnsConfig;

/// What the node adds to the decision.
#[derive(Debug, Clone, Copy)]
pub struct NodeDns<'a> {
    /// `KubeletConfiguration.clusterDNS`.
    pub cluster_dns: &'a [String],
    /// `KubeletConfiguration.clusterDomain`; may be empty.
    pub cluster_domain: &'a str,
    /// The node's file; `None` when `resolvConf` is the empty string.
    pub host: Option<&'a HostResolv>,
    /// Addresses of the node, primary first; used only when there is no file.
    pub node_ips: &'a [IpAddr],
}

/// Something the user should know: each becomes an event of the pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsNote {
    /// Reason `DNSConfigForming`: more name servers than a resolver reads.
    #[error(
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied \
         nameserver line is: {0}"
    )]
    ServersCut(String),
    /// Reason `DNSConfigForming`: search list longer than the limits.
    #[error(
        "Search Line limits were exceeded, some search paths have been omitted, the applied \
         search line is: {0}"
    )]
    SearchesCut(String),
    /// Reason `MissingClusterDNS`: `clusterDNS` is empty, policy `Default` was used.
    #[error(
        "kubelet does not have ClusterDNS IP configured and cannot create Pod using \
         \"ClusterFirst\" policy. Falling back to \"Default\" policy."
    )]
    MissingClusterDns,
    /// Reason `DNSConfigForming`: an unknown policy was read as `ClusterFirst`.
    #[error("unknown dnsPolicy {0:?} is treated as \"ClusterFirst\"")]
    UnknownPolicy(String),
}

impl DnsNote {
    /// The event reason that goes with the note.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::MissingClusterDns => "MissingClusterDNS",
            _ => "DNSConfigForming",
        }
    }
}

/// The decision and what to tell about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsPlan {
    /// What the runtime writes into the pod.
    pub config: DnsConfig,
    /// What was cut or replaced.
    pub notes: Vec<DnsNote>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Cluster,
    Host,
    Empty,
}

/// Decides the DNS settings of `pod`.
#[must_use]
pub fn plan(pod: &Pod, node: &NodeDns<'_>) -> DnsPlan {
    let mut notes = Vec::new();
    let base = match base_of(pod, &mut notes) {
        Base::Cluster if node.cluster_dns.is_empty() => {
            notes.push(DnsNote::MissingClusterDns);
            Base::Host
        }
        base => base,
    };
    let mut config = match base {
        Base::Empty => DnsConfig::default(),
        Base::Host => host_config(node),
        Base::Cluster => cluster_config(pod, node),
    };
    if let Some(own) = pod.spec.as_ref().and_then(|s| s.dns_config.as_ref()) {
        merge(&mut config, own);
    }
    fit(&mut config, &mut notes);
    DnsPlan { config, notes }
}

fn base_of(pod: &Pod, notes: &mut Vec<DnsNote>) -> Base {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|s| s.host_network).unwrap_or_default();
    match spec
        .and_then(|s| s.dns_policy.as_deref())
        .unwrap_or("ClusterFirst")
    {
        "None" => Base::Empty,
        "Default" => Base::Host,
        "ClusterFirst" if host_network => Base::Host,
        "ClusterFirst" | "ClusterFirstWithHostNet" => Base::Cluster,
        other => {
            notes.push(DnsNote::UnknownPolicy(other.to_owned()));
            Base::Cluster
        }
    }
}

/// The node's settings, or a loopback server that makes look-ups fail fast when
/// `resolvConf: ""` switched them off.
fn host_config(node: &NodeDns<'_>) -> DnsConfig {
    if let Some(host) = node.host {
        return host.clone();
    }
    let loopback = |ip: &IpAddr| if ip.is_ipv6() { "::1" } else { "127.0.0.1" }.to_owned();
    let mut servers: Vec<String> = node.node_ips.iter().map(loopback).collect();
    if servers.is_empty() {
        servers.push("127.0.0.1".to_owned());
    }
    DnsConfig {
        servers,
        searches: vec![".".to_owned()],
        options: Vec::new(),
    }
}

fn cluster_config(pod: &Pod, node: &NodeDns<'_>) -> DnsConfig {
    let host_searches = node.host.map(|h| h.searches.clone()).unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let domain = node.cluster_domain;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches.push(format!("{namespace}.svc.{domain}"));
        searches.push(format!("svc.{domain}"));
        searches.push(domain.to_owned());
    }
    searches.extend(host_searches);
    DnsConfig {
        servers: node.cluster_dns.to_vec(),
        searches: unique(searches),
        options: vec!["ndots:5".to_owned()],
    }
}

fn merge(config: &mut DnsConfig, own: &PodDNSConfig) {
    let join = |have: &mut Vec<String>, more: Option<&Vec<String>>| {
        have.extend(more.into_iter().flatten().cloned());
        *have = unique(std::mem::take(have));
    };
    join(&mut config.servers, own.nameservers.as_ref());
    join(&mut config.searches, own.searches.as_ref());
    let own_options = own.options.as_deref().unwrap_or_default();
    config.options = merge_options(&config.options, own_options);
}

/// Options by name, the pod's value wins; sorted, so that equal input gives an equal file.
fn merge_options(base: &[String], own: &[PodDNSConfigOption]) -> Vec<String> {
    let mut by_name: BTreeMap<&str, &str> = base
        .iter()
        .map(|word| word.split_once(':').unwrap_or((word, "")))
        .collect();
    for option in own {
        let name = option.name.as_deref().unwrap_or_default();
        by_name.insert(name, option.value.as_deref().unwrap_or_default());
    }
    by_name
        .into_iter()
        .map(|(name, value)| match value {
            "" => name.to_owned(),
            value => format!("{name}:{value}"),
        })
        .collect()
}

fn fit(config: &mut DnsConfig, notes: &mut Vec<DnsNote>) {
    if config.servers.len() > MAX_NAMESERVERS {
        config.servers.truncate(MAX_NAMESERVERS);
        notes.push(DnsNote::ServersCut(config.servers.join(" ")));
    }
    let asked = config.searches.len();
    config.searches.truncate(MAX_SEARCHES);
    config.searches.retain(|s| s.len() <= MAX_SEARCH_DOMAIN);
    while line_length(&config.searches) > MAX_SEARCH_CHARS {
        config.searches.pop();
    }
    if config.searches.len() < asked {
        notes.push(DnsNote::SearchesCut(config.searches.join(" ")));
    }
}

fn line_length(words: &[String]) -> usize {
    words
        .iter()
        .map(|w| w.len() + 1)
        .sum::<usize>()
        .saturating_sub(1)
}

fn unique(words: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        if !kept.contains(&word) {
            kept.push(word);
        }
    }
    kept
}

/// Reads a resolv.conf: `nameserver` lines add up; of `search` and `options` lines the last one
/// counts; search domains lose their final dot. Lines it does not know are skipped.
#[must_use]
pub fn parse_resolv_conf(text: &str) -> HostResolv {
    let mut out = HostResolv::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(ToOwned::to_owned)),
            Some("search") => out.searches = words.map(without_final_dot).collect(),
            Some("options") => out.options = words.map(ToOwned::to_owned).collect(),
            _ => {}
        }
    }
    out
}

/// `example.org.` and `example.org` count as one; the root domain stays a dot.
fn without_final_dot(domain: &str) -> String {
    match domain.strip_suffix('.') {
        Some("") | None => domain.to_owned(),
        Some(rest) => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests;
