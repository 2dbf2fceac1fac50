//! The command line: upstream's flags, as far as this server has what they set.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, Parser};

mod sift;

pub use sift::Refused;

/// The flags of `kube-apiserver`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kube-apiserver",
    version,
    about = "The API server",
    args_override_self = true
)]
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
    /// The certificate that is shown to kubelets, PEM.
    #[arg(long, requires = "kubelet_client_key", value_name = "FILE")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "kubelet_client_certificate", value_name = "FILE")]
    pub kubelet_client_key: Option<PathBuf>,
    /// The certificates that vouch for kubelets, PEM; without it any kubelet is believed.
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Which address of a node its kubelet is reached at, most wanted first.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
        value_name = "TYPES"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    /// Who may call in the name of others.
    #[command(flatten)]
    pub front: FrontFlags,
    /// Whether health can be asked for by nobody in particular.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub anonymous_auth: bool,
    /// Tokens that are known from the start: lines of token,user,uid,"groups".
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// The name that this server issues tokens of service accounts under; tokens of the others,
    /// where it is given more than once, are accepted.
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Vec<String>,
    /// The key that those tokens are signed with, PEM.
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// The keys that those tokens are checked with, PEM, private or public; without any, the one
    /// that signs.
    #[arg(long, value_name = "FILE")]
    pub service_account_key_file: Vec<PathBuf>,
    /// Whom those tokens are for unless somebody else is asked for; the issuer without it.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub api_audiences: Vec<String>,
    /// How long those tokens last at most, such as 24h; 0 for no bound.
    #[arg(long, default_value = "0", value_name = "DURATION")]
    pub service_account_max_token_expiration: String,
    /// Whether tokens that kubelets mount are good for a year.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub service_account_extend_token_expiration: bool,
    /// Where others find the keys that tokens are checked with.
    #[arg(long, value_name = "URL")]
    pub service_account_jwks_uri: Option<String>,
    /// Whether secrets of kube-system are tokens that new nodes prove themselves with.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub enable_bootstrap_token_auth: bool,
    /// Admission plugins that are asked beside the usual ones.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins that are not asked.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub disable_admission_plugins: Vec<String>,
    /// What is to be told to admission plugins: an `AdmissionConfiguration`.
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// The range of the addresses of services.
    #[arg(long, default_value = "10.96.0.0/12", value_name = "CIDR")]
    pub service_cluster_ip_range: String,
    /// The range of the ports of services that are open on every node.
    #[arg(long, default_value = "30000-32767", value_name = "FIRST-LAST")]
    pub service_node_port_range: String,
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
    /// The store of several servers; without it objects are kept in the folder above.
    #[command(flatten)]
    pub etcd: EtcdFlags,
    /// How long events are kept, such as 1h0m0s.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub event_ttl: String,
    /// How long a request may take that is not long by nature.
    #[arg(long, default_value = "1m", value_name = "DURATION")]
    pub request_timeout: String,
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

/// Flags of the store that several servers share.
#[derive(Args, Clone, Debug, Default)]
pub struct EtcdFlags {
    /// Addresses of etcd's members.
    #[arg(long, value_delimiter = ',', value_name = "URLS")]
    pub etcd_servers: Vec<String>,
    /// The certificates that vouch for the members, PEM.
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// The certificate that is shown to the members, PEM.
    #[arg(long, requires = "etcd_keyfile", value_name = "FILE")]
    pub etcd_certfile: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "etcd_certfile", value_name = "FILE")]
    pub etcd_keyfile: Option<PathBuf>,
    /// How often the past is forgotten, such as 5m0s; 0 for never.
    #[arg(long, default_value = "5m", value_name = "DURATION")]
    pub etcd_compaction_interval: String,
}

/// Flags of proxies that have found out who calls and say so in headers.
#[derive(Args, Clone, Debug, Default)]
pub struct FrontFlags {
    /// The certificates that vouch for such proxies, PEM.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// The common names that their certificates may have; without any, all of them.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub requestheader_allowed_names: Vec<String>,
    /// The headers that a user's name may be in.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_username_headers: Vec<String>,
    /// The headers that a user's UID may be in.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_uid_headers: Vec<String>,
    /// The headers that a user's groups may be in.
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_group_headers: Vec<String>,
    /// What the headers of a user's other properties begin with.
    #[arg(long, value_delimiter = ',', value_name = "PREFIXES")]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

/// Why a command line is not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It has a flag that cannot be obeyed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is no command line of this program, or asks for help.
    #[error(transparent)]
    Clap(#[from] clap::Error),
}

impl Options {
    /// Reads a command line that begins with the program's name. The names of flags that have no
    /// effect come beside the options.
    ///
    /// # Errors
    /// When a flag is unknown, wrong or about something that does not exist here.
    pub fn read(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, Vec<String>), Unreadable> {
        let sifted = sift::sift(args)?;
        Ok((Self::try_parse_from(sifted.args)?, sifted.without_effect))
    }
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
        let last = parse(&["--secure-port=1", "--secure-port=2"]).unwrap();
        assert_eq!(last.secure_port, 2);
    }

    #[test]
    fn what_kubeadm_writes_is_understood() {
        let line = "kube-apiserver --advertise-address=10.0.0.1 --allow-privileged=true \
            --authorization-mode=Node,RBAC --client-ca-file=ca.crt \
            --enable-admission-plugins=NodeRestriction --enable-bootstrap-token-auth=true \
            --etcd-cafile=e.crt --etcd-certfile=c.crt --etcd-keyfile=c.key \
            --etcd-servers=https://127.0.0.1:2379 --kubelet-client-certificate=k.crt \
            --kubelet-client-key=k.key \
            --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname \
            --proxy-client-cert-file=p.crt --proxy-client-key-file=p.key \
            --requestheader-allowed-names=front-proxy-client \
            --requestheader-client-ca-file=f.crt \
            --requestheader-extra-headers-prefix=X-Remote-Extra- \
            --requestheader-group-headers=X-Remote-Group \
            --requestheader-username-headers=X-Remote-User --secure-port=6443 \
            --service-account-issuer=https://kubernetes.default.svc.cluster.local \
            --service-account-key-file=sa.pub --service-account-signing-key-file=sa.key \
            --service-cluster-ip-range=10.96.0.0/12 --tls-cert-file=a --tls-private-key-file=b";
        let (options, without) =
            Options::read(line.split_whitespace().map(OsString::from)).unwrap();
        assert_eq!(options.etcd.etcd_servers, ["https://127.0.0.1:2379"]);
        assert_eq!(
            options.front.requestheader_allowed_names,
            ["front-proxy-client"]
        );
        assert_eq!(options.kubelet_preferred_address_types[1], "ExternalIP");
        let none = [
            "allow-privileged",
            "proxy-client-cert-file",
            "proxy-client-key-file",
        ];
        assert_eq!(without, none);
    }
}
