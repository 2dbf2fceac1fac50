//! The proxy's configuration: a `KubeProxyConfiguration` file and flags. Reads files; what they mean
//! is decided in the pure modules below.

pub mod fields;
pub mod load;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

use crate::dns::flags::DnsFlags;
pub use fields::KubeProxyConfiguration;
use load::Problem;

/// The command line.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "kube-proxy",
    about = "Makes Services reachable through the kernel's packet filter"
)]
pub struct Flags {
    /// File with a KubeProxyConfiguration; flags below, except the node's name, are ignored then
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Remove all rules and end
    #[arg(long)]
    pub cleanup: bool,
    /// Set up the machine and end
    #[arg(long)]
    pub init_only: bool,
    /// kubeconfig file; the pod's service account where there is none
    #[arg(long)]
    pub kubeconfig: Option<String>,
    /// Address of the apiserver, without credentials
    #[arg(long)]
    pub master: Option<String>,
    /// Name of the Node object
    #[arg(long)]
    pub hostname_override: Option<String>,
    /// nftables (the default), iptables or ipvs
    #[arg(long)]
    pub proxy_mode: Option<String>,
    /// Pod addresses of the cluster
    #[arg(long)]
    pub cluster_cidr: Option<String>,
    /// How traffic of this node's pods is told from other traffic
    #[arg(long)]
    pub detect_local_mode: Option<String>,
    /// Where node ports are served
    #[arg(long, value_delimiter = ',')]
    pub nodeport_addresses: Vec<String>,
    /// How virtual servers of the IPVS mode spread their clients
    #[arg(long)]
    pub ipvs_scheduler: Option<String>,
    /// Masquerade everything sent to cluster addresses
    #[arg(long)]
    pub masquerade_all: bool,
    /// Address and port of /healthz
    #[arg(long)]
    pub healthz_bind_address: Option<String>,
    /// Address and port of /metrics
    #[arg(long)]
    pub metrics_bind_address: Option<String>,
    /// Keep routes to the pods of all nodes that are on a link of this one, and masquerade what
    /// leaves the pod network: for clusters whose CNI plugin does not. Counts with --config too
    #[arg(long)]
    pub pod_routes: bool,
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "clap takes no description of flags put in from elsewhere"
    )]
    pub dns: DnsFlags,
    /// How much to log
    #[arg(short, long = "v", default_value_t = 0)]
    pub v: u32,
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line is wrong, or asks for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file cannot be read.
    #[error("reading configuration {}: {source}", path.display())]
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

/// Reads the command line (program name first) and the file it names; warnings beside.
///
/// # Errors
/// When anything cannot be worked with.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(KubeProxyConfiguration, Flags, Vec<String>), ConfigError> {
    let flags = Flags::try_parse_from(args)?;
    let Some(path) = &flags.config else {
        let config = from_flags(&flags);
        let problems = load::validate(&config);
        if problems.is_empty() {
            return Ok((config, flags, Vec::new()));
        }
        let problem = |(path, message): (&str, String)| Problem {
            line: 0,
            path: path.to_owned(),
            message,
        };
        return Err(ConfigError::Invalid {
            origin: "command line".into(),
            problems: problems.into_iter().map(problem).collect(),
        });
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.clone(),
        source,
    })?;
    let (mut config, warnings) = load::parse(&text).map_err(|problems| ConfigError::Invalid {
        origin: path.display().to_string(),
        problems,
    })?;
    if let Some(name) = &flags.hostname_override {
        config.hostname_override.clone_from(name);
    }
    Ok((config, flags, warnings))
}

fn from_flags(flags: &Flags) -> KubeProxyConfiguration {
    let mut config = KubeProxyConfiguration::default();
    for (field, flag) in [
        (&mut config.client_connection.kubeconfig, &flags.kubeconfig),
        (&mut config.hostname_override, &flags.hostname_override),
        (&mut config.mode, &flags.proxy_mode),
        (&mut config.ipvs.scheduler, &flags.ipvs_scheduler),
        (&mut config.cluster_cidr, &flags.cluster_cidr),
        (&mut config.detect_local_mode, &flags.detect_local_mode),
        (
            &mut config.healthz_bind_address,
            &flags.healthz_bind_address,
        ),
        (
            &mut config.metrics_bind_address,
            &flags.metrics_bind_address,
        ),
    ] {
        if let Some(value) = flag {
            field.clone_from(value);
        }
    }
    config
        .node_port_addresses
        .clone_from(&flags.nodeport_addresses);
    config.nftables.masquerade_all = flags.masquerade_all;
    config.iptables.masquerade_all = flags.masquerade_all;
    config
}

/// An address to listen at; a bare address gets the port.
#[must_use]
pub fn listen_address(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(port) = text.strip_prefix(':') {
        return Some(SocketAddr::new([0; 4].into(), port.parse().ok()?));
    }
    Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, port))
}
