//! The rules, grouped by what they are about.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keelson_api::duration::Duration;

use super::Findings;
use crate::config::fields::KubeletConfiguration;
use crate::config::gates::Gates;

const PORT: (i64, i64) = (1, 65_535);

pub(super) fn ranges(c: &KubeletConfiguration, found: &mut Findings) {
    found.range("port", c.port.into(), PORT.0, PORT.1);
    found.range("readOnlyPort", c.read_only_port.into(), 0, PORT.1);
    found.range("healthzPort", c.healthz_port.into(), 0, PORT.1);
    found.range("oomScoreAdj", c.oom_score_adj.into(), -1000, 1000);
    found.range(
        "iptablesMasqueradeBit",
        c.iptables_masquerade_bit.into(),
        0,
        31,
    );
    found.range("iptablesDropBit", c.iptables_drop_bit.into(), 0, 31);
    found.at_least(
        "nodeLeaseDurationSeconds",
        c.node_lease_duration_seconds.into(),
        1,
    );
    found.at_least("nodeStatusMaxImages", c.node_status_max_images.into(), -1);
    found.at_least(
        "containerLogMaxWorkers",
        c.container_log_max_workers.into(),
        1,
    );
    found.at_least("containerLogMaxFiles", c.container_log_max_files.into(), 2);
    found.at_least("maxOpenFiles", c.max_open_files, 0);
    let not_negative = [
        ("eventBurst", c.event_burst),
        ("eventRecordQPS", c.event_record_qps),
        ("kubeAPIBurst", c.kube_api_burst),
        ("kubeAPIQPS", c.kube_api_qps),
        ("maxPods", c.max_pods),
        ("podsPerCore", c.pods_per_core),
        ("registryBurst", c.registry_burst),
        ("registryPullQPS", c.registry_pull_qps),
        ("evictionMaxPodGracePeriod", c.eviction_max_pod_grace_period),
    ];
    for (path, value) in not_negative {
        found.at_least(path, value.into(), 0);
    }
    periods(c, found);
}

fn periods(c: &KubeletConfiguration, found: &mut Findings) {
    let positive = [
        ("syncFrequency", c.sync_frequency),
        ("fileCheckFrequency", c.file_check_frequency),
        ("httpCheckFrequency", c.http_check_frequency),
        ("runtimeRequestTimeout", c.runtime_request_timeout),
    ];
    for (path, value) in positive {
        found.unless(value > Duration::ZERO, path, || {
            format!("{value} must be greater than zero")
        });
    }
    let monitor = c.container_log_monitor_interval;
    found.unless(
        monitor >= Duration::from_secs(3),
        "containerLogMonitorInterval",
        || format!("{monitor} must be at least 3s"),
    );
    let back_off = c.crash_loop_back_off.max_container_restart_period;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(300);
    found.unless(
        allowed.contains(&back_off),
        "crashLoopBackOff.maxContainerRestartPeriod",
        || format!("{back_off} must be between 1s and 300s, inclusive"),
    );
}

