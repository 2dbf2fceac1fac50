//! `KubeletConfiguration` of `kubelet.config.k8s.io/v1beta1`: all 125 fields of 1.36 with their
//! defaults.
//!
//! Decides names, types and defaults only. What a combination of values means is for
//! `validate`; what we do with each is said in `support`.

use std::collections::BTreeMap;

use keelson_api::core::Taint;
use keelson_api::duration::Duration;
use serde::{Deserialize, Serialize};

use super::nested::{
    Authentication, Authorization, CrashLoopBackOff, Logging, MemoryReservation, MemorySwap,
    ShutdownGracePeriodByPodPriority, Tracing, UserNamespaces,
};

const fn seconds(count: i64) -> Duration {
    Duration::from_secs(count)
}

/// One line per field: its name here, its name in files, its type and default. `or zero` marks
/// fields for which zero or empty text in a file means "the default", as upstream reads them.
macro_rules! configuration {
    ($($(#[doc = $doc:literal])+ $name:ident $json:literal $kind:ty = $default:expr $(, or $zero:ident)?;)+) => {
        /// The kubelet's configuration, complete: every field holds a value to act on.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct KubeletConfiguration {
            $($(#[doc = $doc])+ #[serde(rename = $json)] pub $name: $kind,)+
        }

        impl Default for KubeletConfiguration {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// The names of all fields, as files spell them.
        pub const FIELD_NAMES: &[&str] = &[$($json),+];

        /// Fields for which zero or empty text means the default.
        pub(super) const ZERO_MEANS_DEFAULT: &[&str] = &[$($(configuration!(@$zero $json),)?)+];
    };
    (@zero $json:literal) => { $json };
}

configuration! {
    /// Whether the HTTPS server runs.
    enable_server "enableServer" bool = true;
    /// Folder of manifests of static pods, or one such file. Empty: none.
    static_pod_path "staticPodPath" String = String::new();
    /// Folder of the pods' logs.
    pod_logs_dir "podLogsDir" String = "/var/log/pods".to_owned(), or zero;
    /// Longest time between two looks at a running pod.
    sync_frequency "syncFrequency" Duration = seconds(60), or zero;
    /// Time between two audits of the manifest folder.
    file_check_frequency "fileCheckFrequency" Duration = seconds(20), or zero;
    /// Time between two fetches of `staticPodURL`.
    http_check_frequency "httpCheckFrequency" Duration = seconds(20), or zero;
    /// Where to fetch manifests from. Empty: nowhere.
    static_pod_url "staticPodURL" String = String::new();
    /// Headers to send when fetching manifests.
    static_pod_url_header "staticPodURLHeader" BTreeMap<String, Vec<String>> = BTreeMap::new();
    /// Address the server listens on.
    address "address" String = "0.0.0.0".to_owned(), or zero;
    /// Port the server listens on.
    port "port" i32 = 10_250, or zero;
    /// Port of the server without authentication. 0: none.
    read_only_port "readOnlyPort" i32 = 0;
    /// The server's certificate, PEM.
    tls_cert_file "tlsCertFile" String = String::new();
    /// The server's private key, PEM.
    tls_private_key_file "tlsPrivateKeyFile" String = String::new();
    /// Cipher suites by Go's names. Empty: the default ones.
    tls_cipher_suites "tlsCipherSuites" Vec<String> = Vec::new();
    /// Key exchange groups by their numbers. Empty: the default ones.
    tls_curve_preferences "tlsCurvePreferences" Vec<i32> = Vec::new();
    /// Lowest TLS version by Go's name.
    tls_min_version "tlsMinVersion" String = String::new();
    /// Whether the client certificate is renewed through the API.
    rotate_certificates "rotateCertificates" bool = false;
    /// Whether the server certificate comes from the API.
    server_tls_bootstrap "serverTLSBootstrap" bool = false;
    /// How callers of the server prove who they are.
    authentication "authentication" Authentication = Authentication::default();
    /// What callers of the server may do.
    authorization "authorization" Authorization = Authorization::default();
    /// Image pulls per second. 0: no limit.
    registry_pull_qps "registryPullQPS" i32 = 5;
    /// Image pulls at once, on top of the rate.
    registry_burst "registryBurst" i32 = 10, or zero;
    /// When credentials of an image that is already here are checked again.
    image_pull_credentials_verification_policy "imagePullCredentialsVerificationPolicy" String =
        "NeverVerifyPreloadedImages".to_owned(), or zero;
    /// Images exempt from that check.
    preloaded_images_verification_allowlist "preloadedImagesVerificationAllowlist" Vec<String> = Vec::new();
    /// Events per second. 0: no limit.
    event_record_qps "eventRecordQPS" i32 = 50;
    /// Events at once, on top of the rate.
    event_burst "eventBurst" i32 = 100, or zero;
    /// Whether logs, exec, attach and port forwarding are served.
    enable_debugging_handlers "enableDebuggingHandlers" bool = true;
    /// Whether lock contention is profiled.
    enable_contention_profiling "enableContentionProfiling" bool = false;
    /// Port of the health server. 0: none.
    healthz_port "healthzPort" i32 = 10_248;
    /// Address of the health server.
    healthz_bind_address "healthzBindAddress" String = "127.0.0.1".to_owned(), or zero;
    /// The kubelet's own `oom_score_adj`.
    oom_score_adj "oomScoreAdj" i32 = -999;
    /// Domain of the cluster. Empty: none.
    cluster_domain "clusterDomain" String = String::new();
    /// Addresses of the cluster's name servers.
    cluster_dns "clusterDNS" Vec<String> = Vec::new();
    /// Idle time after which streams were closed; no longer has any effect.
    streaming_connection_idle_timeout "streamingConnectionIdleTimeout" Duration = seconds(4 * 3600), or zero;
    /// Time between two computations of the node's status.
    node_status_update_frequency "nodeStatusUpdateFrequency" Duration = seconds(10), or zero;
    /// Time between two reports of an unchanged status.
    node_status_report_frequency "nodeStatusReportFrequency" Duration = seconds(300), or zero;
    /// Duration of the node's Lease, in seconds.
    node_lease_duration_seconds "nodeLeaseDurationSeconds" i32 = 40, or zero;
    /// Age below which an unused image is kept.
    image_minimum_gc_age "imageMinimumGCAge" Duration = seconds(120), or zero;
    /// Time unused after which an image is removed. 0: never for that reason.
    image_maximum_gc_age "imageMaximumGCAge" Duration = Duration::ZERO;
    /// Disk use in percent that starts image collection.
    image_gc_high_threshold_percent "imageGCHighThresholdPercent" i32 = 85;
    /// Disk use in percent that image collection aims for.
    image_gc_low_threshold_percent "imageGCLowThresholdPercent" i32 = 80;
    /// Time between two measurements of the volumes' disk use. Negative: none.
    volume_stats_agg_period "volumeStatsAggPeriod" Duration = seconds(60), or zero;
    /// Cgroup to run the kubelet in. Empty: leave it.
    kubelet_cgroups "kubeletCgroups" String = String::new();
    /// Cgroup for processes that are in none. Empty: leave them.
    system_cgroups "systemCgroups" String = String::new();
    /// Cgroup below which pods live. Empty: the runtime's default.
    cgroup_root "cgroupRoot" String = String::new();
    /// Whether pods are grouped by quality of service.
    cgroups_per_qos "cgroupsPerQOS" bool = true;
    /// `cgroupfs` or `systemd`; used where the runtime does not say.
    cgroup_driver "cgroupDriver" String = "cgroupfs".to_owned(), or zero;
    /// `none` or `static`.
    cpu_manager_policy "cpuManagerPolicy" String = "none".to_owned(), or zero;
    /// Whether an out-of-memory kill takes one process instead of the container.
    single_process_oom_kill "singleProcessOOMKill" Option<bool> = None;
    /// Options of the CPU manager's policy.
    cpu_manager_policy_options "cpuManagerPolicyOptions" BTreeMap<String, String> = BTreeMap::new();
    /// Time between two reconciliations of the CPU manager.
    cpu_manager_reconcile_period "cpuManagerReconcilePeriod" Duration = seconds(10), or zero;
    /// `None` or `Static`.
    memory_manager_policy "memoryManagerPolicy" String = "None".to_owned(), or zero;
    /// How NUMA alignment is enforced.
    topology_manager_policy "topologyManagerPolicy" String = "none".to_owned(), or zero;
    /// Whether NUMA alignment is per `container` or per `pod`.
    topology_manager_scope "topologyManagerScope" String = "container".to_owned(), or zero;
    /// Options of the topology manager's policy.
    topology_manager_policy_options "topologyManagerPolicyOptions" BTreeMap<String, String> = BTreeMap::new();
    /// Percentages of resources held back for Guaranteed pods.
    qos_reserved "qosReserved" BTreeMap<String, String> = BTreeMap::new();
    /// Deadline of calls to the runtime, except long running ones.
    runtime_request_timeout "runtimeRequestTimeout" Duration = seconds(120), or zero;
    /// How pods may reach themselves through a Service.
    hairpin_mode "hairpinMode" String = "promiscuous-bridge".to_owned(), or zero;
    /// Most pods on this node.
    max_pods "maxPods" i32 = 110, or zero;
    /// Pod address range in standalone mode.
    pod_cidr "podCIDR" String = String::new();
    /// Most processes in a pod. -1: the node's limit.
    pod_pids_limit "podPidsLimit" i64 = -1;
    /// Resolver configuration that pods start from. Empty: none.
    resolv_conf "resolvConf" String = "/etc/resolv.conf".to_owned();
    /// Run what is found once, and exit.
    run_once "runOnce" bool = false;
    /// Whether CPU limits are enforced.
    cpu_cfs_quota "cpuCFSQuota" bool = true;
    /// The period over which CPU limits are enforced.
    cpu_cfs_quota_period "cpuCFSQuotaPeriod" Duration = Duration::from_millis(100);
    /// Most images in the node's status. -1: all.
    node_status_max_images "nodeStatusMaxImages" i32 = 50;
    /// Files that the kubelet may open.
    max_open_files "maxOpenFiles" i64 = 1_000_000, or zero;
    /// Encoding of requests to the apiserver.
    content_type "contentType" String = "application/vnd.kubernetes.protobuf".to_owned(), or zero;
    /// Requests per second to the apiserver.
    kube_api_qps "kubeAPIQPS" i32 = 50;
    /// Requests at once to the apiserver, on top of the rate.
    kube_api_burst "kubeAPIBurst" i32 = 100, or zero;
    /// Whether images are pulled one at a time.
    serialize_image_pulls "serializeImagePulls" bool = true;
    /// Most images pulled at one time. Unset: no limit.
    max_parallel_image_pulls "maxParallelImagePulls" Option<i32> = None;
    /// Thresholds that evict at once, by signal.
    eviction_hard "evictionHard" BTreeMap<String, String> = default_eviction_hard();
    /// Thresholds that evict after a grace period, by signal.
    eviction_soft "evictionSoft" BTreeMap<String, String> = BTreeMap::new();
    /// Grace periods of the soft thresholds, by signal.
    eviction_soft_grace_period "evictionSoftGracePeriod" BTreeMap<String, String> = BTreeMap::new();
    /// Time a pressure condition lasts at least.
    eviction_pressure_transition_period "evictionPressureTransitionPeriod" Duration = seconds(300), or zero;
    /// Most grace that a soft eviction gives, in seconds.
    eviction_max_pod_grace_period "evictionMaxPodGracePeriod" i32 = 0;
    /// Least amounts to reclaim once evicting, by signal.
    eviction_minimum_reclaim "evictionMinimumReclaim" BTreeMap<String, String> = BTreeMap::new();
    /// Whether signals that are not named keep their default thresholds.
    merge_default_eviction_settings "mergeDefaultEvictionSettings" bool = false;
    /// Most pods per core. 0: no limit.
    pods_per_core "podsPerCore" i32 = 0;
    /// Whether volumes are attached by the controller.
    enable_controller_attach_detach "enableControllerAttachDetach" bool = true;
    /// Whether unexpected kernel settings are an error instead of being set.
    protect_kernel_defaults "protectKernelDefaults" bool = false;
    /// Whether the chain `KUBE-IPTABLES-HINT` is made.
    make_iptables_util_chains "makeIPTablesUtilChains" bool = true;
    /// No longer has any effect.
    iptables_masquerade_bit "iptablesMasqueradeBit" i32 = 14;
    /// No longer has any effect.
    iptables_drop_bit "iptablesDropBit" i32 = 15;
    /// Features switched on or off.
    feature_gates "featureGates" BTreeMap<String, bool> = BTreeMap::new();
    /// Whether a node with swap is refused.
    fail_swap_on "failSwapOn" bool = true;
    /// What swap containers may use.
    memory_swap "memorySwap" MemorySwap = MemorySwap::default();
    /// Size of a container's log at which it is rotated.
    container_log_max_size "containerLogMaxSize" String = "10Mi".to_owned(), or zero;
    /// Most log files of a container.
    container_log_max_files "containerLogMaxFiles" i32 = 5;
    /// Most rotations at one time.
    container_log_max_workers "containerLogMaxWorkers" i32 = 1;
    /// Time between two looks at the sizes of logs.
    container_log_monitor_interval "containerLogMonitorInterval" Duration = seconds(10);
    /// How changes of ConfigMaps and Secrets are noticed.
    config_map_and_secret_change_detection_strategy "configMapAndSecretChangeDetectionStrategy" String =
        "Watch".to_owned(), or zero;
    /// Amounts held back for the system.
    system_reserved "systemReserved" BTreeMap<String, String> = BTreeMap::new();
    /// Amounts held back for Kubernetes' own daemons.
    kube_reserved "kubeReserved" BTreeMap<String, String> = BTreeMap::new();
    /// CPUs held back for the system, such as `0-3,8`.
    reserved_system_cpus "reservedSystemCPUs" String = String::new();
    /// The minor version whose hidden metrics are shown.
    show_hidden_metrics_for_version "showHiddenMetricsForVersion" String = String::new();
    /// Cgroup that enforces `systemReserved`.
    system_reserved_cgroup "systemReservedCgroup" String = String::new();
    /// Cgroup that enforces `kubeReserved`.
    kube_reserved_cgroup "kubeReservedCgroup" String = String::new();
    /// Which reservations are enforced by cgroups.
    enforce_node_allocatable "enforceNodeAllocatable" Vec<String> = vec!["pods".to_owned()];
    /// Unsafe sysctls, or prefixes ending in `*`, that pods may set.
    allowed_unsafe_sysctls "allowedUnsafeSysctls" Vec<String> = Vec::new();
    /// Folder of volume plugins of third parties.
    volume_plugin_dir "volumePluginDir" String =
        "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/".to_owned(), or zero;
    /// Identity of the machine for a cloud.
    provider_id "providerID" String = String::new();
    /// Whether memory thresholds are noticed through the kernel.
    kernel_memcg_notification "kernelMemcgNotification" bool = false;
    /// Format and verbosity of the kubelet's own log.
    logging "logging" Logging = Logging::default();
    /// Whether `/logs/` is served.
    enable_system_log_handler "enableSystemLogHandler" bool = true;
    /// Whether `/logs/` answers queries for services.
    enable_system_log_query "enableSystemLogQuery" bool = false;
    /// Time a shutdown of the node waits for pods.
    shutdown_grace_period "shutdownGracePeriod" Duration = Duration::ZERO;
    /// The part of it that is kept for critical pods.
    shutdown_grace_period_critical_pods "shutdownGracePeriodCriticalPods" Duration = Duration::ZERO;
    /// Times that a shutdown waits, by pod priority.
    shutdown_grace_period_by_pod_priority "shutdownGracePeriodByPodPriority"
        Vec<ShutdownGracePeriodByPodPriority> = Vec::new();
    /// How long restarts of failing containers are put off.
    crash_loop_back_off "crashLoopBackOff" CrashLoopBackOff = CrashLoopBackOff::default();
    /// Memory held back on each NUMA node.
    reserved_memory "reservedMemory" Vec<MemoryReservation> = Vec::new();
    /// Whether `/debug/pprof` is served.
    enable_profiling_handler "enableProfilingHandler" bool = true;
    /// Whether `/debug/flags/v` is served.
    enable_debug_flags_handler "enableDebugFlagsHandler" bool = true;
    /// Whether containers without a seccomp profile get `RuntimeDefault`.
    seccomp_default "seccompDefault" bool = false;
    /// Share of the memory limit at which containers are throttled.
    memory_throttling_factor "memoryThrottlingFactor" f64 = 0.9;
    /// `None` or `TieredReservation`.
    memory_reservation_policy "memoryReservationPolicy" String = "None".to_owned(), or zero;
    /// Taints the node registers with.
    register_with_taints "registerWithTaints" Vec<Taint> = Vec::new();
    /// Whether the kubelet creates its Node.
    register_node "registerNode" bool = true;
    /// Where spans are sent. Unset: nowhere.
    tracing "tracing" Option<Tracing> = None;
    /// Whether local storage is accounted for and limited.
    local_storage_capacity_isolation "localStorageCapacityIsolation" bool = true;
    /// The runtime's CRI socket.
    container_runtime_endpoint "containerRuntimeEndpoint" String =
        "unix:///run/containerd/containerd.sock".to_owned(), or zero;
    /// The image service's CRI socket. Empty: the runtime's.
    image_service_endpoint "imageServiceEndpoint" String = String::new();
    /// Whether a host with cgroup v1 is refused.
    fail_cgroup_v1 "failCgroupV1" bool = true;
    /// How user namespaces of pods are sized. Unset: 65536 IDs each.
    user_namespaces "userNamespaces" Option<UserNamespaces> = None;
}

/// The thresholds in force where a configuration names none.
#[must_use]
pub fn default_eviction_hard() -> BTreeMap<String, String> {
    [
        ("memory.available", "100Mi"),
        ("nodefs.available", "10%"),
        ("nodefs.inodesFree", "5%"),
        ("imagefs.available", "15%"),
        ("imagefs.inodesFree", "5%"),
    ]
    .into_iter()
    .map(|(signal, threshold)| (signal.to_owned(), threshold.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FIELD_NAMES, KubeletConfiguration};

    #[test]
    fn has_the_125_fields_of_1_36() {
        let unique: BTreeSet<_> = FIELD_NAMES.iter().collect();
        assert_eq!((FIELD_NAMES.len(), unique.len()), (125, 125));
    }

    #[test]
    fn writes_every_field_and_reads_it_back() {
        let written = serde_json::to_value(KubeletConfiguration::default()).unwrap();
        let names: BTreeSet<_> = written
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, FIELD_NAMES.iter().copied().collect());
        let read: KubeletConfiguration = serde_json::from_value(written).unwrap();
        assert_eq!(read, KubeletConfiguration::default());
    }
}
