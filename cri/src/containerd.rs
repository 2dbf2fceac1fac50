//! What is particular to containerd: the check at start, the configuration of a private instance
//! and the import of images.
//!
//! [`observe`] asks, [`check`] decides; what is wrong comes back as plain sentences with a cure.
//! A runtime that is not containerd is only asked whether it speaks CRI v1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tonic::Request;

use crate::client::{Client, MAX_REPLY_BYTES, within};
use crate::error::{Call, CriError, Unreachable};
use crate::proto::containerd::services::introspection::v1::PluginsRequest;
use crate::proto::containerd::services::introspection::v1::introspection_client::IntrospectionClient;
use crate::proto::containerd::services::version::v1::version_client::VersionClient;
use crate::values::RuntimeVersion;

pub mod config;
pub mod exits;
pub mod import;
pub mod version;

pub use version::Version;

/// containerd's namespace that holds what CRI sees.
pub const CRI_NAMESPACE: &str = "k8s.io";

/// The capability that lowering `oom_score_adj` takes.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// What was found at the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The socket.
    pub socket: PathBuf,
    /// Who answers over CRI.
    pub runtime: Result<RuntimeVersion, CriError>,
    /// What containerd's own API says, if CRI does not answer.
    pub containerd: Option<Containerd>,
    /// The runtime's process may lower `oom_score_adj`; `None` if that can't be seen.
    pub may_lower_oom_score: Option<bool>,
    /// `restrict_oom_score_adj` of the runtime's effective configuration, if it shows one.
    pub restricts_oom_score: Option<bool>,
}

/// A containerd whose CRI plugin does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerd {
    /// Its version.
    pub version: String,
    /// Why its CRI plugin failed, if it was loaded at all.
    pub plugin_error: Option<String>,
}

/// What keeps pods from running. The text says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No runtime answers.
    #[error(transparent)]
    NoAnswer(CriError),
    /// containerd is older than 2.0.
    #[error(
        "containerd at {} is version {found}; version 2.0 or newer is needed: install it, or point containerRuntimeEndpoint to one",
        socket.display()
    )]
    TooOld {
        /// The socket.
        socket: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// containerd runs without CRI.
    #[error(
        "containerd {version} at {} has no CRI plugin; remove \"cri\" and \"io.containerd.grpc.v1.cri\" from disabled_plugins in its config.toml and restart it",
        socket.display()
    )]
    CriDisabled {
        /// The socket.
        socket: PathBuf,
        /// Its version.
        version: String,
    },
    /// containerd could not load CRI.
    #[error(
        "the CRI plugin of containerd {version} at {} failed to load: {reason}; correct its config.toml and restart it",
        socket.display()
    )]
    CriFailed {
        /// The socket.
        socket: PathBuf,
        /// Its version.
        version: String,
        /// containerd's words.
        reason: String,
    },
    /// Sandboxes will fail with "can't get final child's PID from pipe: EOF".
    #[error(
        "containerd at {} lacks CAP_SYS_RESOURCE, so it can't lower oom_score_adj and every pod sandbox will fail; set restrict_oom_score_adj = true under [plugins.'io.containerd.cri.v1.runtime'] in its config.toml and restart it",
        socket.display()
    )]
    OomScore {
        /// The socket.
        socket: PathBuf,
    },
}

/// What is wrong; empty if pods can run. Pure.
#[must_use]
pub fn check(facts: &Facts) -> Vec<Problem> {
    match &facts.runtime {
        Ok(runtime) => check_runtime(facts, runtime).into_iter().collect(),
        Err(error) => vec![explain(facts, error)],
    }
}

fn check_runtime(facts: &Facts, runtime: &RuntimeVersion) -> Option<Problem> {
    let socket = facts.socket.clone();
    if runtime.name == "containerd" && is_too_old(&runtime.version) {
        return Some(Problem::TooOld {
            socket,
            found: runtime.version.clone(),
        });
    }
    let fails =
        facts.may_lower_oom_score == Some(false) && facts.restricts_oom_score == Some(false);
    fails.then_some(Problem::OomScore { socket })
}

