//! Workloads: `apps`, `batch`, `autoscaling`.

use super::Resource;
use crate::columns;
use crate::defaults::apps;
use crate::strategy::Strategy;
use crate::validate;

const APPS: (&str, &str) = ("apps", "v1");
const BATCH: (&str, &str) = ("batch", "v1");

const COUNTED: Strategy = Strategy {
    generation: true,
    keeps_metadata_on_status: true,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    let mut rows = vec![
        Resource::namespaced(APPS, "ControllerRevision", "controllerrevisions")
            .validate(validate::workloads::controller_revision)
            .change(validate::workloads::controller_revision_change)
            .columns(columns::workloads::CONTROLLER_REVISION),
        Resource::namespaced(APPS, "DaemonSet", "daemonsets")
            .validate(validate::workloads::daemon_set)
            .status_rules(validate::status::daemon_set)
            .change(validate::workloads::selector_change)
            .columns(columns::workloads::DAEMON_SET)
            .defaults(apps::daemon_set)
            .short(&["ds"])
            .categories(&["all"])
            .status()
            .strategy(COUNTED),
        Resource::namespaced(APPS, "Deployment", "deployments")
            .validate(validate::workloads::deployment)
            .status_rules(validate::status::deployment)
            .change(validate::workloads::selector_change)
            .columns(columns::workloads::DEPLOYMENT)
            .defaults(apps::deployment)
            .short(&["deploy"])
            .categories(&["all"])
            .scale()
            .status()
            .strategy(Strategy {
                annotations_count: true,
                ..COUNTED
            }),
        Resource::namespaced(APPS, "ReplicaSet", "replicasets")
            .validate(validate::workloads::replica_set)
            .status_rules(validate::status::replica_set)
            .change(validate::workloads::selector_change)
            .columns(columns::workloads::REPLICA_SET)
            .defaults(apps::replica_set)
            .short(&["rs"])
            .categories(&["all"])
            .selectable(&["status.replicas"])
            .scale()
            .status()
            .strategy(COUNTED),
        Resource::namespaced(APPS, "StatefulSet", "statefulsets")
            .validate(validate::workloads::stateful_set)
            .status_rules(validate::status::stateful_set)
            .change(validate::workloads::stateful_set_change)
            .columns(columns::workloads::STATEFUL_SET)
            .defaults(apps::stateful_set)
            .short(&["sts"])
            .categories(&["all"])
            .scale()
            .status()
            .strategy(COUNTED),
    ];
    rows.extend(batch());
    rows.extend(autoscaling());
    rows
}

fn batch() -> Vec<Resource> {
    vec![
        Resource::namespaced(BATCH, "CronJob", "cronjobs")
            .validate(validate::jobs::cron_job)
            .columns(columns::workloads::CRON_JOB)
            .defaults(apps::cron_job)
            .short(&["cj"])
            .categories(&["all"])
            .status()
            .strategy(COUNTED),
        Resource::namespaced(BATCH, "Job", "jobs")
            .validate(validate::jobs::job)
            .status_rules(validate::status::job)
            .prepare(crate::prepare::job)
            .change(validate::jobs::job_change)
            .columns(columns::workloads::JOB)
            .defaults(apps::job)
            .categories(&["all"])
            .selectable(&["status.successful"])
            .status()
            .strategy(COUNTED),
    ]
}

fn autoscaling() -> Vec<Resource> {
    let row = |version| {
        Resource::namespaced(
            ("autoscaling", version),
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
        )
        .validate(validate::workloads::autoscaler)
        .status_rules(validate::status::autoscaler)
        .columns(columns::workloads::AUTOSCALER)
        .short(&["hpa"])
        .categories(&["all"])
        .status()
    };
    vec![
        row("v2").defaults(apps::autoscaler),
        row("v1")
            .defaults(apps::autoscaler_v1)
            .stored_as("autoscaling", "v2"),
    ]
}
