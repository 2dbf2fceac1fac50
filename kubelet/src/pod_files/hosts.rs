//! The content of a pod's `/etc/hosts`. Pure. Tools recognise the first line, so it and the
//! order of the lines are upstream's.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::HostAlias;

/// What a pod with its own network namespace sees before its own lines.
const OWN_NETWORK: &str = "\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// First line above the copied file of a host-network pod.
const HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).\n";

/// What the file depends on.
#[derive(Debug, Clone, Copy)]
pub enum HostsFile<'a> {
    /// The pod shares the node's network: the node's file plus aliases.
    HostNetwork {
        /// Bytes of the node's `/etc/hosts`.
        node_hosts: &'a [u8],
    },
    /// The pod has addresses of its own.
    Pod {
        /// Pod addresses, primary first.
        ips: &'a [String],
        /// The pod's host name.
        hostname: &'a str,
        /// `HOST.SUBDOMAIN.NAMESPACE.svc.DOMAIN`, when `subdomain` is set.
        fqdn: Option<&'a str>,
    },
}

/// The whole file, `spec.hostAliases` last.
#[must_use]
pub fn content(file: HostsFile<'_>, aliases: &[HostAlias]) -> Vec<u8> {
    let mut out = match file {
        HostsFile::HostNetwork { node_hosts } => [HOST_NETWORK.as_bytes(), node_hosts].concat(),
        HostsFile::Pod {
            ips,
            hostname,
            fqdn,
        } => pod_lines(ips, hostname, fqdn).into_bytes(),
    };
    out.extend_from_slice(alias_lines(aliases).as_bytes());
    out
}

fn pod_lines(ips: &[String], hostname: &str, fqdn: Option<&str>) -> String {
    let mut out = String::from(OWN_NETWORK);
    for ip in ips {
        let _ = match fqdn {
            Some(fqdn) => writeln!(out, "{ip}\t{fqdn}\t{hostname}"),
            None => writeln!(out, "{ip}\t{hostname}"),
        };
    }
    out
}

fn alias_lines(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(out, "{}\t{names}", alias.ip);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: HostsFile<'_>, aliases: &[HostAlias], tail: &str) {
        let text = String::from_utf8(content(file, aliases)).unwrap();
        assert!(
            text.starts_with("# Kubernetes-managed hosts file"),
            "{text}"
        );
        assert!(text.ends_with(tail), "{text:?} does not end with {tail:?}");
    }

    fn alias(ip: &str, names: &[&str]) -> HostAlias {
        HostAlias {
            ip: ip.to_owned(),
            hostnames: Some(names.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn own_network_lists_every_address() {
        let ips = ["10.0.0.4".to_owned(), "fd00::4".to_owned()];
        let pod = HostsFile::Pod {
            ips: &ips,
            hostname: "web",
            fqdn: None,
        };
        check(
            pod,
            &[],
            "fe00::2\tip6-allrouters\n10.0.0.4\tweb\nfd00::4\tweb\n",
        );
        let named = HostsFile::Pod {
            ips: &ips[..1],
            hostname: "web",
            fqdn: Some("web.x.ns.svc.c"),
        };
        check(named, &[], "\n10.0.0.4\tweb.x.ns.svc.c\tweb\n");
    }

    #[test]
    fn host_network_keeps_the_node_file_and_adds_aliases() {
        let file = HostsFile::HostNetwork {
            node_hosts: b"127.0.0.1 localhost\n",
        };
        check(file, &[], "(host network).\n127.0.0.1 localhost\n");
        check(
            file,
            &[alias("10.1.2.3", &["a.b", "c"]), alias("::2", &["d"])],
            "localhost\n\n# Entries added by HostAliases.\n10.1.2.3\ta.b\tc\n::2\td\n",
        );
    }
}
