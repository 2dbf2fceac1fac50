//! What this kubelet does with each field: the table behind `--config-support`.
//!
//! Must be honest: a field that nothing acts on is listed as such, with what happens instead,
//! and setting it to something else than its default warns by name.

use super::fields::KubeletConfiguration;

/// How far a field is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// The field does what upstream documents.
    Honoured,
    /// The field is read and checked, then this happens instead.
    NotYet(&'static str),
}

use Support::{Honoured, NotYet};

const NO_API: &str = "the kubelet does not do this with an apiserver yet";
const NO_PIN: &str = "CPUs and memory are not pinned";
const NO_SHUTDOWN: &str = "a shutdown of the node ends pods as the init system does";
const NO_EFFECT: &str = "the field has no effect upstream either";
const NO_PROFILING: &str = "there is no Go runtime to profile; the endpoint is not served";

/// Every field and what is done with it.
pub const TABLE: [(&str, Support); 125] = [
    ("enableServer", Honoured),
    ("staticPodPath", Honoured),
    ("podLogsDir", Honoured),
    ("syncFrequency", Honoured),
    ("fileCheckFrequency", Honoured),
    ("httpCheckFrequency", Honoured),
    ("staticPodURL", Honoured),
    ("staticPodURLHeader", Honoured),
    ("address", Honoured),
    ("port", Honoured),
    ("readOnlyPort", Honoured),
    ("tlsCertFile", Honoured),
    ("tlsPrivateKeyFile", Honoured),
    ("tlsCipherSuites", Honoured),
    (
        "tlsCurvePreferences",
        NotYet("rustls' default groups are offered"),
    ),
    ("tlsMinVersion", Honoured),
    ("rotateCertificates", Honoured),
    ("serverTLSBootstrap", Honoured),
    ("authentication", Honoured),
    ("authorization", Honoured),
    (
        "registryPullQPS",
        NotYet("pulls are limited by their number at one time only"),
    ),
    (
        "registryBurst",
        NotYet("pulls are limited by their number at one time only"),
    ),
    (
        "imagePullCredentialsVerificationPolicy",
        NotYet("images that are here are used without a check"),
    ),
    (
        "preloadedImagesVerificationAllowlist",
        NotYet("images that are here are used without a check"),
    ),
    (
        "eventRecordQPS",
        NotYet("events are limited for each object by itself"),
    ),
    (
        "eventBurst",
        NotYet("events are limited for each object by itself"),
    ),
    ("enableDebuggingHandlers", Honoured),
    ("enableContentionProfiling", NotYet(NO_PROFILING)),
    ("healthzPort", Honoured),
    ("healthzBindAddress", Honoured),
    ("oomScoreAdj", Honoured),
    ("clusterDomain", Honoured),
    ("clusterDNS", Honoured),
    ("streamingConnectionIdleTimeout", Honoured),
    ("nodeStatusUpdateFrequency", Honoured),
    ("nodeStatusReportFrequency", Honoured),
    ("nodeLeaseDurationSeconds", Honoured),
    ("imageMinimumGCAge", Honoured),
    ("imageMaximumGCAge", Honoured),
    ("imageGCHighThresholdPercent", Honoured),
    ("imageGCLowThresholdPercent", Honoured),
    ("volumeStatsAggPeriod", Honoured),
    (
        "kubeletCgroups",
        NotYet("the kubelet stays in the cgroup it was started in"),
    ),
    (
        "systemCgroups",
        NotYet("processes stay in the cgroups they were started in"),
    ),
    ("cgroupRoot", Honoured),
    ("cgroupsPerQOS", Honoured),
    ("cgroupDriver", Honoured),
    ("cpuManagerPolicy", NotYet(NO_PIN)),
    (
        "singleProcessOOMKill",
        NotYet("the runtime's default applies"),
    ),
    ("cpuManagerPolicyOptions", NotYet(NO_PIN)),
    ("cpuManagerReconcilePeriod", NotYet(NO_PIN)),
    ("memoryManagerPolicy", NotYet(NO_PIN)),
    ("topologyManagerPolicy", NotYet(NO_PIN)),
    ("topologyManagerScope", NotYet(NO_PIN)),
    ("topologyManagerPolicyOptions", NotYet(NO_PIN)),
    (
        "qosReserved",
        NotYet("no memory is held back for Guaranteed pods"),
    ),
    ("runtimeRequestTimeout", Honoured),
    (
        "hairpinMode",
        NotYet("the network plugin's own configuration decides"),
    ),
    ("maxPods", Honoured),
    (
        "podCIDR",
        NotYet("the network plugin's own configuration decides"),
    ),
    ("podPidsLimit", Honoured),
    ("resolvConf", Honoured),
    ("runOnce", NotYet(NO_EFFECT)),
    ("cpuCFSQuota", Honoured),
    ("cpuCFSQuotaPeriod", Honoured),
    ("nodeStatusMaxImages", Honoured),
    ("maxOpenFiles", Honoured),
    ("contentType", NotYet("JSON is spoken")),
    ("kubeAPIQPS", NotYet("the apiserver's own limits are kept")),
    (
        "kubeAPIBurst",
        NotYet("the apiserver's own limits are kept"),
    ),
    ("serializeImagePulls", Honoured),
    ("maxParallelImagePulls", Honoured),
    ("evictionHard", Honoured),
    ("evictionSoft", Honoured),
    ("evictionSoftGracePeriod", Honoured),
    ("evictionPressureTransitionPeriod", Honoured),
    ("evictionMaxPodGracePeriod", Honoured),
    ("evictionMinimumReclaim", Honoured),
    ("mergeDefaultEvictionSettings", Honoured),
    ("podsPerCore", Honoured),
    ("enableControllerAttachDetach", NotYet(NO_API)),
    (
        "protectKernelDefaults",
        NotYet("kernel settings are neither checked nor changed"),
    ),
    ("makeIPTablesUtilChains", NotYet("no hint chain is made")),
    ("iptablesMasqueradeBit", NotYet(NO_EFFECT)),
    ("iptablesDropBit", NotYet(NO_EFFECT)),
    (
        "featureGates",
        NotYet("names are checked; features do not change with them"),
    ),
    ("failSwapOn", Honoured),
    ("memorySwap", NotYet("containers get no swap of their own")),
    ("containerLogMaxSize", Honoured),
    ("containerLogMaxFiles", Honoured),
    ("containerLogMaxWorkers", Honoured),
    (
        "containerLogMonitorInterval",
        NotYet("logs are rotated when they grow"),
    ),
    (
        "configMapAndSecretChangeDetectionStrategy",
        NotYet("each object is watched while a pod's volumes show it"),
    ),
    ("systemReserved", Honoured),
    ("kubeReserved", Honoured),
    ("reservedSystemCPUs", NotYet(NO_PIN)),
    (
        "showHiddenMetricsForVersion",
        NotYet("no metrics are hidden"),
    ),
    (
        "systemReservedCgroup",
        NotYet("reservations are subtracted, not enforced by a cgroup"),
    ),
    (
        "kubeReservedCgroup",
        NotYet("reservations are subtracted, not enforced by a cgroup"),
    ),
    (
        "enforceNodeAllocatable",
        NotYet("`pods` and `none` are honoured"),
    ),
    ("allowedUnsafeSysctls", Honoured),
    (
        "volumePluginDir",
        NotYet("FlexVolume plugins are not called"),
    ),
    ("providerID", Honoured),
    (
        "kernelMemcgNotification",
        NotYet("memory is measured every 10 seconds"),
    ),
    (
        "logging",
        NotYet("the log is text on stderr; verbosity comes from --v"),
    ),
    ("enableSystemLogHandler", Honoured),
    ("enableSystemLogQuery", NotYet("`/logs/` serves files only")),
    ("shutdownGracePeriod", NotYet(NO_SHUTDOWN)),
    ("shutdownGracePeriodCriticalPods", NotYet(NO_SHUTDOWN)),
    ("shutdownGracePeriodByPodPriority", NotYet(NO_SHUTDOWN)),
    ("crashLoopBackOff", Honoured),
    ("reservedMemory", NotYet(NO_PIN)),
    ("enableProfilingHandler", NotYet(NO_PROFILING)),
    (
        "enableDebugFlagsHandler",
        NotYet("`/debug/flags/v` is not served"),
    ),
    ("seccompDefault", Honoured),
    (
        "memoryThrottlingFactor",
        NotYet("containers are not throttled before their limit"),
    ),
    (
        "memoryReservationPolicy",
        NotYet("no memory is protected by memory.min or memory.low"),
    ),
    ("registerWithTaints", Honoured),
    ("registerNode", Honoured),
    ("tracing", NotYet("no spans are sent")),
    (
        "localStorageCapacityIsolation",
        NotYet("local storage is admitted by request, not limited"),
    ),
    ("containerRuntimeEndpoint", Honoured),
    ("imageServiceEndpoint", Honoured),
    ("failCgroupV1", Honoured),
    ("userNamespaces", Honoured),
];

