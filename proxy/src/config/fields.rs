//! The fields of `KubeProxyConfiguration` (kubeproxy.config.k8s.io/v1alpha1) with their defaults.
//! Pure: decides names, types and defaults only.

use std::collections::BTreeMap;

use keelson_api::duration::Duration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::Mode;
use crate::backend::iptables::Variant;
use crate::backend::ipvs::Settings;

/// Everything a proxy can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubeProxyConfiguration {
    /// Switches of single features.
    pub feature_gates: BTreeMap<String, bool>,
    /// How the apiserver is reached.
    pub client_connection: ClientConnection,
    /// Form and level of the log.
    pub logging: Value,
    /// The node's name, if not the host's.
    pub hostname_override: String,
    /// The node's address, if not the Node object's.
    pub bind_address: String,
    /// Where /healthz and /livez are served.
    pub healthz_bind_address: String,
    /// Where /metrics is served.
    pub metrics_bind_address: String,
    /// Whether a taken port ends the program.
    pub bind_address_hard_fail: bool,
    /// Whether profiles are served.
    pub enable_profiling: bool,
    /// Metrics of which version are shown although hidden.
    pub show_hidden_metrics_for_version: String,
    /// `nftables` (and the empty text), `iptables` or `ipvs`.
    pub mode: String,
    /// The iptables mode.
    pub iptables: IptablesMode,
    /// The IPVS mode.
    pub ipvs: IpvsMode,
    /// The nftables mode.
    pub nftables: NftablesMode,
    /// Windows.
    pub winkernel: Value,
    /// How traffic of this node's pods is told from other traffic.
    pub detect_local_mode: String,
    /// What that needs to know.
    pub detect_local: DetectLocal,
    /// The cluster's pod addresses, one or two CIDRs with a comma between.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// Where node ports are served: CIDRs, `primary`, `all`, `localhost`.
    pub node_port_addresses: Vec<String>,
    /// The kernel's out-of-memory score of this process.
    pub oom_score_adj: Option<i32>,
    /// Connection tracking.
    pub conntrack: Conntrack,
    /// How often objects are listed again.
    pub config_sync_period: Duration,
    /// No effect.
    pub port_range: String,
    /// Windows.
    pub windows_run_as_service: bool,
}

/// How the apiserver is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientConnection {
    /// Path of a kubeconfig file; empty for the pod's service account.
    pub kubeconfig: String,
    /// What to ask for.
    pub accept_content_types: String,
    /// What to send.
    pub content_type: String,
    /// Requests a second.
    pub qps: f64,
    /// Requests at once.
    pub burst: i32,
}

/// The iptables mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IptablesMode {
    /// The bit of the packet mark that asks for masquerading.
    pub masquerade_bit: Option<u8>,
    /// Masquerade everything sent to cluster addresses.
    pub masquerade_all: bool,
    /// Node ports at loopback.
    pub localhost_node_ports: Option<bool>,
    /// Masquerade with the node's internal address.
    #[serde(rename = "snatNodeInternalIP")]
    pub snat_node_internal_ip: Option<bool>,
    /// How often everything is looked at again.
    pub sync_period: Duration,
    /// Least time between two changes of rules.
    pub min_sync_period: Duration,
}

/// The IPVS mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IpvsMode {
    /// How often everything is looked at again.
    pub sync_period: Duration,
    /// Least time between two changes of rules.
    pub min_sync_period: Duration,
    /// The scheduler.
    pub scheduler: String,
    /// Addresses of virtual servers to leave alone.
    #[serde(rename = "excludeCIDRs")]
    pub exclude_cidrs: Vec<String>,
    /// Whether ARP for the dummy interface is left unanswered.
    #[serde(rename = "strictARP")]
    pub strict_arp: bool,
    /// Idle time of TCP sessions.
    pub tcp_timeout: Duration,
    /// Time of TCP sessions after a FIN.
    pub tcp_fin_timeout: Duration,
    /// Idle time of UDP.
    pub udp_timeout: Duration,
}

/// The nftables mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NftablesMode {
    /// The bit of the packet mark that asks for masquerading.
    pub masquerade_bit: Option<u8>,
    /// Masquerade everything sent to cluster addresses.
    pub masquerade_all: bool,
    /// How often it is asked whether somebody else wrote.
    pub sync_period: Duration,
    /// Least time between two changes of rules.
    pub min_sync_period: Duration,
}

/// What `detectLocalMode` needs to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DetectLocal {
    /// For `BridgeInterface`.
    pub bridge_interface: String,
    /// For `InterfaceNamePrefix`.
    pub interface_name_prefix: String,
}

/// Connection tracking; what is unset or 0 is left as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Conntrack {
    /// Flows per processor core.
    pub max_per_core: Option<i32>,
    /// Flows at least.
    pub min: Option<i32>,
    /// Idle time of established connections.
    pub tcp_established_timeout: Option<Duration>,
    /// Time of connections in CLOSE_WAIT.
    pub tcp_close_wait_timeout: Option<Duration>,
    /// Whether packets outside a connection's window are let pass.
    pub tcp_be_liberal: bool,
    /// Idle time of UDP without answers.
    pub udp_timeout: Duration,
    /// Idle time of UDP with answers.
    pub udp_stream_timeout: Duration,
}

