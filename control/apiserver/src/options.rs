//! The command line: upstream's flags, as far as this server has what they set.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

/// The flags of `kube-apiserver`.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-apiserver", version, about = "The API server")]
pub struct Options {
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP")]
    pub bind_address: IpAddr,
    /// The port to listen on; 0 takes any that is free.
    #[arg(long, default_value_t = 6443, value_name = "PORT")]
    pub secure_port: u16,
    /// The address that others reach this server at.
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<IpAddr>,
    /// The server's certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: PathBuf,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: PathBuf,
    /// The certificates that vouch for clients, PEM.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Tokens that are known from the start: lines of token,user,uid,"groups".
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Who decides what callers may do: Node, RBAC, AlwaysAllow.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "Node,RBAC",
        value_name = "MODES"
    )]
    pub authorization_mode: Vec<String>,
    /// The folder of the embedded store.
    #[arg(
        long,
        default_value = "/var/lib/keelson/apiserver",
        value_name = "FOLDER"
    )]
    pub data_dir: PathBuf,
    /// Requests that read, at once.
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub max_requests_inflight: usize,
    /// Requests that change something, at once.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_mutating_requests_inflight: usize,
    /// How much to log: 0 to 9.
    #[arg(short = 'v', long = "v", default_value_t = 2, value_name = "LEVEL")]
    pub verbosity: u32,
    /// Keeps objects in memory only: for tests.
    #[arg(long, hide = true)]
    pub in_memory: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_upstreams_and_unknown_ones_refused() {
        let base = [
            "kube-apiserver",
            "--tls-cert-file=a",
            "--tls-private-key-file=b",
        ];
        let parse = |more: &[&str]| Options::try_parse_from(base.iter().chain(more));
        let options = parse(&["--secure-port=1", "--authorization-mode=Node,RBAC"]).unwrap();
        assert_eq!(
            (options.secure_port, options.authorization_mode.len()),
            (1, 2)
        );
        let refused = parse(&["--no-such-flag=1"]).unwrap_err().to_string();
        assert!(refused.contains("--no-such-flag"), "{refused}");
    }
}
