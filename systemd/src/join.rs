//! `keelson join`: this machine becomes a node of a cluster that is elsewhere. Finds out whom to
//! believe and what the cluster is like, writes that down, and leaves the rest to `up`.
//!
//! # Guarantees
//! The token is shown to nobody but a server that the authority with the given digest vouches for.
//! Nothing is written before the cluster has answered.

pub mod hash;
pub mod pin;

use crate::api;
use crate::cluster::kubeconfig::{Proof, kubeconfig};
use crate::cluster::welcome::{CONFIG_MAPS, Facts, INFO, PUBLIC};
use crate::cluster::{Cluster, PORT, Role};
use crate::files::{FileError, put};
use crate::layout::Layout;
use crate::token::Token;
use crate::up::kept_cluster;
use hash::CaHash;
use keelson_client::kubeconfig::{Config, Identity, KubeconfigError, Pem, Server};
use keelson_client::{Client, Error};
use pin::{PinError, address, authority};
use serde_json::Value;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Where the API server is that a machine joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Server);

/// The text names no server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address of an API server: write ADDRESS:6443, with brackets around an address of IPv6"
)]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refused = || TargetError(text.to_owned());
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(refused)?;
                (host, port.strip_prefix(':'))
            }
            // An address of IPv6 alone.
            None if rest.parse::<IpAddr>().is_ok() => (rest, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| refused()))?;
        if host.is_empty() || host.contains('/') || port == 0 {
            return Err(refused());
        }
        Ok(Self(Server {
            https: true,
            host: host.to_owned(),
            port,
            prefix: String::new(),
        }))
    }
}

/// What this machine is told of the cluster that it joins.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The API server.
    pub target: Target,
    /// What proves that we may join.
    pub token: Token,
    /// Whom to believe.
    pub ca: CaHash,
    /// What this node is called.
    pub node: String,
    /// The address that others reach it at.
    pub address: IpAddr,
}

/// Why this machine did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server is not the one that is meant.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The authority's certificate cannot be used.
    #[error(transparent)]
    Authority(#[from] KubeconfigError),
    /// The token is no good.
    #[error(
        "{server} does not know the token {id}, or it has expired: make one by `keelson token create --print-join-command` on the control plane's machine"
    )]
    Token {
        /// The server.
        server: String,
        /// The token's public half.
        id: String,
    },
    /// The cluster does not say what it is like.
    #[error(
        "the cluster at {server} does not tell a joining machine of itself (ConfigMap {PUBLIC}/{INFO}): {why}"
    )]
    Untold {
        /// The server.
        server: String,
        /// What is missing.
        why: String,
    },
    /// The machine is part of a cluster already.
    #[error(
        "this machine is part of a cluster already, the one at {0}: `keelson down` first, which removes {1}"
    )]
    Member(String, &'static str),
    /// Somebody is called so already.
    #[error(
        "the address {0} is that of the control plane: on its own machine `keelson up` is enough, elsewhere name this machine's by --apiserver-advertise-address"
    )]
    SameMachine(IpAddr),
    /// A file could not be put in its place.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How long the API server may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Asks the cluster and writes down what `up` needs to make this machine a part of it.
///
/// # Errors
/// When the cluster is not the one that is meant or does not let us in.
pub async fn introduce(layout: &Layout, invitation: &Invitation) -> Result<Cluster, JoinError> {
    let server = &invitation.target.0;
    let ca = authority(server, invitation.ca).await?;
    let url = format!("https://{}", address(server));
    may_join(layout, &url, &ca)?;
    if server.host.parse() == Ok(invitation.address) {
        return Err(JoinError::SameMachine(invitation.address));
    }
    let facts = facts(invitation, &ca).await?;
    let cluster = Cluster {
        role: Role::Worker {
            server: url.clone(),
        },
        node: invitation.node.clone(),
        address: invitation.address,
        services: facts.services,
        pods: facts.pods,
    };
    let token = invitation.token.to_string();
    let bootstrap = kubeconfig(&url, &ca, "tls-bootstrap-token-user", Proof::Token(&token));
    let kept = serde_json::to_string_pretty(&cluster).unwrap_or_default();
    for (path, text, mode) in [
        (layout.pki().join("ca.crt"), ca, 0o644),
        (layout.bootstrap_kubeconfig(), bootstrap, 0o600),
        (layout.cluster_facts(), kept, 0o644),
    ] {
        put(&path, text.as_bytes(), mode)?;
    }
    Ok(cluster)
}

