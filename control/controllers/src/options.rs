//! The command line, under upstream's names. Must not know what controllers make of it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};

/// Makes what is there equal to what is wanted.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-controller-manager", disable_version_flag = true)]
pub struct Options {
    /// The way to the API server.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The way to the server that is asked who a client of /metrics is; --kubeconfig if not set.
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Whether the cluster is not asked which authority vouches for clients of /metrics.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub authentication_skip_lookup: bool,
    /// The way to the server that is asked what a client of /metrics may do.
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// Paths that are served to anybody.
    #[arg(long, value_delimiter = ',', default_value = "/healthz,/readyz,/livez")]
    pub authorization_always_allow_paths: Vec<String>,
    /// Which controllers run: * for the usual ones, NAME to add one, -NAME to leave one out.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "*",
        allow_hyphen_values = true
    )]
    pub controllers: Vec<String>,
    /// Whether one of several managers leads and the others wait.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub leader_elect: bool,
    /// How long the others wait for the leader.
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub leader_elect_lease_duration: Duration,
    /// How long the leader goes on without a renewal.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub leader_elect_renew_deadline: Duration,
    /// How often they try.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub leader_elect_retry_period: Duration,
    /// The kind of lock; leases are the only one.
    #[arg(long, default_value = "leases", value_parser = ["leases"])]
    pub leader_elect_resource_lock: String,
    /// The name of the Lease.
    #[arg(long, default_value = "kube-controller-manager", value_name = "NAME")]
    pub leader_elect_resource_name: String,
    /// Its namespace.
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE")]
    pub leader_elect_resource_namespace: String,
    /// Where health and metrics are served.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP")]
    pub bind_address: IpAddr,
    /// The port; 0 for none.
    #[arg(long, default_value_t = 10257, value_name = "PORT")]
    pub secure_port: u16,
    /// The certificate shown there; one is made if there is none.
    #[arg(long, requires = "tls_private_key_file", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "tls_cert_file", value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Who vouches for clients of the port.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether each controller acts as a service account of its own.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub use_service_account_credentials: bool,
    /// Whether nodes are given ranges for their pods' addresses.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub allocate_node_cidrs: bool,
    /// The ranges of all pods' addresses.
    #[arg(long, value_delimiter = ',', value_name = "CIDR")]
    pub cluster_cidr: Vec<String>,
    /// The ranges of Services' addresses.
    #[arg(long, value_delimiter = ',', value_name = "CIDR")]
    pub service_cluster_ip_range: Vec<String>,
    /// The length of a node's range; 24 for IPv4 and 64 for IPv6 if 0.
    #[arg(long, default_value_t = 0, value_name = "BITS")]
    pub node_cidr_mask_size: u8,
    /// The length of a node's IPv4 range.
    #[arg(long, default_value_t = 0, value_name = "BITS")]
    pub node_cidr_mask_size_ipv4: u8,
    /// The length of a node's IPv6 range.
    #[arg(long, default_value_t = 0, value_name = "BITS")]
    pub node_cidr_mask_size_ipv6: u8,
    /// The cluster's name.
    #[arg(long, default_value = "kubernetes", value_name = "NAME")]
    pub cluster_name: String,
    /// The certificate that signs what is requested.
    #[arg(long, requires = "cluster_signing_key_file", value_name = "FILE")]
    pub cluster_signing_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "cluster_signing_cert_file", value_name = "FILE")]
    pub cluster_signing_key_file: Option<PathBuf>,
    /// How long what is signed lasts, at most.
    #[arg(long, default_value = "8760h", value_parser = duration, value_name = "DURATION")]
    pub cluster_signing_duration: Duration,
    /// The CA that pods are given to know the server by.
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: Option<PathBuf>,
    /// The key that signs tokens of service accounts.
    #[arg(long, value_name = "FILE")]
    pub service_account_private_key_file: Option<PathBuf>,
    /// How long a token in a Secret, made in old times, is kept after its last use.
    #[arg(long, default_value = "8760h", value_parser = duration, value_name = "DURATION")]
    pub legacy_service_account_token_clean_up_period: Duration,
    /// How long a node may be silent before it counts as lost.
    #[arg(long, default_value = "50s", value_parser = duration, value_name = "DURATION")]
    pub node_monitor_grace_period: Duration,
    /// How often nodes are looked at.
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub node_monitor_period: Duration,
    /// How long a new node may be silent.
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub node_startup_grace_period: Duration,
    /// Nodes emptied per second in a healthy zone.
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    pub node_eviction_rate: f32,
    /// Nodes emptied per second in a zone that is unhealthy.
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub secondary_node_eviction_rate: f32,
    /// The share of lost nodes that makes a zone unhealthy.
    #[arg(long, default_value_t = 0.55, value_name = "SHARE")]
    pub unhealthy_zone_threshold: f32,
    /// The number of nodes above which a zone is large.
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    pub large_cluster_size_threshold: u32,
    /// How many pods may have ended before the oldest are removed.
    #[arg(
        long,
        default_value_t = 12500,
        allow_negative_numbers = true,
        value_name = "NUMBER"
    )]
    pub terminated_pod_gc_threshold: i64,
    /// Endpoints in one slice, at most.
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    pub max_endpoints_per_slice: u32,
    /// Mirrored endpoints of one Service, at most.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    pub mirroring_max_endpoints_per_subset: u32,
    /// How often usage is counted anew.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub resource_quota_sync_period: Duration,
    /// How often volumes and claims are looked at.
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub pvclaimbinder_sync_period: Duration,
    /// Gates of features, NAME=BOOL; none of them changes anything here.
    #[arg(long, value_delimiter = ',', value_name = "NAME=BOOL")]
    pub feature_gates: Vec<String>,
    /// Accepted: CA of the requests that an aggregator forwards.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Accepted: nothing can be profiled.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, action = ArgAction::Set, value_name = "BOOL")]
    pub profiling: bool,
    /// How much is logged: 0 to 10.
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
}