impl Default for KubeProxyConfiguration {
    fn default() -> Self {
        Self {
            feature_gates: BTreeMap::new(),
            client_connection: ClientConnection::default(),
            logging: Value::Null,
            hostname_override: String::new(),
            bind_address: String::new(),
            healthz_bind_address: String::new(),
            metrics_bind_address: String::new(),
            bind_address_hard_fail: false,
            enable_profiling: false,
            show_hidden_metrics_for_version: String::new(),
            mode: String::new(),
            iptables: IptablesMode::default(),
            ipvs: IpvsMode::default(),
            nftables: NftablesMode::default(),
            winkernel: Value::Null,
            detect_local_mode: "ClusterCIDR".into(),
            detect_local: DetectLocal::default(),
            cluster_cidr: String::new(),
            node_port_addresses: Vec::new(),
            oom_score_adj: Some(-999),
            conntrack: Conntrack::default(),
            config_sync_period: Duration::from_secs(15 * 60),
            port_range: String::new(),
            windows_run_as_service: false,
        }
    }
}

/// What the mode in use is told.
impl KubeProxyConfiguration {
    /// Which backend; the default is nftables.
    #[must_use]
    pub fn backend(&self) -> Mode {
        match self.mode.as_str() {
            "iptables" => Mode::Iptables(Variant::Host),
            "ipvs" => Mode::Ipvs,
            _ => Mode::Nftables,
        }
    }

    /// What the IPVS mode is told.
    #[must_use]
    pub fn ipvs(&self) -> Settings {
        let seconds = |time: Duration| u32::try_from(time.to_std().as_secs()).unwrap_or(u32::MAX);
        let ipvs = &self.ipvs;
        let cidrs = ipvs.exclude_cidrs.iter();
        let mut settings = Settings {
            excluded: cidrs.filter_map(|text| text.parse().ok()).collect(),
            strict_arp: ipvs.strict_arp,
            timeouts: [ipvs.tcp_timeout, ipvs.tcp_fin_timeout, ipvs.udp_timeout].map(seconds),
            ..Settings::default()
        };
        if !ipvs.scheduler.is_empty() {
            settings.scheduler.clone_from(&ipvs.scheduler);
        }
        settings
    }

    /// Masquerading in the IPVS mode is the iptables mode's affair, as upstream has it.
    fn of_mode<T>(&self, iptables: T, nftables: T) -> T {
        match self.backend() {
            Mode::Iptables(_) | Mode::Ipvs => iptables,
            Mode::Nftables => nftables,
        }
    }

    /// Masquerade everything sent to cluster addresses.
    #[must_use]
    pub fn masquerade_all(&self) -> bool {
        self.of_mode(self.iptables.masquerade_all, self.nftables.masquerade_all)
    }

    /// The bit of the packet mark that asks for masquerading.
    #[must_use]
    pub fn masquerade_bit(&self) -> u8 {
        let bit = self.of_mode(self.iptables.masquerade_bit, self.nftables.masquerade_bit);
        bit.unwrap_or(14)
    }

    /// How often everything is looked at again.
    #[must_use]
    pub fn sync_period(&self) -> Duration {
        match self.backend() {
            Mode::Ipvs => self.ipvs.sync_period,
            _ => self.of_mode(self.iptables.sync_period, self.nftables.sync_period),
        }
    }

    /// Least time between two changes of rules.
    #[must_use]
    pub fn min_sync_period(&self) -> Duration {
        match self.backend() {
            Mode::Ipvs => self.ipvs.min_sync_period,
            _ => self.of_mode(self.iptables.min_sync_period, self.nftables.min_sync_period),
        }
    }
}

impl Default for ClientConnection {
    fn default() -> Self {
        Self {
            kubeconfig: String::new(),
            accept_content_types: String::new(),
            content_type: String::new(),
            qps: 5.0,
            burst: 10,
        }
    }
}

impl Default for IptablesMode {
    fn default() -> Self {
        Self {
            masquerade_bit: Some(14),
            masquerade_all: false,
            localhost_node_ports: Some(true),
            snat_node_internal_ip: None,
            sync_period: Duration::from_secs(30),
            min_sync_period: Duration::from_secs(1),
        }
    }
}

impl Default for IpvsMode {
    fn default() -> Self {
        Self {
            sync_period: Duration::from_secs(30),
            min_sync_period: Duration::default(),
            scheduler: String::new(),
            exclude_cidrs: Vec::new(),
            strict_arp: false,
            tcp_timeout: Duration::default(),
            tcp_fin_timeout: Duration::default(),
            udp_timeout: Duration::default(),
        }
    }
}

impl Default for NftablesMode {
    fn default() -> Self {
        Self {
            masquerade_bit: Some(14),
            masquerade_all: false,
            sync_period: Duration::from_secs(30),
            min_sync_period: Duration::from_secs(1),
        }
    }
}

impl Default for Conntrack {
    fn default() -> Self {
        Self {
            max_per_core: Some(32 * 1024),
            min: Some(128 * 1024),
            tcp_established_timeout: Some(Duration::from_secs(24 * 60 * 60)),
            tcp_close_wait_timeout: Some(Duration::from_secs(60 * 60)),
            tcp_be_liberal: false,
            udp_timeout: Duration::default(),
            udp_stream_timeout: Duration::default(),
        }
    }
}
