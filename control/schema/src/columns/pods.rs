//! Columns of pods, nodes, namespaces and events.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Column;
use super::age;
use super::read::{condition, flag, items, labels, number, or_none, text, texts};

/// `kubectl get pods`.
pub const POD: &[Column] = &[
    Column::NAME,
    Column::of("Ready", |pod, now| json!(summary(pod, now).ready)),
    Column::of("Status", |pod, now| json!(summary(pod, now).reason)),
    Column::of("Restarts", |pod, now| json!(summary(pod, now).restarts)),
    Column::AGE,
    Column::wide("IP", |pod, _| or_none(text(pod, "/status/podIP"))),
    Column::wide("Node", |pod, _| or_none(text(pod, "/spec/nodeName"))),
    Column::wide("Nominated Node", |pod, _| {
        or_none(text(pod, "/status/nominatedNodeName"))
    }),
    Column::wide("Readiness Gates", |pod, _| or_none(readiness_gates(pod))),
];

struct Summary {
    ready: String,
    reason: String,
    restarts: String,
}

/// What is counted over the containers of a pod.
#[derive(Default)]
struct Count {
    ready: i64,
    restarts: i64,
    last_restart: Option<String>,
}

impl Count {
    fn restarted(&mut self, status: &Value) {
        self.restarts += number(status, "/restartCount");
        let finished = text(status, "/lastState/terminated/finishedAt").to_owned();
        if !finished.is_empty() {
            self.last_restart = self.last_restart.take().max(Some(finished));
        }
    }
}

fn summary(pod: &Value, now: Timestamp) -> Summary {
    let mut reason = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    if condition(pod, "PodScheduled").is_some_and(|c| text(c, "/reason") == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut reason);
    }
    let sidecars = items(pod, "/spec/initContainers")
        .iter()
        .filter(|c| is_sidecar(c))
        .count();
    let (mut count, mut sidecar_count) = (Count::default(), Count::default());
    let initializing = initializing(pod, &mut count, &mut sidecar_count);
    if let Some(text) = &initializing {
        reason.clone_from(text);
    }
    let initialized = condition(pod, "Initialized").is_some_and(|c| text(c, "/status") == "True");
    if initializing.is_none() || initialized {
        (count.restarts, count.last_restart) = (sidecar_count.restarts, sidecar_count.last_restart);
        running(pod, &mut count, &mut reason);
    }
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        let done = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        match text(pod, "/status/reason") {
            "NodeLost" => "Unknown".clone_into(&mut reason),
            _ if !done => "Terminating".clone_into(&mut reason),
            _ => {}
        }
    }
    let total = items(pod, "/spec/containers").len() + sidecars;
    let restarts = match &count.last_restart {
        Some(time) if count.restarts > 0 => {
            format!("{} ({} ago)", count.restarts, age::since(Some(time), now))
        }
        _ => count.restarts.to_string(),
    };
    Summary {
        ready: format!("{}/{total}", count.ready),
        reason,
        restarts,
    }
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}

/// How far the init containers are, while they are not done.
fn initializing(pod: &Value, count: &mut Count, sidecars: &mut Count) -> Option<String> {
    let specs = items(pod, "/spec/initContainers");
    for (at, status) in items(pod, "/status/initContainerStatuses")
        .iter()
        .enumerate()
    {
        count.restarted(status);
        let spec = specs.iter().find(|c| c["name"] == status["name"]);
        let sidecar = spec.is_some_and(is_sidecar);
        if sidecar {
            sidecars.restarted(status);
        }
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|t| number(t, "/exitCode") == 0) {
            continue;
        }
        if sidecar && flag(status, "/started") {
            count.ready += i64::from(flag(status, "/ready"));
            continue;
        }
        return Some(match (terminated, text(status, "/state/waiting/reason")) {
            (Some(terminated), _) => format!("Init:{}", end(terminated)),
            (None, "" | "PodInitializing") => format!("Init:{at}/{}", specs.len()),
            (None, reason) => format!("Init:{reason}"),
        });
    }
    None
}