pub(super) fn choices(c: &KubeletConfiguration, gates: &Gates, found: &mut Findings) {
    found.choice(
        "authorization.mode",
        &c.authorization.mode,
        &["AlwaysAllow", "Webhook"],
    );
    found.choice("cgroupDriver", &c.cgroup_driver, &["cgroupfs", "systemd"]);
    found.choice(
        "cpuManagerPolicy",
        &c.cpu_manager_policy,
        &["none", "static"],
    );
    found.choice(
        "memoryManagerPolicy",
        &c.memory_manager_policy,
        &["None", "Static"],
    );
    let numa = ["none", "best-effort", "restricted", "single-numa-node"];
    found.choice("topologyManagerPolicy", &c.topology_manager_policy, &numa);
    found.choice(
        "topologyManagerScope",
        &c.topology_manager_scope,
        &["container", "pod"],
    );
    let hairpin = ["none", "hairpin-veth", "promiscuous-bridge"];
    found.choice("hairpinMode", &c.hairpin_mode, &hairpin);
    let swap = ["", "NoSwap", "LimitedSwap"];
    found.choice(
        "memorySwap.swapBehavior",
        &c.memory_swap.swap_behavior,
        &swap,
    );
    let strategy = &c.config_map_and_secret_change_detection_strategy;
    let strategies = ["Get", "Cache", "Watch"];
    found.choice(
        "configMapAndSecretChangeDetectionStrategy",
        strategy,
        &strategies,
    );
    let reservation = ["None", "TieredReservation"];
    found.choice(
        "memoryReservationPolicy",
        &c.memory_reservation_policy,
        &reservation,
    );
    let tiered = c.memory_reservation_policy == "TieredReservation";
    found.unless(
        !tiered || gates.enabled("MemoryQoS"),
        "memoryReservationPolicy",
        || "\"TieredReservation\" requires feature gate MemoryQoS".to_owned(),
    );
    found.choice("logging.format", &c.logging.format, &["text", "json"]);
    let versions = [
        "",
        "VersionTLS10",
        "VersionTLS11",
        "VersionTLS12",
        "VersionTLS13",
    ];
    found.choice("tlsMinVersion", &c.tls_min_version, &versions);
}

pub(super) fn amounts(c: &KubeletConfiguration, found: &mut Findings) {
    if let Some(size) = found.quantity("containerLogMaxSize", &c.container_log_max_size) {
        found.unless(size.value() > 0, "containerLogMaxSize", || {
            format!("{size} must be greater than zero")
        });
    }
    let factor = c.memory_throttling_factor;
    found.unless(
        factor > 0.0 && factor <= 1.0,
        "memoryThrottlingFactor",
        || format!("{factor} must be greater than 0 and at most 1.0"),
    );
    for (index, reservation) in c.reserved_memory.iter().enumerate() {
        for (kind, amount) in &reservation.limits {
            let path = format!("reservedMemory[{index}].limits.{kind}");
            let known = kind == "memory" || kind.starts_with("hugepages-");
            found.unless(known, &path, || {
                format!("{kind:?} must be \"memory\" or \"hugepages-<size>\"")
            });
            if let Some(amount) = found.quantity(&path, &amount.0) {
                found.unless(amount.signum() > 0, &path, || {
                    "must be greater than zero".to_owned()
                });
            }
        }
    }
    if let Some(namespaces) = &c.user_namespaces {
        let ids = namespaces.ids_per_pod;
        let right = ids > 0 && ids % 65_536 == 0 && ids < 1 << 32;
        found.unless(right, "userNamespaces.idsPerPod", || {
            format!("{ids} must be a multiple of 65536 and less than 4294967296")
        });
    }
}

pub(super) fn images(c: &KubeletConfiguration, found: &mut Findings) {
    let (low, high) = (
        c.image_gc_low_threshold_percent,
        c.image_gc_high_threshold_percent,
    );
    found.range("imageGCHighThresholdPercent", high.into(), 0, 100);
    found.range("imageGCLowThresholdPercent", low.into(), 0, 100);
    found.unless(low < high, "imageGCLowThresholdPercent", || {
        format!("{low} must be less than imageGCHighThresholdPercent {high}")
    });
    found.not_negative("imageMinimumGCAge", c.image_minimum_gc_age);
    found.not_negative("imageMaximumGCAge", c.image_maximum_gc_age);
    let (min, max) = (c.image_minimum_gc_age, c.image_maximum_gc_age);
    found.unless(max.is_zero() || max > min, "imageMaximumGCAge", || {
        format!("{max} must be greater than imageMinimumGCAge {min}")
    });
    if let Some(parallel) = c.max_parallel_image_pulls {
        found.at_least("maxParallelImagePulls", parallel.into(), 1);
        found.unless(
            !(c.serialize_image_pulls && parallel > 1),
            "maxParallelImagePulls",
            || format!("{parallel} cannot be larger than 1 unless serializeImagePulls is false"),
        );
    }
    let policy = &c.image_pull_credentials_verification_policy;
    let policies = [
        "NeverVerify",
        "NeverVerifyPreloadedImages",
        "NeverVerifyAllowlistedImages",
        "AlwaysVerify",
    ];
    found.choice("imagePullCredentialsVerificationPolicy", policy, &policies);
    let listed = !c.preloaded_images_verification_allowlist.is_empty();
    let wanted = policy == "NeverVerifyAllowlistedImages";
    found.unless(
        !listed || wanted,
        "preloadedImagesVerificationAllowlist",
        || {
            "requires imagePullCredentialsVerificationPolicy \"NeverVerifyAllowlistedImages\""
                .to_owned()
        },
    );
}

