//! Workloads: `apps`, `batch`, `autoscaling`.

use super::Resource;
use crate::strategy::Strategy;

const APPS: (&str, &str) = ("apps", "v1");
const BATCH: (&str, &str) = ("batch", "v1");

const COUNTED: Strategy = Strategy {
    generation: true,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    let mut rows = vec![
        Resource::namespaced(APPS, "ControllerRevision", "controllerrevisions"),
        Resource::namespaced(APPS, "DaemonSet", "daemonsets")
            .short(&["ds"])
            .categories(&["all"])
            .status()
            .strategy(COUNTED),
        Resource::namespaced(APPS, "Deployment", "deployments")
            .short(&["deploy"])
            .categories(&["all"])
            .scale()
            .status()
            .strategy(COUNTED),
        Resource::namespaced(APPS, "ReplicaSet", "replicasets")
            .short(&["rs"])
            .categories(&["all"])
            .selectable(&["status.replicas"])
            .scale()
            .status()
            .strategy(COUNTED),
        Resource::namespaced(APPS, "StatefulSet", "statefulsets")
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
            .short(&["cj"])
            .categories(&["all"])
            .status()
            .strategy(COUNTED),
        Resource::namespaced(BATCH, "Job", "jobs")
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
        .short(&["hpa"])
        .categories(&["all"])
        .status()
    };
    vec![row("v2"), row("v1").stored_as("autoscaling", "v2")]
}
