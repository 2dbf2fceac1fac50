//! Each rule with one value that breaks it.

use keelson_api::decode;
use serde_json::{Value, json};

use super::validate;
use crate::config::fields::KubeletConfiguration;

fn problems(value: &Value) -> Vec<(String, String)> {
    let config: KubeletConfiguration = decode::strict(value).unwrap();
    let problems = validate(&config);
    problems.into_iter().map(|p| (p.path, p.message)).collect()
}

#[test]
fn takes_the_defaults() {
    assert_eq!(problems(&json!({})), []);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn names_the_field_and_what_would_be_right() {
    let cases = [
        (json!({"port": 70000}), "port", "between 1 and 65535"),
        (json!({"readOnlyPort": -1}), "readOnlyPort", "between 0 and"),
        (
            json!({"oomScoreAdj": -2000}),
            "oomScoreAdj",
            "between -1000 and 1000",
        ),
        (
            json!({"nodeLeaseDurationSeconds": -1}),
            "nodeLeaseDurationSeconds",
            "1 or greater",
        ),
        (
            json!({"containerLogMaxFiles": 1}),
            "containerLogMaxFiles",
            "2 or greater",
        ),
        (
            json!({"containerLogMaxSize": "x"}),
            "containerLogMaxSize",
            "regular expression",
        ),
        (
            json!({"containerLogMonitorInterval": "1s"}),
            "containerLogMonitorInterval",
            "at least 3s",
        ),
        (
            json!({"syncFrequency": "-1s"}),
            "syncFrequency",
            "greater than zero",
        ),
        (
            json!({"cgroupDriver": "x"}),
            "cgroupDriver",
            "\"cgroupfs\", \"systemd\"",
        ),
        (
            json!({"hairpinMode": "x"}),
            "hairpinMode",
            "\"hairpin-veth\"",
        ),
        (
            json!({"imageGCLowThresholdPercent": 90}),
            "imageGCLowThresholdPercent",
            "less than",
        ),
        (
            json!({"imageMaximumGCAge": "1m"}),
            "imageMaximumGCAge",
            "greater than imageMinimumGCAge",
        ),
        (
            json!({"maxParallelImagePulls": 3}),
            "maxParallelImagePulls",
            "serializeImagePulls",
        ),
        (
            json!({"cpuCFSQuotaPeriod": "10ms"}),
            "cpuCFSQuotaPeriod",
            "CustomCPUCFSQuotaPeriod",
        ),
        (
            json!({"featureGates": {"Nope": true}}),
            "featureGates.Nope",
            "unrecognized feature gate",
        ),
        (
            json!({"evictionHard": {"memory.free": "1Gi"}}),
            "evictionHard.memory.free",
            "unknown",
        ),
        (
            json!({"evictionHard": {"pid.available": "120%"}}),
            "evictionHard.pid.available",
            "0%",
        ),
        (
            json!({"evictionSoft": {"pid.available": "1k"}}),
            "evictionSoft.pid.available",
            "evictionSoftGracePeriod",
        ),
        (
            json!({"systemReserved": {"gpu": "1"}}),
            "systemReserved.gpu",
            "\"cpu\"",
        ),
        (
            json!({"kubeReserved": {"cpu": "-1"}}),
            "kubeReserved.cpu",
            "not be negative",
        ),
        (
            json!({"enforceNodeAllocatable": ["kube-reserved"]}),
            "enforceNodeAllocatable",
            "kubeReservedCgroup",
        ),
        (
            json!({"cgroupsPerQOS": false}),
            "enforceNodeAllocatable",
            "requires cgroupsPerQOS",
        ),
        (
            json!({"reservedSystemCPUs": "3-1"}),
            "reservedSystemCPUs",
            "0-3,8",
        ),
        (
            json!({"shutdownGracePeriodCriticalPods": "5s"}),
            "shutdownGracePeriodCriticalPods",
            "most",
        ),
        (json!({"runOnce": true}), "runOnce", "deprecated"),
        (
            json!({"podLogsDir": "/var//log"}),
            "podLogsDir",
            "empty parts",
        ),
        (json!({"tlsCertFile": "/a"}), "tlsCertFile", "together"),
        (
            json!({"clusterDNS": ["10.0.0.10", "dns"]}),
            "clusterDNS[1]",
            "IP address",
        ),
        (
            json!({"staticPodURL": "ftp://x"}),
            "staticPodURL",
            "http://",
        ),
        (
            json!({"registerWithTaints": [{"key": "a", "effect": "x"}]}),
            "registerWithTaints[0].effect",
            "NoSchedule",
        ),
        (
            json!({"crashLoopBackOff": {"maxContainerRestartPeriod": "301s"}}),
            "crashLoopBackOff.maxContainerRestartPeriod",
            "1s and 300s",
        ),
        (
            json!({"memoryThrottlingFactor": 1.5}),
            "memoryThrottlingFactor",
            "at most 1.0",
        ),
        (
            json!({"userNamespaces": {"idsPerPod": 1000}}),
            "userNamespaces.idsPerPod",
            "65536",
        ),
    ];
    for (value, path, message) in cases {
        let got = problems(&value);
        let found = got.iter().any(|(p, m)| p == path && m.contains(message));
        assert!(found, "{value} gave {got:?}");
    }
}
