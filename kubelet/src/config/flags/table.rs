//! The flags that stand for a field of the configuration, and how their texts are read.

use serde_json::{Map, Value, json};

/// A flag, the field it sets, and how its text is read.
pub(super) struct FieldFlag {
    pub(super) flag: &'static str,
    pub(super) path: &'static str,
    pub(super) form: Form,
}

/// How a flag's text becomes a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Bool,
    Int,
    /// Text, durations and quantities: checked with the field.
    Text,
    /// Texts separated by commas.
    List,
    /// Numbers separated by commas.
    Numbers,
    /// `key=value`, separated by commas.
    Map,
    /// `signal<amount`, separated by commas.
    Thresholds,
    /// `feature=true`, separated by commas.
    Gates,
    /// `header:value`, separated by commas; a header may be there more than once.
    Headers,
    /// `key=value:effect`, separated by commas.
    Taints,
    /// `node:type=amount,type=amount`, separated by semicolons.
    Memory,
}

const fn flag(flag: &'static str, path: &'static str, form: Form) -> FieldFlag {
    FieldFlag { flag, path, form }
}

use Form::{
    Bool, Gates, Headers, Int, List, Map as Pairs, Memory, Numbers, Taints, Text, Thresholds,
};

pub(super) const FIELD_FLAGS: &[FieldFlag] = &[
    flag("address", "address", Text),
    flag("allowed-unsafe-sysctls", "allowedUnsafeSysctls", List),
    flag("anonymous-auth", "authentication.anonymous.enabled", Bool),
    flag(
        "authentication-token-webhook",
        "authentication.webhook.enabled",
        Bool,
    ),
    flag(
        "authentication-token-webhook-cache-ttl",
        "authentication.webhook.cacheTTL",
        Text,
    ),
    flag("authorization-mode", "authorization.mode", Text),
    flag(
        "authorization-webhook-cache-authorized-ttl",
        "authorization.webhook.cacheAuthorizedTTL",
        Text,
    ),
    flag(
        "authorization-webhook-cache-unauthorized-ttl",
        "authorization.webhook.cacheUnauthorizedTTL",
        Text,
    ),
    flag("cgroup-driver", "cgroupDriver", Text),
    flag("cgroup-root", "cgroupRoot", Text),
    flag("cgroups-per-qos", "cgroupsPerQOS", Bool),
    flag("client-ca-file", "authentication.x509.clientCAFile", Text),
    flag("cluster-dns", "clusterDNS", List),
    flag("cluster-domain", "clusterDomain", Text),
    flag("container-log-max-files", "containerLogMaxFiles", Int),
    flag("container-log-max-size", "containerLogMaxSize", Text),
    flag(
        "container-runtime-endpoint",
        "containerRuntimeEndpoint",
        Text,
    ),
    flag("contention-profiling", "enableContentionProfiling", Bool),
    flag("cpu-cfs-quota", "cpuCFSQuota", Bool),
    flag("cpu-cfs-quota-period", "cpuCFSQuotaPeriod", Text),
    flag("cpu-manager-policy", "cpuManagerPolicy", Text),
    flag(
        "cpu-manager-policy-options",
        "cpuManagerPolicyOptions",
        Pairs,
    ),
    flag(
        "cpu-manager-reconcile-period",
        "cpuManagerReconcilePeriod",
        Text,
    ),
    flag(
        "enable-controller-attach-detach",
        "enableControllerAttachDetach",
        Bool,
    ),
    flag("enable-debugging-handlers", "enableDebuggingHandlers", Bool),
    flag("enable-server", "enableServer", Bool),
    flag("enforce-node-allocatable", "enforceNodeAllocatable", List),
    flag("event-burst", "eventBurst", Int),
    flag("event-qps", "eventRecordQPS", Int),
    flag("eviction-hard", "evictionHard", Thresholds),
    flag(
        "eviction-max-pod-grace-period",
        "evictionMaxPodGracePeriod",
        Int,
    ),
    flag("eviction-minimum-reclaim", "evictionMinimumReclaim", Pairs),
    flag(
        "eviction-pressure-transition-period",
        "evictionPressureTransitionPeriod",
        Text,
    ),
    flag("eviction-soft", "evictionSoft", Thresholds),
    flag(
        "eviction-soft-grace-period",
        "evictionSoftGracePeriod",
        Pairs,
    ),
    flag("fail-cgroupv1", "failCgroupV1", Bool),
    flag("fail-swap-on", "failSwapOn", Bool),
    flag("feature-gates", "featureGates", Gates),
    flag("file-check-frequency", "fileCheckFrequency", Text),
    flag("hairpin-mode", "hairpinMode", Text),
    flag("healthz-bind-address", "healthzBindAddress", Text),
    flag("healthz-port", "healthzPort", Int),
    flag("http-check-frequency", "httpCheckFrequency", Text),
    flag(
        "image-gc-high-threshold",
        "imageGCHighThresholdPercent",
        Int,
    ),
    flag("image-gc-low-threshold", "imageGCLowThresholdPercent", Int),
    flag("image-service-endpoint", "imageServiceEndpoint", Text),
    flag("iptables-drop-bit", "iptablesDropBit", Int),
    flag("iptables-masquerade-bit", "iptablesMasqueradeBit", Int),
    flag("kernel-memcg-notification", "kernelMemcgNotification", Bool),
    flag("kube-api-burst", "kubeAPIBurst", Int),
    flag("kube-api-content-type", "contentType", Text),
    flag("kube-api-qps", "kubeAPIQPS", Int),
    flag("kube-reserved", "kubeReserved", Pairs),
    flag("kube-reserved-cgroup", "kubeReservedCgroup", Text),
    flag("kubelet-cgroups", "kubeletCgroups", Text),
    flag(
        "local-storage-capacity-isolation",
        "localStorageCapacityIsolation",
        Bool,
    ),
    flag("log-flush-frequency", "logging.flushFrequency", Text),
    flag("logging-format", "logging.format", Text),
    flag("make-iptables-util-chains", "makeIPTablesUtilChains", Bool),
    flag("manifest-url", "staticPodURL", Text),
    flag("manifest-url-header", "staticPodURLHeader", Headers),
    flag("max-open-files", "maxOpenFiles", Int),
    flag("max-pods", "maxPods", Int),
    flag("memory-manager-policy", "memoryManagerPolicy", Text),
    flag("minimum-image-ttl-duration", "imageMinimumGCAge", Text),
    flag("node-status-max-images", "nodeStatusMaxImages", Int),
    flag(
        "node-status-update-frequency",
        "nodeStatusUpdateFrequency",
        Text,
    ),
    flag("oom-score-adj", "oomScoreAdj", Int),
    flag("pod-cidr", "podCIDR", Text),
    flag("pod-manifest-path", "staticPodPath", Text),
    flag("pod-max-pids", "podPidsLimit", Int),
    flag("pods-per-core", "podsPerCore", Int),
    flag("port", "port", Int),
    flag("protect-kernel-defaults", "protectKernelDefaults", Bool),
    flag("provider-id", "providerID", Text),
    flag("qos-reserved", "qosReserved", Pairs),
    flag("read-only-port", "readOnlyPort", Int),
    flag("register-node", "registerNode", Bool),
    flag("register-with-taints", "registerWithTaints", Taints),
    flag("registry-burst", "registryBurst", Int),
    flag("registry-qps", "registryPullQPS", Int),
    flag("reserved-cpus", "reservedSystemCPUs", Text),
    flag("reserved-memory", "reservedMemory", Memory),
    flag("resolv-conf", "resolvConf", Text),
    flag("rotate-certificates", "rotateCertificates", Bool),
    flag("rotate-server-certificates", "serverTLSBootstrap", Bool),
    flag("runonce", "runOnce", Bool),
    flag("runtime-request-timeout", "runtimeRequestTimeout", Text),
    flag("seccomp-default", "seccompDefault", Bool),
    flag("serialize-image-pulls", "serializeImagePulls", Bool),
    flag(
        "streaming-connection-idle-timeout",
        "streamingConnectionIdleTimeout",
        Text,
    ),
    flag("sync-frequency", "syncFrequency", Text),
    flag("system-cgroups", "systemCgroups", Text),
    flag("system-reserved", "systemReserved", Pairs),
    flag("system-reserved-cgroup", "systemReservedCgroup", Text),
    flag("tls-cert-file", "tlsCertFile", Text),
    flag("tls-cipher-suites", "tlsCipherSuites", List),
    flag("tls-curve-preferences", "tlsCurvePreferences", Numbers),
    flag("tls-min-version", "tlsMinVersion", Text),
    flag("tls-private-key-file", "tlsPrivateKeyFile", Text),
    flag("topology-manager-policy", "topologyManagerPolicy", Text),
    flag(
        "topology-manager-policy-options",
        "topologyManagerPolicyOptions",
        Pairs,
    ),
    flag("topology-manager-scope", "topologyManagerScope", Text),
    flag("volume-plugin-dir", "volumePluginDir", Text),
    flag("volume-stats-agg-period", "volumeStatsAggPeriod", Text),
];

