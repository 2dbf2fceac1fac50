//! The command line: upstream's flags, as far as this scheduler has what they set.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

/// The flags of `kube-scheduler`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kube-scheduler",
    version,
    about = "Decides which node a pod runs on"
)]
pub struct Options {
    /// A KubeSchedulerConfiguration; without one, the default profile.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to reach the apiserver.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How to reach the apiserver that is asked who callers are.
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// How to reach the apiserver that is asked what callers may do.
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Whether the cluster is not asked which authority vouches for callers.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub authentication_skip_lookup: bool,
    /// Paths that are served to anybody.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    pub authorization_always_allow_paths: Vec<String>,
    /// Who vouches for callers' certificates, PEM; otherwise the cluster says.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP")]
    pub bind_address: IpAddr,
    /// The port to listen on; 0 for none.
    #[arg(long, default_value_t = 10259, value_name = "PORT")]
    pub secure_port: u16,
    /// The server's certificate chain, PEM; one is made where there is none.
    #[arg(long, requires = "tls_private_key_file", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "tls_cert_file", value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Whether one of many leads, and only that one places pods.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: Option<bool>,
    /// How long others wait for a leader that is silent.
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_lease_duration: Option<String>,
    /// How long a leader goes on without a renewal.
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Option<String>,
    /// How often it is tried.
    #[arg(long, value_name = "DURATION")]
    pub leader_elect_retry_period: Option<String>,
    /// The Lease's name.
    #[arg(long, value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,
    /// The Lease's namespace.
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: Option<String>,
    /// How much to log: 0 to 9.
    #[arg(short = 'v', long = "v", default_value_t = 2, value_name = "LEVEL")]
    pub verbosity: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_upstreams() {
        let parse = |args: &[&str]| {
            let name = ["kube-scheduler"];
            Options::try_parse_from(name.iter().chain(args))
        };
        let options = parse(&[
            "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf",
            "--bind-address=127.0.0.1",
            "--kubeconfig=/etc/kubernetes/scheduler.conf",
            "--leader-elect=true",
        ]);
        let options = options.unwrap();
        assert_eq!(
            (options.leader_elect, options.secure_port),
            (Some(true), 10259)
        );
        assert!(parse(&["--no-such-flag"]).is_err());
        assert!(parse(&["--tls-cert-file=x"]).is_err());
    }
}