/// How a container ended.
fn end(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn running(pod: &Value, count: &mut Count, reason: &mut String) {
    let mut runs = false;
    for status in items(pod, "/status/containerStatuses").iter().rev() {
        count.restarted(status);
        let waiting = text(status, "/state/waiting/reason");
        let terminated = status.pointer("/state/terminated");
        if !waiting.is_empty() {
            waiting.clone_into(reason);
        } else if let Some(terminated) = terminated {
            *reason = end(terminated);
        } else if flag(status, "/ready") && status.pointer("/state/running").is_some() {
            runs = true;
            count.ready += 1;
        }
    }
    if reason == "Completed" && runs {
        let ready = condition(pod, "Ready").is_some_and(|c| text(c, "/status") == "True");
        if ready { "Running" } else { "NotReady" }.clone_into(reason);
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return String::new();
    }
    let met = |gate: &&Value| {
        let kind = text(gate, "/conditionType");
        condition(pod, kind).is_some_and(|c| text(c, "/status") == "True")
    };
    format!("{}/{}", gates.iter().filter(met).count(), gates.len())
}

/// `kubectl get nodes`.
pub const NODE: &[Column] = &[
    Column::NAME,
    Column::of("Status", |node, _| json!(node_status(node))),
    Column::of("Roles", |node, _| or_none(roles(node))),
    Column::AGE,
    Column::of("Version", |node, _| {
        json!(text(node, "/status/nodeInfo/kubeletVersion"))
    }),
    Column::wide("Internal-IP", |node, _| {
        or_none(address(node, "InternalIP"))
    }),
    Column::wide("External-IP", |node, _| {
        or_none(address(node, "ExternalIP"))
    }),
    Column::wide("OS-Image", |node, _| {
        or_unknown(text(node, "/status/nodeInfo/osImage"))
    }),
    Column::wide("Kernel-Version", |node, _| {
        or_unknown(text(node, "/status/nodeInfo/kernelVersion"))
    }),
    Column::wide("Container-Runtime", |node, _| {
        or_unknown(text(node, "/status/nodeInfo/containerRuntimeVersion"))
    }),
];

fn or_unknown(text: &str) -> Value {
    json!(if text.is_empty() { "<unknown>" } else { text })
}

fn node_status(node: &Value) -> String {
    let status = match condition(node, "Ready").map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = if flag(node, "/spec/unschedulable") {
        ",SchedulingDisabled"
    } else {
        ""
    };
    format!("{status}{closed}")
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/")
    {
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let mut roles: Vec<_> = labels.into_iter().flatten().filter_map(role).collect();
    roles.retain(|role| !role.is_empty());
    roles.sort();
    roles.dedup();
    roles.join(",")
}

fn address<'v>(node: &'v Value, kind: &str) -> &'v str {
    let found = items(node, "/status/addresses")
        .iter()
        .find(|a| text(a, "/type") == kind);
    found.map_or("", |address| text(address, "/address"))
}

/// `kubectl get namespaces`.
pub const NAMESPACE: &[Column] = &[
    Column::NAME,
    Column::of("Status", |namespace, _| {
        json!(text(namespace, "/status/phase"))
    }),
    Column::AGE,
];

/// `kubectl get events`.
pub const EVENT: &[Column] = &[
    Column::of("Last Seen", |event, now| json!(last_seen(event, now))),
    Column::at("Type", ".type"),
    Column::at("Reason", ".reason"),
    Column::of("Object", |event, _| json!(involved(event))),
    Column::wide("Subobject", |event, _| {
        json!(text(event, "/involvedObject/fieldPath"))
    }),
    Column::wide("Source", |event, _| json!(source(event))),
    Column::of("Message", |event, _| {
        json!(
            first_given(event, &["/message", "/note"])
                .unwrap_or_default()
                .trim()
        )
    }),
    Column::wide("First Seen", |event, now| json!(first_seen(event, now))),
    Column::wide("Count", |event, _| json!(seen(event).to_string())),
    Column::wide("Name", |event, _| json!(text(event, "/metadata/name"))),
];

/// What an event is about; the core group and the events' own name fields differently.
fn object_of(event: &Value) -> &Value {
    event.get("involvedObject").unwrap_or(&event["regarding"])
}

fn involved(event: &Value) -> String {
    let object = object_of(event);
    let kind = text(object, "/kind").to_lowercase();
    match text(object, "/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Value) -> String {
    let component = [
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ];
    let host = [
        "/source/host",
        "/deprecatedSource/host",
        "/reportingInstance",
    ];
    let parts = [first_given(event, &component), first_given(event, &host)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The first of some texts that is given.
fn first_given<'v>(event: &'v Value, pointers: &[&str]) -> Option<&'v str> {
    pointers
        .iter()
        .map(|pointer| text(event, pointer))
        .find(|time| !time.is_empty())
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    age::since(
        first_given(
            event,
            &["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"],
        ),
        now,
    )
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/firstTimestamp",
        "/eventTime",
    ];
    age::since(first_given(event, &times), now)
}

