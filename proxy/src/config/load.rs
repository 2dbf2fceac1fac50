//! A configuration's text becomes fields, checked; what is set without effect is named. Pure.

use keelson_api::decode::{self, DecodeError};
use keelson_api::yaml;
use keelson_netlink::Cidr;
use serde_json::Value;

use super::fields::{IpvsMode, KubeProxyConfiguration};
use crate::backend::ipvs::SCHEDULERS;

const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
const KIND: &str = "KubeProxyConfiguration";

/// Where and why something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{path}: {message}", place(*.line))]
pub struct Problem {
    /// Line in the text; 0 when unknown.
    pub line: u32,
    /// Path of the field.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

fn place(number: u32) -> String {
    match number {
        0 => String::new(),
        number => format!("line {number}: "),
    }
}

/// Reads a text.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(text: &str) -> Result<(KubeProxyConfiguration, Vec<String>), Vec<Problem>> {
    let document = yaml::parse_one(text).map_err(|error| {
        vec![Problem {
            line: error.at.line,
            path: KIND.to_owned(),
            message: error.message,
        }]
    })?;
    let at = |path: &str, message: String| Problem {
        line: document.locate(path).line,
        path: path.to_owned(),
        message,
    };
    let mut value = without_nulls(document.value.clone());
    let (api_version, kind) =
        decode::type_meta(&value).map_err(|error| vec![at("kind", error.to_string())])?;
    if (api_version, kind) != (API_VERSION, KIND) {
        let message = format!("{api_version} {kind} is not {API_VERSION} {KIND}");
        return Err(vec![at("kind", message)]);
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    let config: KubeProxyConfiguration = decode::strict(&value).map_err(|error| match error {
        DecodeError::Unknown { paths } => paths
            .iter()
            .map(|path| at(path, "unknown field".to_owned()))
            .collect(),
        other => vec![at(other.path(), other.to_string())],
    })?;
    let problems = validate(&config);
    if !problems.is_empty() {
        let told = |(path, message): (&str, String)| at(path, message);
        return Err(problems.into_iter().map(told).collect());
    }
    let warnings = in_vain(&config);
    Ok((config, warnings))
}

/// `null` means the default, as in Go.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// What cannot be worked with: path and reason.
#[must_use]
pub fn validate(config: &KubeProxyConfiguration) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let mut check = |right: bool, path, message: String| {
        if !right {
            wrong.push((path, message));
        }
    };
    let mode = config.mode.as_str();
    check(
        matches!(mode, "" | "nftables" | "iptables" | "ipvs"),
        "mode",
        format!("{mode:?} is no mode: use nftables, iptables or ipvs"),
    );
    let local = config.detect_local_mode.as_str();
    check(
        matches!(
            local,
            "" | "ClusterCIDR" | "NodeCIDR" | "BridgeInterface" | "InterfaceNamePrefix"
        ),
        "detectLocalMode",
        format!(
            "{local:?} is no mode: use ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix"
        ),
    );
    check(
        local != "BridgeInterface" || !config.detect_local.bridge_interface.is_empty(),
        "detectLocal.bridgeInterface",
        "is needed by detectLocalMode BridgeInterface".into(),
    );
    check(
        local != "InterfaceNamePrefix" || !config.detect_local.interface_name_prefix.is_empty(),
        "detectLocal.interfaceNamePrefix",
        "is needed by detectLocalMode InterfaceNamePrefix".into(),
    );
    for (path, bit) in [
        ("nftables.masqueradeBit", config.nftables.masquerade_bit),
        ("iptables.masqueradeBit", config.iptables.masquerade_bit),
    ] {
        let right = bit.is_none_or(|bit| bit <= 31);
        check(right, path, format!("{bit:?} is no bit: use 0 to 31"));
    }
    for cidr in config
        .cluster_cidr
        .split(',')
        .filter(|text| !text.is_empty())
    {
        check(
            cidr.trim().parse::<Cidr>().is_ok(),
            "clusterCIDR",
            format!("{cidr:?} is no CIDR"),
        );
    }
    for word in &config.node_port_addresses {
        let keyword = matches!(word.as_str(), "primary" | "all" | "localhost");
        check(
            keyword || word.parse::<Cidr>().is_ok(),
            "nodePortAddresses",
            format!("{word:?} is neither a CIDR nor primary, all or localhost"),
        );
    }
    for (path, text) in [
        ("healthzBindAddress", &config.healthz_bind_address),
        ("metricsBindAddress", &config.metrics_bind_address),
    ] {
        let right = text.is_empty() || super::listen_address(text, 1).is_some();
        check(right, path, format!("{text:?} is no address with a port"));
    }
    check(
        config.bind_address.is_empty() || config.bind_address.parse::<std::net::IpAddr>().is_ok(),
        "bindAddress",
        format!("{:?} is no address", config.bind_address),
    );
    wrong.extend(wrong_of_ipvs(&config.ipvs));
    wrong
}

fn wrong_of_ipvs(ipvs: &IpvsMode) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let scheduler = ipvs.scheduler.as_str();
    if !scheduler.is_empty() && !SCHEDULERS.contains(&scheduler) {
        let known = SCHEDULERS.join(", ");
        let message = format!("{scheduler:?} is no scheduler: use {known}");
        wrong.push(("ipvs.scheduler", message));
    }
    let cidrs = ipvs.exclude_cidrs.iter();
    let strange = cidrs.filter(|text| text.parse::<Cidr>().is_err());
    wrong.extend(strange.map(|text| ("ipvs.excludeCIDRs", format!("{text:?} is no CIDR"))));
    wrong
}

