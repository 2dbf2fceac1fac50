//! The Node object: what is registered and what its status says. Pure: settings, facts and the
//! status before come in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeFeatures, NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus,
    NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use keelson_api::WireQuantity;
use keelson_api::quantity::Quantity;
use keelson_api::resources::Amounts;
use keelson_cri::values::{Image, RuntimeStatus};
use serde_json::{Value, json};

use crate::evict::Condition;

/// The condition of a node whose client certificate ends soon.
const EXPIRING: &str = "ClientCertificateExpiring";
/// Names of one image that are told, at most.
const NAMES_PER_IMAGE: usize = 5;
const ATTACH: &str = "volumes.kubernetes.io/controller-managed-attach-detach";

/// What does not change while the kubelet runs.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The node's name.
    pub name: String,
    /// Its addresses, primary first.
    pub addresses: Vec<IpAddr>,
    /// Where the kubelet serves.
    pub port: i32,
    /// Labels: the node's own and those of `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// `registerWithTaints`.
    pub taints: Vec<Taint>,
    /// `providerID`.
    pub provider_id: String,
    /// What pods together may have of CPU, memory and pods.
    pub allocatable: Amounts,
    /// All memory, in bytes.
    pub memory: i64,
    /// A folder on the file system that pods write to.
    pub storage_path: PathBuf,
    /// `maxPods`.
    pub most_pods: i64,
}

/// What was found out just now.
#[derive(Clone, Debug)]
pub struct Found {
    /// Processors in milli-CPU.
    pub milli_cpu: i64,
    /// Size of the file system that pods write to, in bytes.
    pub storage: i64,
    /// Huge pages that are reserved: page size and number.
    pub huge_pages: Vec<(u64, i64)>,
    /// Who the machine is.
    pub system: NodeSystemInfo,
    /// The runtime's own word; why it gave none.
    pub runtime: Result<RuntimeStatus, String>,
    /// Images on the node.
    pub images: Vec<Image>,
    /// What runs low.
    pub pressure: BTreeSet<Condition>,
    /// What is wrong with the client's certificate.
    pub certificate: Option<String>,
}

/// What the node says when it registers.
#[must_use]
pub fn registration(setting: &Setting, status: NodeStatus) -> Node {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let annotations = BTreeMap::from([(ATTACH.to_owned(), "true".to_owned())]);
    Node {
        metadata: ObjectMeta {
            name: Some(setting.name.clone()),
            labels: Some(labels(setting)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(setting.taints.clone()).filter(|taints| !taints.is_empty()),
            provider_id: some(&setting.provider_id),
            ..NodeSpec::default()
        }),
        status: Some(status),
    }
}

/// The labels that the kubelet sets, the deprecated ones with them.
fn labels(setting: &Setting) -> BTreeMap<String, String> {
    let mut labels = setting.labels.clone();
    for name in ["os", "arch"] {
        if let Some(value) = setting.labels.get(&format!("kubernetes.io/{name}")) {
            labels.insert(format!("beta.kubernetes.io/{name}"), value.clone());
        }
    }
    labels
}

/// What an existing Node lacks of the labels and annotations that the kubelet keeps: a merge
/// patch, or nothing.
#[must_use]
pub fn adoption(setting: &Setting, known: &Node) -> Option<Value> {
    let has = known.metadata.labels.clone().unwrap_or_default();
    let lacking: BTreeMap<_, _> = labels(setting)
        .into_iter()
        .filter(|(key, value)| has.get(key) != Some(value))
        .collect();
    let attach = known.metadata.annotations.as_ref();
    let attach = attach.is_some_and(|map| map.contains_key(ATTACH));
    if lacking.is_empty() && attach {
        return None;
    }
    Some(json!({"metadata": {"labels": lacking, "annotations": {ATTACH: "true"}}}))
}

/// The status now. Conditions keep the time of their last change.
#[must_use]
pub fn status(
    setting: &Setting,
    found: &Found,
    before: Option<&NodeStatus>,
    most_images: i32,
    now: Timestamp,
) -> NodeStatus {
    let before_conditions = before.and_then(|status| status.conditions.as_deref());
    NodeStatus {
        addresses: Some(addresses(setting)),
        capacity: Some(capacity(setting, found)),
        allocatable: Some(allocatable(setting, found)),
        conditions: Some(conditions(
            found,
            before_conditions.unwrap_or_default(),
            now,
        )),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: setting.port }),
        }),
        node_info: Some(found.system.clone()),
        images: Some(images(&found.images, most_images)),
        runtime_handlers: found.runtime.as_ref().ok().map(handlers),
        features: found.runtime.as_ref().ok().map(|runtime| NodeFeatures {
            supplemental_groups_policy: Some(runtime.supplemental_groups_policy),
        }),
        ..NodeStatus::default()
    }
}

