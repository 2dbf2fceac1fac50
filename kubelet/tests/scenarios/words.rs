//! Actions, reasons and objects in the words of the case files, and comparing what is told.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;
use keelson_kubelet::model::{
    Action, ContainerState, FailReason, Key, Now, ObservedContainer, PodSpec, ProbeKind, Resources,
};
use serde_json::Value;

pub fn pod_of(object: &Value, spec: &Value) -> (Pod, PodSpec) {
    let mut value = serde_json::json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 1},
    });
    for (field, more) in object.as_object().into_iter().flatten() {
        value[field] = more.clone();
    }
    value["spec"] = spec.clone();
    let pod: Pod = serde_json::from_value(value).unwrap();
    let spec = PodSpec::from_pod(&pod);
    (pod, spec)
}

pub fn container(
    now: Now,
    spec: &PodSpec,
    name: &str,
    attempt: u32,
    sandbox: &str,
) -> ObservedContainer {
    ObservedContainer {
        id: format!("{name}#{attempt}").into(),
        sandbox_id: sandbox.into(),
        name: name.into(),
        attempt,
        state: ContainerState::Running,
        created_at: now.wall,
        started_at: Some(now.wall),
        finished_at: None,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        image: spec
            .container(name)
            .map_or("other".into(), |c| c.image.clone()),
        image_ref: "sha256:1".into(),
        stop_signal: None,
        limits: None,
        user: None,
        hash: spec.container(name).map_or(0, |c| c.hash),
        seen: now.mono,
    }
}

pub fn end(c: &mut ObservedContainer, now: Now, code: i32) {
    c.state = ContainerState::Exited;
    c.exit_code = code;
    c.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
    c.finished_at = Some(now.wall);
    c.seen = now.mono;
}

pub fn state_of(word: &str) -> ContainerState {
    match word {
        "Created" => ContainerState::Created,
        "Unknown" => ContainerState::Unknown,
        other => panic!("no state {other}"),
    }
}

pub fn reason_of(word: &str) -> FailReason {
    match word {
        "Cgroup" => FailReason::Cgroup,
        "Mount" => FailReason::Mount,
        "Resize" => FailReason::Resize,
        "TearDown" => FailReason::TearDown,
        "Sandbox" => FailReason::Sandbox,
        "KillPod" => FailReason::KillPod,
        "ErrImagePull" => FailReason::ErrImagePull,
        "ErrImageNeverPull" => FailReason::ErrImageNeverPull,
        "InvalidImageName" => FailReason::InvalidImageName,
        "CreateContainerConfigError" => FailReason::CreateContainerConfigError,
        "CreateContainerError" => FailReason::CreateContainerError,
        "RunContainerError" => FailReason::RunContainerError,
        "PostStartHook" => FailReason::PostStartHook,
        "KillContainer" => FailReason::KillContainer,
        "RemoveContainer" => FailReason::RemoveContainer,
        "RuntimeUnavailable" => FailReason::RuntimeUnavailable,
        other => panic!("no reason {other}"),
    }
}

/// `StartContainer a#1 in s0`, `KillContainer a#0 grace 30s preStop Liveness`, ...
pub fn in_words(action: &Action) -> String {
    let probe = |kind: &ProbeKind| format!("{kind:?}");
    match action {
        Action::SetUpCgroup => "SetUpCgroup".to_owned(),
        Action::Resize { pod, containers } => {
            let mut words = format!("Resize pod {}", resources(pod.to));
            for one in containers {
                let _ = write!(words, " {} {}", one.id, resources(one.change.to));
            }
            words
        }
        Action::SetUpVolumes => "SetUpVolumes".to_owned(),
        Action::TearDown { keep_logs: true } => "TearDown keep logs".to_owned(),
        Action::TearDown { keep_logs: false } => "TearDown all".to_owned(),
        Action::CreateSandbox { attempt } => format!("CreateSandbox s{attempt}"),
        Action::StopSandbox { id } => format!("StopSandbox {id}"),
        Action::RemoveSandbox { id } => format!("RemoveSandbox {id}"),
        Action::EnsureImage { container } => format!("EnsureImage {container}"),
        Action::StartContainer {
            container,
            attempt,
            sandbox,
            ..
        } => {
            format!("StartContainer {container}#{attempt} in {sandbox}")
        }
        Action::RunPostStart { id, .. } => format!("RunPostStart {id}"),
        Action::KillContainer {
            id,
            grace,
            pre_stop,
            reason,
            ..
        } => {
            let hook = if *pre_stop { " preStop" } else { "" };
            format!(
                "KillContainer {id} grace {}s{hook} {reason:?}",
                grace.as_secs_f64()
            )
        }
        Action::RemoveContainer { id, .. } => format!("RemoveContainer {id}"),
        Action::RunProbe {
            container, kind, ..
        } => format!("RunProbe {container} {}", probe(kind)),
        Action::Cancel(key) => format!("Cancel {}", key_in_words(key)),
    }
}

/// `cpu 100/200 memory 64/128`: requests before limits, thousandths of a CPU and MiB.
fn resources(of: Resources) -> String {
    let (request, limit) = (of.memory_request >> 20, of.memory_limit >> 20);
    format!(
        "cpu {}/{} memory {request}/{limit}",
        of.cpu_request, of.cpu_limit
    )
}

pub fn key_in_words(key: &Key) -> String {
    match key {
        Key::Image(name) => format!("Image {name}"),
        Key::Container(name) => format!("Container {name}"),
        Key::PostStart(name) => format!("PostStart {name}"),
        Key::Probe(name, kind) => format!("Probe {name} {kind:?}"),
        other => format!("{other:?}"),
    }
}

/// The text is the beginning of the action's words, word by word.
pub fn matches(action: &Action, text: &str) -> bool {
    let words = in_words(action);
    words == text
        || words
            .strip_prefix(text)
            .is_some_and(|rest| rest.starts_with([' ', '#']))
}

/// Every field of `expected` must be in `is`; lists must have the same length; `null` means that
/// the field is absent.
pub fn differences(path: &str, is: &Value, expected: &Value, wrong: &mut String) {
    match (is, expected) {
        (_, Value::Object(fields)) => {
            for (name, value) in fields {
                let inner = is.get(name).unwrap_or(&Value::Null);
                differences(&format!("{path}.{name}"), inner, value, wrong);
            }
        }
        (Value::Array(a), Value::Array(b)) if path.ends_with("conditions") => {
            for wanted in b {
                let same = |c: &&Value| c["type"] == wanted["type"];
                let found = a.iter().find(same).unwrap_or(&Value::Null);
                differences(&format!("{path}[{}]", wanted["type"]), found, wanted, wrong);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, wrong);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let _ = writeln!(wrong, "{path} is {a}, not {b}");
        }
    }
}