/// A duration as Go writes it: `1h30m`, `15s`, `100ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let at = digits.filter(|at| *at > 0);
        let at = at.ok_or_else(|| format!("{text:?} is no duration such as 15s or 1h30m"))?;
        let number: f64 = rest[..at]
            .parse()
            .map_err(|_| format!("{text:?} has a bad number"))?;
        let unit_end = rest[at..].find(|c: char| c.is_ascii_digit());
        let unit_end = unit_end.map_or(rest.len(), |end| at + end);
        let unit = match &rest[at..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            other => {
                return Err(format!(
                    "{text:?}: unknown unit {other:?}, use ms, s, m or h"
                ));
            }
        };
        total += Duration::from_secs_f64(number * unit);
        rest = &rest[unit_end..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::{Options, duration};

    #[test]
    fn flags_of_kubeadm() {
        let options = Options::try_parse_from([
            "kube-controller-manager",
            "--allocate-node-cidrs=true",
            "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--bind-address=127.0.0.1",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-cidr=10.244.0.0/16,fd00:10::/64",
            "--cluster-name=kubernetes",
            "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
            "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
            "--controllers=*,bootstrapsigner,-tokencleaner",
            "--kubeconfig=/etc/kubernetes/controller-manager.conf",
            "--leader-elect=true",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--root-ca-file=/etc/kubernetes/pki/ca.crt",
            "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--use-service-account-credentials=true",
        ])
        .unwrap();
        assert!(options.leader_elect && options.use_service_account_credentials);
        assert_eq!(
            options.controllers,
            ["*", "bootstrapsigner", "-tokencleaner"]
        );
        assert_eq!(options.cluster_cidr.len(), 2);
        let options = Options::try_parse_from(["x", "--leader-elect=false"]).unwrap();
        assert!(!options.leader_elect);
        assert_eq!(options.secure_port, 10257);
    }

    #[test]
    fn durations() {
        let check = |text: &str, millis| {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        };
        check("15s", 15_000);
        check("1h0m1.5s", 3_601_500);
        check("100ms", 100);
        check("0", 0);
        assert!(duration("15").is_err() && duration("x").is_err() && duration("3d").is_err());
    }
}
