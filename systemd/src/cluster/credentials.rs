//! Which certificates a cluster needs, for whom and for what; and when one is due to be issued
//! anew. Pure: keys are made and files written by others.

use super::{Cluster, DOMAIN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who vouches for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// The cluster's own.
    Cluster,
    /// The one that the API server shows itself to extension servers with.
    FrontProxy,
}

impl Authority {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::FrontProxy];

    /// Its file in the folder of certificates, without `.crt` and `.key`.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Cluster => "ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }

    /// Its own common name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes",
            Self::FrontProxy => "front-proxy-ca",
        }
    }
}

/// What a certificate is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It is shown to servers.
    Client,
    /// It is shown to clients, who look for one of these.
    Server {
        /// Host names.
        names: Vec<String>,
        /// Addresses.
        addresses: Vec<IpAddr>,
    },
}

/// Where a certificate goes once it is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `NAME.crt` and `NAME.key` in the folder of certificates.
    Pair,
    /// Inside `NAME.conf`, a kubeconfig for who runs on this machine.
    LocalConfig,
    /// Inside `NAME.conf`, a kubeconfig that is good on other machines too.
    Config,
    /// In one file of the kubelet's own folder, which `NAME.conf` refers to: the kubelet renews it.
    KubeletPem,
}

/// One certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The file's name, without what follows the dot.
    pub name: &'static str,
    /// Where it goes.
    pub place: Place,
    /// Who vouches for it.
    pub authority: Authority,
    /// The common name: a user's, where it is a client's.
    pub user: String,
    /// The organization: the user's group.
    pub group: Option<&'static str>,
    /// What it is good for.
    pub usage: Usage,
}

impl Credential {
    /// Everything about it, as one text: with another one it must be issued anew.
    #[must_use]
    pub fn described(&self, server: &str) -> String {
        let usage = match &self.usage {
            Usage::Client => "client".to_owned(),
            Usage::Server { names, addresses } => {
                let addresses = addresses.iter().map(IpAddr::to_string);
                let all: Vec<_> = names.iter().cloned().chain(addresses).collect();
                format!("server with authority {}", all.join(","))
            }
        };
        let group = self.group.unwrap_or_default();
        format!("{}:{group} {usage} {server}", self.user)
    }
}

impl Credential {
    /// What is shown with it: a server's ends with its authority's certificate, so that a machine
    /// which joins can compare that with a digest.
    #[must_use]
    pub fn chain(&self, certificate: &str, authority: &str) -> String {
        match self.usage {
            Usage::Client => certificate.to_owned(),
            Usage::Server { .. } => format!("{certificate}{authority}"),
        }
    }
}

/// Every certificate of a cluster of one machine, the authorities aside.
#[must_use]
pub fn credentials(cluster: &Cluster) -> Vec<Credential> {
    use Place::{Config, KubeletPem, LocalConfig, Pair};
    let client = |name, place, user: &str, group| Credential {
        name,
        place,
        authority: Authority::Cluster,
        user: user.to_owned(),
        group,
        usage: Usage::Client,
    };
    let masters = Some("system:masters");
    let node = format!("system:node:{}", cluster.node);
    vec![
        Credential {
            usage: server_names(cluster),
            ..client("apiserver", Pair, "kube-apiserver", None)
        },
        client(
            "apiserver-kubelet-client",
            Pair,
            "kube-apiserver-kubelet-client",
            masters,
        ),
        Credential {
            authority: Authority::FrontProxy,
            ..client("front-proxy-client", Pair, "front-proxy-client", None)
        },
        client("admin", Config, "kubernetes-admin", masters),
        client("kubelet", KubeletPem, &node, Some("system:nodes")),
        client(
            "controller-manager",
            LocalConfig,
            "system:kube-controller-manager",
            None,
        ),
        client("scheduler", LocalConfig, "system:kube-scheduler", None),
        client("kube-proxy", LocalConfig, "system:kube-proxy", None),
    ]
}

/// Every name that the API server is called by.
fn server_names(cluster: &Cluster) -> Usage {
    let service = ["", ".default", ".default.svc"].map(|end| format!("kubernetes{end}"));
    let mut names = service.to_vec();
    names.push(format!("kubernetes.default.svc.{DOMAIN}"));
    names.push("localhost".to_owned());
    names.push(cluster.node.clone());
    Usage::Server {
        names,
        addresses: vec![
            cluster.services.address(1),
            cluster.address,
            IpAddr::from([127, 0, 0, 1]),
        ],
    }
}

/// How long a certificate lasts, in seconds: a year.
pub const LASTS: u64 = 365 * 24 * 3600;

/// How long before its end a certificate is issued anew, in seconds.
const EARLY: u64 = LASTS / 3;

/// How long an authority lasts, in seconds: ten years.
pub const AUTHORITY_LASTS: u64 = 10 * LASTS;

/// What was issued, kept beside the certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(pub BTreeMap<String, Issued>);

/// One certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// [`Credential::described`].
    pub what: String,
    /// Which authority vouches: a digest of its certificate.
    pub authority: String,
    /// Its end, in seconds since 1970.
    pub until: u64,
}

impl Ledger {
    /// Whether a certificate must be issued: it never was, was for something else or by another
    /// authority, or nears its end.
    #[must_use]
    pub fn is_due(&self, name: &str, what: &str, authority: &str, now: u64) -> bool {
        self.0.get(name).is_none_or(|issued| {
            issued.what != what
                || issued.authority != authority
                || issued.until < now.saturating_add(EARLY)
        })
    }

    /// The end of a certificate: whoever reads it only when it starts is started anew when this
    /// changes.
    #[must_use]
    pub fn until(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |issued| issued.until)
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn users_are_those_that_the_api_servers_roles_know() {
        let all = credentials(&example());
        let who = |name: &str| {
            let one = all.iter().find(|one| one.name == name).unwrap();
            (one.user.as_str(), one.group.unwrap_or_default())
        };
        assert_eq!(who("kubelet"), ("system:node:one", "system:nodes"));
        assert_eq!(who("admin"), ("kubernetes-admin", "system:masters"));
        assert_eq!(who("scheduler"), ("system:kube-scheduler", ""));
        assert_eq!(who("kube-proxy"), ("system:kube-proxy", ""));
    }

    #[test]
    fn the_server_is_known_by_the_services_address_and_the_nodes() {
        let Usage::Server { names, addresses } = server_names(&example()) else {
            panic!("a server's");
        };
        assert!(names.contains(&"kubernetes.default.svc.cluster.local".to_owned()));
        assert!(names.contains(&"one".to_owned()));
        assert!(addresses.contains(&IpAddr::from([10, 96, 0, 1])));
        assert!(addresses.contains(&IpAddr::from([192, 0, 2, 7])));
    }

    #[test]
    fn a_certificate_is_issued_anew_when_it_must_be() {
        let issued = Issued {
            what: "a".to_owned(),
            authority: "b".to_owned(),
            until: 10 * LASTS,
        };
        let ledger = Ledger([("x".to_owned(), issued)].into());
        let check = |name, what, authority, now, due| {
            assert_eq!(ledger.is_due(name, what, authority, now), due);
        };
        check("x", "a", "b", 9 * LASTS, false);
        check("x", "a", "b", 10 * LASTS - EARLY + 1, true);
        check("x", "c", "b", 9 * LASTS, true);
        check("x", "a", "c", 9 * LASTS, true);
        check("y", "a", "b", 0, true);
    }
}