/// Fields that are set although nothing acts on them, with what happens instead.
fn in_vain(config: &KubeProxyConfiguration) -> Vec<String> {
    let base = KubeProxyConfiguration::default();
    let mut found = Vec::new();
    let mut note = |differs: bool, path: &str, instead: &str| {
        if differs {
            found.push(format!("{path} is set but has no effect: {instead}"));
        }
    };
    let mode = config.backend().name();
    let instead = format!("the mode is {mode}");
    let nftables = config.nftables != base.nftables;
    let iptables = config.iptables != base.iptables;
    // The IPVS mode hides sources as the iptables mode is told to.
    note(iptables && mode == "nftables", "iptables", &instead);
    note(nftables && mode != "nftables", "nftables", &instead);
    note(config.ipvs != base.ipvs && mode != "ipvs", "ipvs", &instead);
    note(
        config.iptables.snat_node_internal_ip == Some(true),
        "iptables.snatNodeInternalIP",
        "the kernel chooses the address",
    );
    note(
        !config.winkernel.is_null(),
        "winkernel",
        "this is not Windows",
    );
    note(
        config.windows_run_as_service,
        "windowsRunAsService",
        "this is not Windows",
    );
    note(
        config.enable_profiling,
        "enableProfiling",
        "there is no Go runtime to profile",
    );
    note(
        !config.logging.is_null(),
        "logging",
        "the log is text on standard error; see -v",
    );
    note(
        !config.port_range.is_empty(),
        "portRange",
        "the field has no effect upstream either",
    );
    note(
        !config.feature_gates.is_empty(),
        "featureGates",
        "everything that is stable is on, nothing else is there",
    );
    note(
        !config.show_hidden_metrics_for_version.is_empty(),
        "showHiddenMetricsForVersion",
        "no metric is hidden",
    );
    let connection = &config.client_connection;
    note(
        (connection.qps, connection.burst) != (5.0, 10),
        "clientConnection.qps",
        "a proxy lists and watches only",
    );
    note(
        !matches!(
            connection.content_type.as_str(),
            "" | "application/json" | "application/vnd.kubernetes.protobuf"
        ),
        "clientConnection.contentType",
        "JSON is spoken",
    );
    note(
        config.config_sync_period != base.config_sync_period,
        "configSyncPeriod",
        "objects are watched, not listed again",
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &str) -> String {
        format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{fields}")
    }

    #[test]
    fn what_kubeadm_writes_is_read() {
        let (config, warnings) = parse(&text(
            "bindAddress: 0.0.0.0\nbindAddressHardFail: false\nclientConnection:\n  acceptContentTypes: \"\"\n  burst: 0\n  contentType: \"\"\n  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf\n  qps: 0\nclusterCIDR: 10.244.0.0/16,fd44::/48\nconfigSyncPeriod: 0s\nconntrack:\n  maxPerCore: null\n  min: null\n  tcpBeLiberal: false\n  tcpCloseWaitTimeout: null\n  tcpEstablishedTimeout: null\n  udpStreamTimeout: 0s\n  udpTimeout: 0s\ndetectLocal:\n  bridgeInterface: \"\"\n  interfaceNamePrefix: \"\"\ndetectLocalMode: \"\"\nenableProfiling: false\nhealthzBindAddress: \"\"\nhostnameOverride: \"\"\niptables:\n  localhostNodePorts: null\n  masqueradeAll: false\n  masqueradeBit: null\n  minSyncPeriod: 0s\n  syncPeriod: 0s\nlogging:\n  flushFrequency: 0\n  verbosity: 0\nmetricsBindAddress: \"\"\nmode: \"\"\nnftables:\n  masqueradeAll: false\n  masqueradeBit: null\n  minSyncPeriod: 0s\n  syncPeriod: 0s\nnodePortAddresses: null\noomScoreAdj: null\nportRange: \"\"\nshowHiddenMetricsForVersion: \"\"\nwinkernel:\n  enableDSR: false\nwindowsRunAsService: false\n",
        ))
        .unwrap();
        assert_eq!(
            config.client_connection.kubeconfig,
            "/var/lib/kube-proxy/kubeconfig.conf"
        );
        assert_eq!(config.nftables.masquerade_bit, Some(14));
        assert!(
            warnings
                .iter()
                .any(|warning| warning.starts_with("winkernel "))
        );
    }

    #[test]
    fn problems_name_path_and_line() {
        for (fields, path, line) in [
            ("mdoe: nftables\n", "mdoe", 3),
            ("mode: userspace\n", "mode", 3),
            ("ipvs:\n  scheduler: fair\n", "ipvs.scheduler", 4),
            (
                "mode: nftables\nnftables:\n  masqueradeBits: 3\n",
                "nftables.masqueradeBits",
                5,
            ),
            (
                "nftables: {masqueradeBit: 32}\n",
                "nftables.masqueradeBit",
                3,
            ),
            ("clusterCIDR: 10.0.0.0\n", "clusterCIDR", 3),
            (
                "detectLocalMode: BridgeInterface\n",
                "detectLocal.bridgeInterface",
                0,
            ),
            (
                "nodePortAddresses: [primary, here]\n",
                "nodePortAddresses",
                3,
            ),
            ("metricsBindAddress: nowhere\n", "metricsBindAddress", 3),
        ] {
            let problems = parse(&text(fields)).unwrap_err();
            assert_eq!(problems[0].path, path, "{fields}");
            if line > 0 {
                assert_eq!(problems[0].line, line, "{fields}");
            }
        }
        assert!(parse("apiVersion: v1\nkind: Pod\n").is_err());
    }

    #[test]
    fn every_default_survives_writing_and_reading() {
        let written = serde_json::to_value(KubeProxyConfiguration::default()).unwrap();
        let read: KubeProxyConfiguration = decode::strict(&without_nulls(written)).unwrap();
        assert_eq!(read, KubeProxyConfiguration::default());
    }
}