pub(super) fn reservations(c: &KubeletConfiguration, found: &mut Findings) {
    let maps = [
        ("systemReserved", &c.system_reserved),
        ("kubeReserved", &c.kube_reserved),
    ];
    for (field, map) in maps {
        for (name, amount) in map {
            let path = format!("{field}.{name}");
            let known = ["cpu", "memory", "ephemeral-storage", "pid"];
            found.choice(&path, name, &known);
            if let Some(amount) = found.quantity(&path, amount) {
                found.unless(amount.signum() >= 0, &path, || {
                    format!("{amount} must not be negative")
                });
            }
        }
    }
    let rooted = c.system_cgroups.is_empty() || !c.cgroup_root.is_empty();
    found.unless(rooted, "systemCgroups", || "requires cgroupRoot".to_owned());
    enforcement(c, found);
    reserved_cpus(c, found);
}

fn enforcement(c: &KubeletConfiguration, found: &mut Findings) {
    const FIELD: &str = "enforceNodeAllocatable";
    let mut seen = BTreeSet::new();
    for value in &c.enforce_node_allocatable {
        found.unless(seen.insert(value.as_str()), FIELD, || {
            format!("{value:?} is there twice")
        });
        match value.as_str() {
            "none" => {
                found.unless(c.enforce_node_allocatable.len() == 1, FIELD, || {
                    "\"none\" must stand alone".to_owned()
                });
                continue;
            }
            "pods" => {}
            "system-reserved" | "system-reserved-compressible" => {
                found.unless(!c.system_reserved_cgroup.is_empty(), FIELD, || {
                    format!("{value:?} requires systemReservedCgroup")
                });
            }
            "kube-reserved" | "kube-reserved-compressible" => {
                found.unless(!c.kube_reserved_cgroup.is_empty(), FIELD, || {
                    format!("{value:?} requires kubeReservedCgroup")
                });
            }
            other => found.choice(
                FIELD,
                other,
                &[
                    "none",
                    "pods",
                    "system-reserved",
                    "system-reserved-compressible",
                    "kube-reserved",
                    "kube-reserved-compressible",
                ],
            ),
        }
        found.unless(c.cgroups_per_qos, FIELD, || {
            format!("{value:?} requires cgroupsPerQOS")
        });
    }
    for who in ["system", "kube"] {
        let (whole, part) = (
            format!("{who}-reserved"),
            format!("{who}-reserved-compressible"),
        );
        let both = seen.contains(whole.as_str()) && seen.contains(part.as_str());
        found.unless(!both, FIELD, || {
            format!("{whole:?} and {part:?} exclude each other")
        });
    }
}

fn reserved_cpus(c: &KubeletConfiguration, found: &mut Findings) {
    if c.reserved_system_cpus.is_empty() {
        return;
    }
    let alone = c.system_reserved_cgroup.is_empty() && c.kube_reserved_cgroup.is_empty();
    found.unless(alone, "reservedSystemCPUs", || {
        "cannot be used with systemReservedCgroup or kubeReservedCgroup".to_owned()
    });
    let cpus = &c.reserved_system_cpus;
    found.unless(is_cpu_list(cpus), "reservedSystemCPUs", || {
        format!("{cpus:?} must be a list of CPUs such as \"0-3,8\"")
    });
}

fn is_cpu_list(text: &str) -> bool {
    text.split(',').all(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) => first <= last,
            _ => false,
        }
    })
}

const SIGNALS: [&str; 9] = [
    "memory.available",
    "allocatableMemory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
];