fn seen(event: &Value) -> i64 {
    let counts = ["/series/count", "/count", "/deprecatedCount"];
    counts
        .iter()
        .map(|pointer| number(event, pointer))
        .max()
        .unwrap_or_default()
        .max(1)
}

/// `kubectl get podtemplates`.
pub const POD_TEMPLATE: &[Column] = &[
    Column::NAME,
    Column::of("Containers", |t, _| {
        json!(super::read::containers(t, "/template/spec").0)
    }),
    Column::of("Images", |t, _| {
        json!(super::read::containers(t, "/template/spec").1)
    }),
    Column::of("Pod Labels", |t, _| {
        or_none(labels(t.pointer("/template/metadata/labels")))
    }),
];

/// `kubectl get resourceclaims`.
pub const RESOURCE_CLAIM: &[Column] = &[
    Column::NAME,
    Column::of("State", |claim, _| json!(claim_state(claim))),
    Column::AGE,
];

fn claim_state(claim: &Value) -> String {
    let mut states = Vec::new();
    if claim.pointer("/metadata/deletionTimestamp").is_some() {
        states.push("deleted");
    }
    if claim.pointer("/status/allocation").is_none() {
        states.push("pending");
    } else {
        states.push("allocated");
        if !items(claim, "/status/reservedFor").is_empty() {
            states.push("reserved");
        }
    }
    states.join(",")
}

/// `kubectl get resourceslices`.
pub const RESOURCE_SLICE: &[Column] = &[
    Column::NAME,
    Column::of("Node", |slice, _| {
        let all = if flag(slice, "/spec/allNodes") {
            "<all>"
        } else {
            ""
        };
        json!(if all.is_empty() {
            text(slice, "/spec/nodeName")
        } else {
            all
        })
    }),
    Column::at("Driver", ".spec.driver"),
    Column::at("Pool", ".spec.pool.name"),
    Column::AGE,
];

/// `kubectl get leases`.
pub const LEASE: &[Column] = &[
    Column::NAME,
    Column::of("Holder", |lease, _| {
        json!(text(lease, "/spec/holderIdentity"))
    }),
    Column::AGE,
];

/// `kubectl get resourcequotas`.
pub const RESOURCE_QUOTA: &[Column] = &[
    Column::NAME,
    Column::of("Request", |quota, _| json!(usage(quota, false))),
    Column::of("Limit", |quota, _| json!(usage(quota, true))),
    Column::AGE,
];

fn usage(quota: &Value, limits: bool) -> String {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object);
    let shown = |(name, most): (&String, &Value)| {
        let used = quota.pointer("/status/used").and_then(|u| u.get(name));
        let show = |value: Option<&Value>| super::read::shown(value);
        let used = if used.is_some() {
            show(used)
        } else {
            "0".to_owned()
        };
        format!("{name}: {used}/{}", show(Some(most)))
    };
    let wanted = |(name, _): &(&String, &Value)| name.starts_with("limits.") == limits;
    hard.into_iter()
        .flatten()
        .filter(wanted)
        .map(shown)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `kubectl get componentstatuses`.
pub const COMPONENT_STATUS: &[Column] = &[
    Column::NAME,
    Column::of("Status", |status, _| {
        let healthy = items(status, "/conditions")
            .iter()
            .find(|c| text(c, "/type") == "Healthy");
        json!(match healthy.map(|c| text(c, "/status")) {
            Some("True") => "Healthy",
            Some("False") => "Unhealthy",
            _ => "Unknown",
        })
    }),
    Column::at("Message", ".conditions[0].message"),
    Column::at("Error", ".conditions[0].error"),
];

/// The access modes of a volume in short form.
pub(super) fn access_modes(object: &Value, pointer: &str) -> String {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    let modes = texts(object, pointer);
    let order = [
        "ReadWriteOnce",
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOncePod",
    ];
    let given = order
        .into_iter()
        .filter(|mode| modes.contains(mode))
        .map(short);
    given.collect::<Vec<_>>().join(",")
}