/// A machine that has joined may do so again; one of another cluster may not.
fn may_join(layout: &Layout, url: &str, ca: &str) -> Result<(), JoinError> {
    let Some(kept) = kept_cluster(layout) else {
        return Ok(());
    };
    if kept.has_control_plane() {
        return Err(JoinError::Member(kept.server(), "all of its objects"));
    }
    let known = std::fs::read_to_string(layout.pki().join("ca.crt")).unwrap_or_default();
    if known != ca && kept.server() != url {
        return Err(JoinError::Member(kept.server(), "this node's pods"));
    }
    Ok(())
}

/// What the cluster tells of itself to who has a token.
async fn facts(invitation: &Invitation, ca: &str) -> Result<Facts, JoinError> {
    let server = &invitation.target.0;
    let config = Config {
        servers: vec![server.clone()],
        ca: Some(Pem::Inline(ca.as_bytes().to_vec())),
        identity: Identity::Token(invitation.token.to_string()),
        ..Config::plain("", 0)
    };
    let client = Client::new(&config, "join")?.with_limit(LIMIT);
    let name = address(server);
    let untold = |why: String| JoinError::Untold {
        server: name.clone(),
        why,
    };
    match client.get::<Value>(&CONFIG_MAPS.named(PUBLIC, INFO)).await {
        Ok(info) => Facts::of(&info).ok_or_else(|| {
            untold("another installer made it; join by its own means, `keelson kubelet` takes the files that they write".to_owned())
        }),
        Err(error) => Err(refused(&error, name.clone(), invitation)),
    }
}

fn refused(error: &Error, server: String, invitation: &Invitation) -> JoinError {
    if error.is_unauthorized() {
        return JoinError::Token {
            server,
            id: invitation.token.id.clone(),
        };
    }
    JoinError::Untold {
        server,
        why: error.to_string(),
    }
}

/// Forgets the token once the node has a certificate of its own.
///
/// # Errors
/// When the kernel refuses.
pub fn forget_token(layout: &Layout) -> Result<(), FileError> {
    crate::files::forget(&layout.bootstrap_kubeconfig())
}

/// Has everything there that lets other machines join the cluster of this one.
///
/// # Errors
/// When the server does not answer or refuses it.
pub async fn invite(client: &Client, cluster: &Cluster, ca: &str) -> Result<(), Error> {
    let info = crate::cluster::kubeconfig::anonymous(&cluster.server(), ca);
    for (kind, object) in crate::cluster::welcome::objects(cluster, &info) {
        api::apply(client, &kind, object).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_many_ways() {
        let check = |text: &str, expected: &str| {
            let target: Target = text.parse().unwrap();
            assert_eq!(address(&target.0), expected, "{text}");
        };
        check("192.0.2.1:6443", "192.0.2.1:6443");
        check("192.0.2.1", "192.0.2.1:6443");
        check("https://cp.example:8443/", "cp.example:8443");
        check("2001:db8::1", "[2001:db8::1]:6443");
        check("[2001:db8::1]:7443", "[2001:db8::1]:7443");
        for text in ["", ":6443", "192.0.2.1:x", "192.0.2.1:0", "[::1", "a/b:1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_machine_of_another_cluster_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let check = || may_join(&layout, "https://192.0.2.1:6443", "CA").is_ok();
        assert!(check());
        let keep = |role: Role| {
            let kept = Cluster {
                role,
                ..crate::cluster::example()
            };
            let text = serde_json::to_string(&kept).unwrap();
            put(&layout.cluster_facts(), text.as_bytes(), 0o644).unwrap();
        };
        keep(Role::ControlPlane);
        assert!(!check(), "a control plane");
        let server = "https://198.51.100.1:6443".to_owned();
        keep(Role::Worker { server });
        assert!(!check(), "a node of another cluster");
        put(&layout.pki().join("ca.crt"), b"CA", 0o644).unwrap();
        assert!(check(), "the same cluster by another address");
    }
}