fn addresses(setting: &Setting) -> Vec<NodeAddress> {
    let address = |type_: &str, address: String| NodeAddress {
        address,
        type_: type_.to_owned(),
    };
    let internal = setting.addresses.iter();
    internal
        .map(|ip| address("InternalIP", ip.to_string()))
        .chain([address("Hostname", setting.name.clone())])
        .collect()
}

fn capacity(setting: &Setting, found: &Found) -> BTreeMap<String, WireQuantity> {
    let most_pods = setting
        .allocatable
        .get("pods")
        .map_or(setting.most_pods, Quantity::value);
    let fixed = [
        ("cpu", Quantity::from_milli(found.milli_cpu)),
        ("memory", Quantity::from_bytes(setting.memory)),
        ("pods", Quantity::from_units(most_pods)),
        ("ephemeral-storage", Quantity::from_bytes(found.storage)),
    ];
    let fixed = fixed.map(|(name, amount)| (name.to_owned(), amount.to_wire()));
    fixed.into_iter().chain(huge_pages(found)).collect()
}

fn huge_pages(found: &Found) -> impl Iterator<Item = (String, WireQuantity)> {
    found.huge_pages.iter().map(|(size, count)| {
        let size = i64::try_from(*size).unwrap_or(0);
        let name = Quantity::from_bytes(size).to_wire().0;
        let bytes = Quantity::from_bytes(size.saturating_mul(*count));
        (format!("hugepages-{name}"), bytes.to_wire())
    })
}

/// What pods may have: what admission goes by, and all of what it does not count.
fn allocatable(setting: &Setting, found: &Found) -> BTreeMap<String, WireQuantity> {
    let counted = setting.allocatable.iter();
    let mut all = capacity(setting, found);
    all.extend(counted.map(|(name, amount)| (name.clone(), amount.to_wire())));
    all
}

fn conditions(found: &Found, before: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let trouble = not_ready(found);
    let (status, reason, message) = match &trouble {
        None => ("True", "KubeletReady", "kubelet is posting ready status"),
        Some(trouble) => ("False", "KubeletNotReady", trouble.as_str()),
    };
    let ready = condition("Ready", status, reason, message, before, now);
    let pressures = PRESSURES
        .iter()
        .map(|(pressure, type_, low, enough, words)| {
            if found.pressure.contains(pressure) {
                let message = words.1;
                condition(type_, "True", low, message, before, now)
            } else {
                condition(type_, "False", enough, words.0, before, now)
            }
        });
    let certificate = expiring(found, before, now);
    pressures.chain(certificate).chain([ready]).collect()
}

/// Told of when the certificate was not renewed in time, and until that is over.
fn expiring(found: &Found, before: &[NodeCondition], now: Timestamp) -> Option<NodeCondition> {
    let told = before.iter().any(|known| known.type_ == EXPIRING);
    match &found.certificate {
        Some(trouble) => {
            let reason = "CertificateNotRenewed";
            Some(condition(EXPIRING, "True", reason, trouble, before, now))
        }
        None => told.then(|| {
            let text = "the client certificate was renewed";
            let reason = "CertificateRenewed";
            condition(EXPIRING, "False", reason, text, before, now)
        }),
    }
}

/// Type, reasons and messages of each kind of pressure: first what is said when there is none.
type Said = (
    Condition,
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
);
const PRESSURES: [Said; 3] = [
    (
        Condition::MemoryPressure,
        "MemoryPressure",
        "KubeletHasInsufficientMemory",
        "KubeletHasSufficientMemory",
        (
            "kubelet has sufficient memory available",
            "kubelet has insufficient memory available",
        ),
    ),
    (
        Condition::DiskPressure,
        "DiskPressure",
        "KubeletHasDiskPressure",
        "KubeletHasNoDiskPressure",
        ("kubelet has no disk pressure", "kubelet has disk pressure"),
    ),
    (
        Condition::PidPressure,
        "PIDPressure",
        "KubeletHasInsufficientPID",
        "KubeletHasSufficientPID",
        (
            "kubelet has sufficient PID available",
            "kubelet has insufficient PID available",
        ),
    ),
];

/// Events' reasons for conditions that became true, and false.
const TRANSITIONS: [(&str, &str, &str); 4] = [
    ("Ready", "NodeReady", "NodeNotReady"),
    (
        "MemoryPressure",
        "NodeHasInsufficientMemory",
        "NodeHasSufficientMemory",
    ),
    (
        "DiskPressure",
        "NodeHasDiskPressure",
        "NodeHasNoDiskPressure",
    ),
    (
        "PIDPressure",
        "NodeHasInsufficientPID",
        "NodeHasSufficientPID",
    ),
];

