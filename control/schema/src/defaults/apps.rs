//! Defaults of workloads: `apps`, `batch`, `autoscaling`.

use serde_json::{Value, json};

use super::core::persistent_volume_claim;
use super::fill::Default::{AbsentText, Bool, Number, Text};
use super::fill::{Rule, apply_rules, at, items, pod_spec, text};

const DEPLOYMENT: &[Rule] = &[
    ("spec.replicas", Number(1)),
    ("spec.strategy.type", Text("RollingUpdate")),
    ("spec.revisionHistoryLimit", Number(10)),
    ("spec.progressDeadlineSeconds", Number(600)),
];

const DEPLOYMENT_ROLLING: &[Rule] = &[
    (
        "spec.strategy.rollingUpdate.maxUnavailable",
        AbsentText("25%"),
    ),
    ("spec.strategy.rollingUpdate.maxSurge", AbsentText("25%")),
];

/// Fills in a deployment.
pub fn deployment(object: &mut Value) {
    apply_rules(object, DEPLOYMENT);
    if text(object, "/spec/strategy/type") == "RollingUpdate" {
        apply_rules(object, DEPLOYMENT_ROLLING);
    }
    pod_spec(at(object, &["spec", "template"]));
}

/// Fills in a replica set.
pub fn replica_set(object: &mut Value) {
    apply_rules(object, &[("spec.replicas", Number(1))]);
    pod_spec(at(object, &["spec", "template"]));
}

const DAEMON_SET: &[Rule] = &[
    ("spec.updateStrategy.type", Text("RollingUpdate")),
    ("spec.revisionHistoryLimit", Number(10)),
];

const DAEMON_SET_ROLLING: &[Rule] = &[
    (
        "spec.updateStrategy.rollingUpdate.maxUnavailable",
        Number(1),
    ),
    ("spec.updateStrategy.rollingUpdate.maxSurge", Number(0)),
];

/// Fills in a daemon set.
pub fn daemon_set(object: &mut Value) {
    apply_rules(object, DAEMON_SET);
    if text(object, "/spec/updateStrategy/type") == "RollingUpdate" {
        apply_rules(object, DAEMON_SET_ROLLING);
    }
    pod_spec(at(object, &["spec", "template"]));
}

const STATEFUL_SET: &[Rule] = &[
    ("spec.podManagementPolicy", Text("OrderedReady")),
    ("spec.updateStrategy.type", Text("RollingUpdate")),
    (
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
        Text("Retain"),
    ),
    (
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
        Text("Retain"),
    ),
    ("spec.replicas", Number(1)),
    ("spec.revisionHistoryLimit", Number(10)),
    ("spec.volumeClaimTemplates[].apiVersion", Text("v1")),
    (
        "spec.volumeClaimTemplates[].kind",
        Text("PersistentVolumeClaim"),
    ),
];

/// Fills in a stateful set.
pub fn stateful_set(object: &mut Value) {
    apply_rules(object, STATEFUL_SET);
    if text(object, "/spec/updateStrategy/type") == "RollingUpdate" {
        apply_rules(
            object,
            &[("spec.updateStrategy.rollingUpdate.partition", Number(0))],
        );
    }
    for claim in items(object, &["spec", "volumeClaimTemplates"]) {
        persistent_volume_claim(claim);
    }
    pod_spec(at(object, &["spec", "template"]));
}

const JOB: &[Rule] = &[
    ("spec.completionMode", AbsentText("NonIndexed")),
    ("spec.suspend", Bool(false)),
    ("spec.manualSelector", Bool(false)),
];

/// Fills in a job.
pub fn job(object: &mut Value) {
    pod_spec(at(object, &["spec", "template"]));
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if let (Some(labels), Some(metadata)) = (labels, at(object, &["metadata"])) {
        metadata.entry("labels").or_insert(labels);
    }
    let Some(spec) = at(object, &["spec"]) else {
        return;
    };
    let given = |name: &str| spec.get(name).is_some_and(|v| !v.is_null());
    let (completions, parallelism) = (given("completions"), given("parallelism"));
    let per_index = given("backoffLimitPerIndex");
    let policy = if given("podFailurePolicy") {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    if !completions && !parallelism {
        spec.insert("completions".to_owned(), json!(1));
    }
    let limit = if per_index { i64::from(i32::MAX) } else { 6 };
    let rules = [
        ("spec.parallelism", Number(1)),
        ("spec.backoffLimit", Number(limit)),
        ("spec.podReplacementPolicy", AbsentText(policy)),
    ];
    apply_rules(object, &rules);
    apply_rules(object, JOB);
    for rule in items(object, &["spec", "podFailurePolicy", "rules"]) {
        apply_rules(rule, &[("onPodConditions[].status", Text("True"))]);
    }
}

const CRON_JOB: &[Rule] = &[
    ("spec.concurrencyPolicy", Text("Allow")),
    ("spec.suspend", Bool(false)),
    ("spec.successfulJobsHistoryLimit", Number(3)),
    ("spec.failedJobsHistoryLimit", Number(1)),
];

/// Fills in a cron job.
pub fn cron_job(object: &mut Value) {
    apply_rules(object, CRON_JOB);
    pod_spec(at(object, &["spec", "jobTemplate", "spec", "template"]));
}

/// Fills in an autoscaler in version 1.
pub fn autoscaler_v1(object: &mut Value) {
    apply_rules(object, &[("spec.minReplicas", Number(1))]);
}

/// Fills in an autoscaler in version 2.
pub fn autoscaler(object: &mut Value) {
    apply_rules(object, &[("spec.minReplicas", Number(1))]);
    let Some(spec) = at(object, &["spec"]) else {
        return;
    };
    let metrics = spec.entry("metrics").or_insert(Value::Null);
    if metrics.as_array().is_none_or(Vec::is_empty) {
        *metrics = json!([{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    }
    if spec.get("behavior").is_some_and(Value::is_object) {
        scaling(object);
    }
}

fn scaling(object: &mut Value) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let rules = [
        ("spec.behavior.scaleUp.selectPolicy", AbsentText("Max")),
        (
            "spec.behavior.scaleUp.stabilizationWindowSeconds",
            Number(0),
        ),
        ("spec.behavior.scaleDown.selectPolicy", AbsentText("Max")),
    ];
    apply_rules(object, &rules);
    for (direction, policies) in [
        ("scaleUp", json!([pods, percent.clone()])),
        ("scaleDown", json!([percent])),
    ] {
        if let Some(rules) = at(object, &["spec", "behavior", direction]) {
            rules.entry("policies").or_insert(policies);
        }
    }
}