impl Form {
    /// The value that the texts of one flag, in order, stand for.
    pub(super) fn read(self, texts: &[&str]) -> Result<Value, String> {
        let last = texts.last().copied().unwrap_or_default();
        let parts = || {
            texts
                .iter()
                .flat_map(|t| t.split(','))
                .filter(|t| !t.is_empty())
        };
        match self {
            Bool => boolean(last).map(Value::from),
            Int => integer(last).map(Value::from),
            Text => Ok(last.into()),
            List => Ok(parts().map(Value::from).collect()),
            Numbers => parts().map(|p| integer(p).map(Value::from)).collect(),
            Pairs => parts()
                .map(|p| pair(p, '='))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            Thresholds => parts()
                .map(|p| pair(p, '<'))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            Gates => parts()
                .map(gate)
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            Headers => headers(parts()),
            Taints => parts().map(taint).collect(),
            Memory => last.split(';').map(memory).collect(),
        }
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} must be true or false")),
    }
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| format!("{text:?} must be a whole number"))
}

fn split(text: &str, separator: char) -> Result<(&str, &str), String> {
    text.split_once(separator)
        .map(|(key, value)| (key.trim(), value.trim()))
        .ok_or_else(|| format!("{text:?} must be key{separator}value"))
}

fn pair(text: &str, separator: char) -> Result<(String, Value), String> {
    let (key, value) = split(text, separator)?;
    Ok((key.to_owned(), value.into()))
}

fn gate(text: &str) -> Result<(String, Value), String> {
    let (name, on) = split(text, '=')?;
    Ok((name.to_owned(), boolean(on)?.into()))
}

fn headers<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    let mut headers: Map<String, Value> = Map::new();
    for part in parts {
        let (name, value) = split(part, ':')?;
        let values = headers.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    Ok(Value::Object(headers))
}

fn taint(text: &str) -> Result<Value, String> {
    let (name, effect) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("{text:?} must be key=value:effect"))?;
    let (key, value) = name.split_once('=').unwrap_or((name, ""));
    Ok(json!({"key": key, "value": value, "effect": effect}))
}

fn memory(text: &str) -> Result<Value, String> {
    let (node, limits) = split(text, ':')?;
    let limits: Map<_, _> = limits
        .split(',')
        .map(|p| pair(p, '='))
        .collect::<Result<_, _>>()?;
    Ok(json!({"numaNode": integer(node)?, "limits": limits}))
}