pub(super) fn eviction(c: &KubeletConfiguration, found: &mut Findings) {
    let thresholds = [
        ("evictionHard", &c.eviction_hard),
        ("evictionSoft", &c.eviction_soft),
        ("evictionMinimumReclaim", &c.eviction_minimum_reclaim),
    ];
    for (field, map) in thresholds {
        for (signal, threshold) in map {
            let path = format!("{field}.{signal}");
            found.unless(SIGNALS.contains(&signal.as_str()), &path, || {
                format!(
                    "unknown eviction signal {signal:?}: known are {}",
                    SIGNALS.join(", ")
                )
            });
            threshold_form(&path, threshold, found);
        }
    }
    for signal in c.eviction_soft.keys() {
        let graced = c.eviction_soft_grace_period.contains_key(signal);
        found.unless(graced, &format!("evictionSoft.{signal}"), || {
            format!("grace period must be specified for the soft eviction threshold {signal:?} in evictionSoftGracePeriod")
        });
    }
    for (signal, grace) in &c.eviction_soft_grace_period {
        let path = format!("evictionSoftGracePeriod.{signal}");
        match Duration::parse(grace) {
            Ok(grace) => found.not_negative(&path, grace),
            Err(error) => found.add(&path, error.to_string()),
        }
    }
    found.not_negative(
        "evictionPressureTransitionPeriod",
        c.eviction_pressure_transition_period,
    );
}

/// An amount, or a percentage of the capacity.
fn threshold_form(path: &str, threshold: &str, found: &mut Findings) {
    if let Some(percent) = threshold.strip_suffix('%') {
        let right = percent
            .parse::<f64>()
            .is_ok_and(|p| (0.0..=100.0).contains(&p));
        found.unless(right, path, || {
            format!("{threshold:?} must be between 0% and 100%")
        });
        return;
    }
    if let Some(amount) = found.quantity(path, threshold) {
        found.unless(amount.signum() >= 0, path, || {
            format!("{amount} must not be negative")
        });
    }
}

pub(super) fn shutdown(c: &KubeletConfiguration, gates: &Gates, found: &mut Findings) {
    let (total, critical) = (
        c.shutdown_grace_period,
        c.shutdown_grace_period_critical_pods,
    );
    let by_priority = !c.shutdown_grace_period_by_pod_priority.is_empty();
    let timed = !total.is_zero() || !critical.is_zero();
    for (path, value) in [
        ("shutdownGracePeriod", total),
        ("shutdownGracePeriodCriticalPods", critical),
    ] {
        let right = value.is_zero() || value >= Duration::from_secs(1);
        found.unless(right, path, || {
            format!("{value} must be zero or at least 1s")
        });
    }
    found.unless(critical <= total, "shutdownGracePeriodCriticalPods", || {
        format!("{critical} must be at most shutdownGracePeriod {total}")
    });
    found.unless(
        !timed || gates.enabled("GracefulNodeShutdown"),
        "shutdownGracePeriod",
        || "requires feature gate GracefulNodeShutdown".to_owned(),
    );
    found.unless(
        !(by_priority && timed),
        "shutdownGracePeriodByPodPriority",
        || "cannot be used together with shutdownGracePeriod".to_owned(),
    );
    let gate = "GracefulNodeShutdownBasedOnPodPriority";
    found.unless(
        !by_priority || gates.enabled(gate),
        "shutdownGracePeriodByPodPriority",
        || format!("requires feature gate {gate}"),
    );
}

