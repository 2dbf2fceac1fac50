//! Columns of workloads and autoscalers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Column;
use super::age;
use super::read::{
    condition, containers, flag, items, labels, number, or_none, selector, shown, text,
};

const TEMPLATE: &str = "/spec/template/spec";
const JOB_TEMPLATE: &str = "/spec/jobTemplate/spec/template/spec";

const CONTAINERS: Column = Column::wide("Containers", |o, _| json!(containers(o, TEMPLATE).0));
const IMAGES: Column = Column::wide("Images", |o, _| json!(containers(o, TEMPLATE).1));
const SELECTOR: Column = Column::wide("Selector", |o, _| selector(o.pointer("/spec/selector")));

/// `kubectl get deployments`.
pub const DEPLOYMENT: &[Column] = &[
    Column::NAME,
    Column::of("Ready", |o, _| json!(ready(o))),
    Column::count("Up-to-date", |o, _| {
        json!(number(o, "/status/updatedReplicas"))
    }),
    Column::count("Available", |o, _| {
        json!(number(o, "/status/availableReplicas"))
    }),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn ready(object: &Value) -> String {
    format!(
        "{}/{}",
        number(object, "/status/readyReplicas"),
        number(object, "/spec/replicas")
    )
}

/// `kubectl get replicasets`.
pub const REPLICA_SET: &[Column] = &[
    Column::NAME,
    Column::count("Desired", |o, _| json!(number(o, "/spec/replicas"))),
    Column::count("Current", |o, _| json!(number(o, "/status/replicas"))),
    Column::count("Ready", |o, _| json!(number(o, "/status/readyReplicas"))),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// `kubectl get replicationcontrollers`.
pub const REPLICATION_CONTROLLER: &[Column] = &[
    Column::NAME,
    Column::count("Desired", |o, _| json!(number(o, "/spec/replicas"))),
    Column::count("Current", |o, _| json!(number(o, "/status/replicas"))),
    Column::count("Ready", |o, _| json!(number(o, "/status/readyReplicas"))),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    Column::wide("Selector", |o, _| {
        or_none(labels(o.pointer("/spec/selector")))
    }),
];

/// `kubectl get statefulsets`.
pub const STATEFUL_SET: &[Column] = &[
    Column::NAME,
    Column::of("Ready", |o, _| json!(ready(o))),
    Column::AGE,
    CONTAINERS,
    IMAGES,
];

/// `kubectl get daemonsets`.
pub const DAEMON_SET: &[Column] = &[
    Column::NAME,
    Column::count("Desired", |o, _| {
        json!(number(o, "/status/desiredNumberScheduled"))
    }),
    Column::count("Current", |o, _| {
        json!(number(o, "/status/currentNumberScheduled"))
    }),
    Column::count("Ready", |o, _| json!(number(o, "/status/numberReady"))),
    Column::count("Up-to-date", |o, _| {
        json!(number(o, "/status/updatedNumberScheduled"))
    }),
    Column::count("Available", |o, _| {
        json!(number(o, "/status/numberAvailable"))
    }),
    Column::of("Node Selector", |o, _| {
        or_none(labels(o.pointer("/spec/template/spec/nodeSelector")))
    }),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// `kubectl get jobs`.
pub const JOB: &[Column] = &[
    Column::NAME,
    Column::of("Status", |job, _| json!(job_status(job))),
    Column::of("Completions", |job, _| json!(completions(job))),
    Column::of("Duration", |job, now| json!(job_duration(job, now))),
    Column::AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn job_status(job: &Value) -> &'static str {
    let holds = |kind| condition(job, kind).is_some_and(|c| text(c, "/status") == "True");
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if job.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let done = number(job, "/status/succeeded");
    match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{done}/{wanted}"),
        None => match number(job, "/spec/parallelism") {
            parallel @ 2.. => format!("{done}/1 of {parallel}"),
            _ => format!("{done}/1"),
        },
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let start = text(job, "/status/startTime");
    if start.is_empty() {
        return String::new();
    }
    let end = text(job, "/status/completionTime").parse().unwrap_or(now);
    age::since(Some(start), end)
}

/// `kubectl get cronjobs`.
pub const CRON_JOB: &[Column] = &[
    Column::NAME,
    Column::at("Schedule", ".spec.schedule"),
    Column::of("Timezone", |job, _| or_none(text(job, "/spec/timeZone"))),
    Column::of("Suspend", |job, _| {
        json!(if flag(job, "/spec/suspend") {
            "True"
        } else {
            "False"
        })
    }),
    Column::count("Active", |job, _| json!(items(job, "/status/active").len())),
    Column::of("Last Schedule", |job, now| {
        match text(job, "/status/lastScheduleTime") {
            "" => or_none(""),
            time => json!(age::since(Some(time), now)),
        }
    }),
    Column::AGE,
    Column::wide("Containers", |o, _| json!(containers(o, JOB_TEMPLATE).0)),
    Column::wide("Images", |o, _| json!(containers(o, JOB_TEMPLATE).1)),
    Column::wide("Selector", |o, _| {
        selector(o.pointer("/spec/jobTemplate/spec/selector"))
    }),
];

/// `kubectl get controllerrevisions`.
pub const CONTROLLER_REVISION: &[Column] = &[
    Column::NAME,
    Column::of("Controller", |revision, _| or_none(controller(revision))),
    Column::count("Revision", |revision, _| {
        json!(number(revision, "/revision"))
    }),
    Column::AGE,
];

fn controller(object: &Value) -> String {
    let owners = items(object, "/metadata/ownerReferences");
    let Some(owner) = owners.iter().find(|owner| flag(owner, "/controller")) else {
        return String::new();
    };
    let kind = text(owner, "/kind").to_lowercase();
    match text(owner, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "/name")),
        None => format!("{kind}/{}", text(owner, "/name")),
    }
}

/// `kubectl get poddisruptionbudgets`.
pub const DISRUPTION_BUDGET: &[Column] = &[
    Column::NAME,
    Column::of("Min Available", |o, _| {
        or_not_available(o.pointer("/spec/minAvailable"))
    }),
    Column::of("Max Unavailable", |o, _| {
        or_not_available(o.pointer("/spec/maxUnavailable"))
    }),
    Column::count("Allowed Disruptions", |o, _| {
        json!(number(o, "/status/disruptionsAllowed"))
    }),
    Column::AGE,
];

fn or_not_available(value: Option<&Value>) -> Value {
    json!(if value.is_none() {
        "N/A".to_owned()
    } else {
        shown(value)
    })
}

/// `kubectl get horizontalpodautoscalers`.
pub const AUTOSCALER: &[Column] = &[
    Column::NAME,
    Column::of("Reference", |o, _| {
        let target = |field: &str| text(o, &format!("/spec/scaleTargetRef/{field}"));
        json!(format!("{}/{}", target("kind"), target("name")))
    }),
    Column::of("Targets", |o, _| json!(targets(o))),
    Column::of("MinPods", |o, _| match o.pointer("/spec/minReplicas") {
        Some(least) => json!(shown(Some(least))),
        None => json!(super::read::UNSET),
    }),
    Column::count("MaxPods", |o, _| json!(number(o, "/spec/maxReplicas"))),
    Column::count("Replicas", |o, _| {
        json!(number(o, "/status/currentReplicas"))
    }),
    Column::AGE,
];

fn targets(scaler: &Value) -> String {
    // Version 1 knows one metric.
    if let Some(wanted) = scaler.pointer("/spec/targetCPUUtilizationPercentage") {
        let now = scaler.pointer("/status/currentCPUUtilizationPercentage");
        let now = now.map_or("<unknown>".to_owned(), |now| format!("{now}%"));
        return format!("cpu: {now}/{wanted}%");
    }
    let metrics = items(scaler, "/spec/metrics");
    let now = items(scaler, "/status/currentMetrics");
    let shown: Vec<_> = metrics
        .iter()
        .enumerate()
        .take(2)
        .map(|(at, metric)| target(metric, now.get(at)))
        .collect();
    let more = metrics.len().saturating_sub(2);
    match (shown.is_empty(), more) {
        (true, _) => super::read::NONE.to_owned(),
        (_, 0) => shown.join(", "),
        _ => format!("{} + {more} more...", shown.join(", ")),
    }
}

fn target(metric: &Value, now: Option<&Value>) -> String {
    let kind = text(metric, "/type");
    let part = match kind {
        "ContainerResource" => "containerResource".to_owned(),
        _ => kind.to_lowercase(),
    };
    let wanted = &metric[&part]["target"];
    let current = now.map(|now| &now[&part]["current"]);
    let average = if wanted.get("averageValue").is_some() {
        " (avg)"
    } else {
        ""
    };
    let field = ["averageUtilization", "averageValue", "value"]
        .into_iter()
        .find(|field| wanted.get(*field).is_some())
        .unwrap_or("value");
    let unit = if field == "averageUtilization" {
        "%"
    } else {
        ""
    };
    let current = current
        .and_then(|c| c.get(field))
        .map(|v| shown(Some(v)) + unit);
    let current = current.unwrap_or_else(|| "<unknown>".to_owned());
    let wanted = shown(wanted.get(field)) + unit;
    match part.as_str() {
        "resource" | "containerResource" => {
            format!("{}: {current}/{wanted}", text(&metric[&part], "/name"))
        }
        _ => format!("{current}/{wanted}{average}"),
    }
}