/// Fields that hold something else than their default although nothing acts on them.
#[must_use]
pub fn set_in_vain(config: &KubeletConfiguration) -> Vec<(&'static str, &'static str)> {
    let json = |c: &KubeletConfiguration| serde_json::to_value(c).unwrap_or_default();
    let (set, default) = (json(config), json(&KubeletConfiguration::default()));
    TABLE
        .iter()
        .filter_map(|(name, support)| match support {
            NotYet(instead) if set.get(name) != default.get(name) => Some((*name, *instead)),
            _ => None,
        })
        .collect()
}

/// The table as text, one field a line.
#[must_use]
pub fn render() -> String {
    let honoured = TABLE.iter().filter(|(_, s)| *s == Honoured).count();
    let mut text = format!(
        "KubeletConfiguration: {honoured} of {} fields honoured\n",
        TABLE.len()
    );
    for (name, support) in TABLE {
        let says = match support {
            Honoured => "honoured".to_owned(),
            NotYet(instead) => format!("not yet: {instead}"),
        };
        text.push_str(&format!("{name:<42} {says}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{TABLE, render, set_in_vain};
    use crate::config::fields::{FIELD_NAMES, KubeletConfiguration};

    #[test]
    fn says_something_of_every_field() {
        let said: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
        assert_eq!(said, FIELD_NAMES);
        assert_eq!(render().lines().count(), 126);
    }

    #[test]
    fn warns_of_what_is_set_in_vain() {
        assert_eq!(set_in_vain(&KubeletConfiguration::default()), []);
        let config = KubeletConfiguration {
            cpu_manager_policy: "static".to_owned(),
            max_pods: 5,
            ..KubeletConfiguration::default()
        };
        let names: Vec<_> = set_in_vain(&config)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["cpuManagerPolicy"]);
    }
}