pub(super) fn gated(c: &KubeletConfiguration, gates: &Gates, found: &mut Findings) {
    let period = c.cpu_cfs_quota_period;
    let default_period = period == Duration::from_millis(100);
    if gates.enabled("CustomCPUCFSQuotaPeriod") {
        let allowed = Duration::from_millis(1)..=Duration::from_secs(1);
        found.unless(allowed.contains(&period), "cpuCFSQuotaPeriod", || {
            format!("{period} must be between 1ms and 1s, inclusive")
        });
    } else {
        found.unless(default_period, "cpuCFSQuotaPeriod", || {
            format!("{period} requires feature gate CustomCPUCFSQuotaPeriod")
        });
    }
    let gate = "RotateKubeletServerCertificate";
    found.unless(
        !c.server_tls_bootstrap || gates.enabled(gate),
        "serverTLSBootstrap",
        || format!("requires feature gate {gate}"),
    );
    found.unless(
        c.qos_reserved.is_empty() || gates.enabled("QOSReserved"),
        "qosReserved",
        || "requires feature gate QOSReserved".to_owned(),
    );
    found.unless(!c.run_once, "runOnce", || {
        "run-once mode is deprecated and must not be set".to_owned()
    });
    let logs = c.enable_system_log_handler && gates.enabled("NodeLogQuery");
    found.unless(
        !c.enable_system_log_query || logs,
        "enableSystemLogQuery",
        || "requires enableSystemLogHandler and feature gate NodeLogQuery".to_owned(),
    );
    if let Some(rate) = c.tracing.as_ref().and_then(|t| t.sampling_rate_per_million) {
        found.range("tracing.samplingRatePerMillion", rate.into(), 0, 1_000_000);
    }
}

pub(super) fn paths(c: &KubeletConfiguration, found: &mut Findings) {
    let dir = &c.pod_logs_dir;
    found.unless(dir.starts_with('/'), "podLogsDir", || {
        format!("{dir:?} must be absolute")
    });
    let trimmed = dir.strip_suffix('/').unwrap_or(dir);
    let clean = trimmed
        .split('/')
        .skip(1)
        .all(|part| !matches!(part, "" | "." | ".."));
    found.unless(clean, "podLogsDir", || {
        format!("{dir:?} must not have empty parts, \".\" or \"..\"")
    });
    found.unless(dir.is_ascii(), "podLogsDir", || {
        format!("{dir:?} must be ASCII")
    });
    for (path, endpoint) in [
        ("containerRuntimeEndpoint", &c.container_runtime_endpoint),
        ("imageServiceEndpoint", &c.image_service_endpoint),
    ] {
        let bare = endpoint.starts_with('/') || endpoint.is_empty();
        found.unless(bare || endpoint.starts_with("unix:///"), path, || {
            format!(
                "{endpoint:?} must be a socket such as \"unix:///run/containerd/containerd.sock\""
            )
        });
    }
    let (cert, key) = (&c.tls_cert_file, &c.tls_private_key_file);
    found.unless(cert.is_empty() == key.is_empty(), "tlsCertFile", || {
        "tlsCertFile and tlsPrivateKeyFile must be given together".to_owned()
    });
}

pub(super) fn network(c: &KubeletConfiguration, found: &mut Findings) {
    for (path, address) in [
        ("address", &c.address),
        ("healthzBindAddress", &c.healthz_bind_address),
    ] {
        found.unless(address.parse::<IpAddr>().is_ok(), path, || {
            format!("{address:?} must be an IP address")
        });
    }
    for (index, server) in c.cluster_dns.iter().enumerate() {
        found.unless(
            server.parse::<IpAddr>().is_ok(),
            &format!("clusterDNS[{index}]"),
            || format!("{server:?} must be an IP address"),
        );
    }
    let url = &c.static_pod_url;
    let http = url.is_empty() || url.starts_with("http://") || url.starts_with("https://");
    found.unless(http, "staticPodURL", || {
        format!("{url:?} must start with \"http://\" or \"https://\"")
    });
}

pub(super) fn taints(c: &KubeletConfiguration, found: &mut Findings) {
    for (index, taint) in c.register_with_taints.iter().enumerate() {
        let path = format!("registerWithTaints[{index}]");
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        found.choice(&format!("{path}.effect"), &taint.effect, &effects);
        found.unless(!taint.key.is_empty(), &format!("{path}.key"), || {
            "is required".to_owned()
        });
        found.unless(
            taint.time_added.is_none(),
            &format!("{path}.timeAdded"),
            || "must not be set".to_owned(),
        );
    }
}
