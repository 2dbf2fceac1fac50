//! What the scheduler is told: a `KubeSchedulerConfiguration` and flags, which win. Reads the file;
//! what it means is decided in the pure modules below.

use std::path::PathBuf;
use std::time::Duration;

use keelson_client::kubeconfig::{Config, KubeconfigError};

use crate::options::Options;
use crate::profile::Profile;
use crate::queue::Waits;

pub mod fields;
pub mod settle;

use fields::Configuration;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// The field.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Values are wrong.
    #[error("{origin}: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// The file, or the command line.
        origin: String,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

/// Which Lease makes a leader, and how long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How long others wait for a silent leader.
    pub lease_duration: Duration,
    /// How long a leader goes on without a renewal.
    pub renew_deadline: Duration,
    /// How often it is tried.
    pub retry_period: Duration,
}

/// The configuration, understood.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The schedulers.
    pub profiles: Vec<Profile>,
    /// How long refused pods wait.
    pub waits: Waits,
    /// The election; `None` where everybody leads.
    pub election: Option<Lease>,
    kubeconfig: Option<PathBuf>,
}

impl Settled {
    /// How the apiserver is reached.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub fn server(&self) -> Result<Config, KubeconfigError> {
        Config::discover(self.kubeconfig.as_deref())
    }
}

/// Reads what the flags name and what it says.
///
/// # Errors
/// The file cannot be read, or something in it or in the flags cannot be worked with.
pub fn load(options: &Options) -> Result<Settled, ConfigError> {
    let configuration = match &options.config {
        None => Configuration::default(),
        Some(path) => read(path)?,
    };
    let origin = options.config.as_ref();
    let origin = origin.map_or("command line".into(), |path| path.display().to_string());
    settle::settle(configuration, options)
        .map_err(|problems| ConfigError::Invalid { origin, problems })
}

fn read(path: &PathBuf) -> Result<Configuration, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.clone(),
        source,
    })?;
    settle::parse(&text).map_err(|problem| ConfigError::Invalid {
        origin: path.display().to_string(),
        problems: vec![problem],
    })
}