/// The reasons of the events that tell what changed between two statuses.
#[must_use]
pub fn transitions(before: &NodeStatus, now: &NodeStatus) -> Vec<&'static str> {
    let state = |status: &NodeStatus, type_: &str| {
        let all = status.conditions.iter().flatten();
        let mut found = all.filter(|condition| condition.type_ == type_);
        found.next().map(|condition| condition.status.clone())
    };
    let changed = TRANSITIONS.iter().filter_map(|(type_, holds, does_not)| {
        let new = state(now, type_)?;
        let reason = if new == "True" { holds } else { does_not };
        (state(before, type_).as_ref() != Some(&new)).then_some(*reason)
    });
    changed.collect()
}

/// One condition of the node, with the time of its last change.
#[must_use]
pub fn condition(
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    before: &[NodeCondition],
    now: Timestamp,
) -> NodeCondition {
    let same = before
        .iter()
        .find(|known| known.type_ == type_ && known.status == status);
    let since = same.and_then(|known| known.last_transition_time.clone());
    NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: since.or(Some(Time(now))),
    }
}

/// Why pods cannot be run, if so.
fn not_ready(found: &Found) -> Option<String> {
    let runtime = match &found.runtime {
        Ok(runtime) => runtime,
        Err(error) => return Some(format!("container runtime is down: {error}")),
    };
    let trouble = ["RuntimeReady", "NetworkReady"]
        .into_iter()
        .filter_map(|kind| {
            let known = runtime.conditions.iter().find(|known| known.kind == kind);
            match known {
                Some(known) if known.status => None,
                Some(known) => Some(format!(
                    "container runtime {}: {kind}=false reason:{} message:{}",
                    if kind == "RuntimeReady" {
                        "is not ready"
                    } else {
                        "network not ready"
                    },
                    known.reason,
                    known.message
                )),
                None => Some(format!("container runtime says nothing of {kind}")),
            }
        });
    let trouble: Vec<_> = trouble.collect();
    (!trouble.is_empty()).then(|| format!("[{}]", trouble.join(", ")))
}

/// The largest images.
fn images(all: &[Image], most: i32) -> Vec<ContainerImage> {
    let mut all: Vec<_> = all.iter().collect();
    all.sort_by_key(|image| (std::cmp::Reverse(image.size), &image.id));
    // -1 is for no limit.
    all.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let told = all.into_iter().map(|image| {
        let names = image.repo_digests.iter().chain(&image.repo_tags);
        ContainerImage {
            names: Some(names.take(NAMES_PER_IMAGE).cloned().collect()),
            size_bytes: i64::try_from(image.size).ok(),
        }
    });
    told.collect()
}

fn handlers(runtime: &RuntimeStatus) -> Vec<NodeRuntimeHandler> {
    let told = runtime.handlers.iter().map(|handler| NodeRuntimeHandler {
        name: Some(handler.name.clone()),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
            user_namespaces: Some(handler.user_namespaces),
        }),
    });
    told.collect()
}

/// The strategic merge patch from what the API has to what is true: only what changed, unless
/// a report is due; nothing if there is nothing to tell.
#[must_use]
pub fn status_patch(known: &NodeStatus, now: &NodeStatus, due: bool) -> Option<Value> {
    let (has, wants) = (json(known), json(now));
    let mut status = serde_json::Map::new();
    for (field, value) in wants.as_object().into_iter().flatten() {
        let old = has.get(field).unwrap_or(&Value::Null);
        match field.as_str() {
            "conditions" => {
                let same = quiet(old, value);
                if !same || due {
                    status.insert(field.clone(), value.clone());
                }
            }
            // Merged by type, and there may be two of one type.
            "addresses" if old != value => {
                let items = value.as_array().into_iter().flatten().cloned();
                let all: Vec<_> = [json!({"$patch": "replace"})]
                    .into_iter()
                    .chain(items)
                    .collect();
                status.insert(field.clone(), all.into());
            }
            _ if old != value => {
                status.insert(field.clone(), value.clone());
            }
            _ => {}
        }
    }
    (!status.is_empty()).then(|| json!({"status": status}))
}

fn json(status: &NodeStatus) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// Whether our conditions are there already, heartbeats apart.
fn quiet(old: &Value, new: &Value) -> bool {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let old = items(old);
    items(new).iter().all(|new| {
        let known = old.iter().find(|known| known["type"] == new["type"]);
        let same = |field: &str| known.is_some_and(|known| known[field] == new[field]);
        ["status", "reason", "message"].into_iter().all(same)
    })
}

#[cfg(test)]
mod tests;