/// A version that can't be read is not held against the runtime.
fn is_too_old(version: &str) -> bool {
    version
        .parse::<Version>()
        .is_ok_and(|version| version < Version::NEEDED)
}

/// Why CRI does not answer, from what containerd says about itself.
fn explain(facts: &Facts, error: &CriError) -> Problem {
    let socket = facts.socket.clone();
    let Some(containerd) = &facts.containerd else {
        return Problem::NoAnswer(error.clone());
    };
    let version = containerd.version.clone();
    if is_too_old(&version) {
        let found = version;
        return Problem::TooOld { socket, found };
    }
    match &containerd.plugin_error {
        Some(reason) => Problem::CriFailed {
            socket,
            version,
            reason: reason.clone(),
        },
        None if is_starting(error) => Problem::NoAnswer(error.clone()),
        None => Problem::CriDisabled { socket, version },
    }
}

/// CRI is there and says that it can't serve yet: containerd has pods to find again first.
fn is_starting(error: &CriError) -> bool {
    matches!(
        error,
        CriError::Unavailable {
            cause: Unreachable::NotReady(_),
            ..
        }
    )
}

/// Asks the runtime behind a client. What can't be found out is left open.
pub async fn observe(client: &Client) -> Facts {
    let runtime = client.version().await;
    let containerd = match &runtime {
        // Without a connection containerd's own API does not answer either.
        Err(CriError::Unavailable { cause, .. }) if !matches!(cause, Unreachable::NotReady(_)) => {
            None
        }
        Err(_) => ask_containerd(client).await.ok(),
        Ok(_) => None,
    };
    let restricts_oom_score = match &runtime {
        Ok(_) => restricts_oom_score(client).await,
        Err(_) => None,
    };
    Facts {
        socket: client.socket().to_owned(),
        runtime,
        containerd,
        may_lower_oom_score: may_lower_oom_score(client.socket()).await.ok(),
        restricts_oom_score,
    }
}

async fn ask_containerd(client: &Client) -> Result<Containerd, CriError> {
    let limit = Some(client.deadlines().query);
    let mut versions = VersionClient::new(client.channel());
    let call = Call::new("containerd.Version", "");
    let version = within(limit, call, client.socket(), versions.version(())).await?;
    let mut plugins =
        IntrospectionClient::new(client.channel()).max_decoding_message_size(MAX_REPLY_BYTES);
    let request = Request::new(PluginsRequest {
        filters: vec![
            "id==cri".to_owned(),
            "type==io.containerd.cri.v1".to_owned(),
        ],
    });
    let call = Call::new("containerd.Plugins", "");
    let found = within(limit, call, client.socket(), plugins.plugins(request)).await?;
    let error = found.plugins.into_iter().find_map(|plugin| plugin.init_err);
    Ok(Containerd {
        version: version.version,
        plugin_error: error.map(|error| error.message),
    })
}

async fn restricts_oom_score(client: &Client) -> Option<bool> {
    let status = client.verbose_status().await.ok()?;
    restricts(status.info.get("config")?)
}

/// The setting, from the JSON that containerd shows of its configuration.
fn restricts(config: &str) -> Option<bool> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    config.get("restrictOOMScoreAdj")?.as_bool()
}

/// Looks at the capabilities of the process that listens on the socket.
async fn may_lower_oom_score(socket: &Path) -> io::Result<bool> {
    let credentials = UnixStream::connect(socket).await?.peer_cred()?;
    let pid = credentials.pid().ok_or(io::ErrorKind::NotFound)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let effective = effective_capabilities(&status).ok_or(io::ErrorKind::InvalidData)?;
    Ok(effective & CAP_SYS_RESOURCE != 0)
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests;
