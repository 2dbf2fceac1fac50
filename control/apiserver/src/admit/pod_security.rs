//! `PodSecurity`: pods keep to the level that their namespace's labels name. Pure.
//!
//! `enforce` refuses pods, `warn` and `audit` only tell; workloads are told about their templates.

use serde_json::Value;

use super::{Notes, Operation, Request, View, fields};
use crate::failure::{Failure, Outcome};

mod baseline;
pub(crate) mod exempt;
mod policy;
mod restricted;

use policy::{Level, Policy};

/// Existing pods that are looked at when a namespace becomes stricter.
const LOOKED_AT: usize = 3000;

/// One thing that a level forbids, and where the pod does it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    reason: String,
    detail: String,
}

fn violation(reason: &str, detail: impl Into<String>) -> Option<Violation> {
    Some(Violation {
        reason: reason.to_owned(),
        detail: detail.into(),
    })
}

/// A pod as checks see it.
struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = &'a Value> {
        fields::containers(self.spec).map(|(_, _, container)| container)
    }

    /// The containers of which something holds, as messages name them.
    fn those(&self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers()
            .filter(|c| bad(c))
            .map(|c| fields::text(c, "/name"))
            .collect()
    }

    fn is_windows(&self) -> bool {
        fields::text(self.spec, "/os/name") == "windows"
    }
}

/// `container "a"`, `containers "a", "b"`.
fn named(word: &str, names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{word}{plural} {}", quoted(names))
}

fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    let all: Vec<_> = names
        .iter()
        .map(|name| format!("{:?}", name.as_ref()))
        .collect();
    all.join(", ")
}

/// `pod and container "a"`: the pod itself, and the containers.
fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    let pod = pod.then(|| "pod".to_owned());
    let containers = (!containers.is_empty()).then(|| named("container", containers));
    let all: Vec<String> = pod.into_iter().chain(containers).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// All that the policy forbids and the pod does: `REASON (DETAIL), ...`.
fn evaluate(policy: Policy, pod: &Pod<'_>) -> Option<String> {
    let minor = policy.minor();
    let found: Vec<Violation> = match policy.level {
        Level::Privileged => Vec::new(),
        Level::Baseline => baseline::violations(pod, minor, false),
        Level::Restricted => {
            let mut all = baseline::violations(pod, minor, true);
            all.extend(restricted::violations(pod, minor));
            all
        }
    };
    let texts: Vec<_> = found
        .iter()
        .map(|v| format!("{} ({})", v.reason, v.detail))
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Decides.
pub(crate) fn validate(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    notes: &mut Notes,
) -> Outcome<()> {
    if request.is_for("", "namespaces") {
        return namespace(request, object, view, notes);
    }
    let template = template_path(request.group, request.resource);
    let pod = match (request.group, request.resource, request.subresource) {
        ("", "pods", "" | "ephemeralcontainers" | "resize") => {
            is_significant(request, object).then_some(("", true))
        }
        _ => template
            .filter(|_| request.subresource.is_empty())
            .map(|path| (path, false)),
    };
    let Some((path, enforced)) = pod else {
        return Ok(());
    };
    let (settings, user) = (&request.settings.pod_security, &request.user.name);
    if settings.passes_request(request.namespace, user, notes) {
        return Ok(());
    }
    let holder = fields::value(object, path);
    let pod = Pod {
        metadata: fields::value(holder, "/metadata"),
        spec: fields::value(holder, "/spec"),
    };
    if settings.passes_asked(pod.spec, notes) {
        return Ok(());
    }
    let Some(namespace) = view.find("", "namespaces", "", request.namespace) else {
        return Ok(());
    };
    let labels = policy::Labels::read(&fields::labels(&namespace), settings.defaults).0;
    if enforced {
        let key = "pod-security.kubernetes.io/enforce-policy".to_owned();
        notes.audit.insert(key, labels.enforce.to_string());
        if let Some(why) = evaluate(labels.enforce, &pod) {
            return Err(request.forbid(
                object,
                &format!("violates PodSecurity \"{}\": {why}", labels.enforce),
            ));
        }
    }
    if let Some(why) = evaluate(labels.audit, &pod) {
        let key = "pod-security.kubernetes.io/audit-violations".to_owned();
        let text = format!("would violate PodSecurity \"{}\": {why}", labels.audit);
        notes.audit.insert(key, text);
    }
    if let Some(why) = evaluate(labels.warn, &pod) {
        let text = format!("would violate PodSecurity \"{}\": {why}", labels.warn);
        notes.warnings.push(text);
    }
    Ok(())
}

/// Where a workload keeps its pods' template.
fn template_path(group: &str, resource: &str) -> Option<&'static str> {
    Some(match (group, resource) {
        ("", "podtemplates") => "/template",
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "daemonsets" | "statefulsets")
        | ("batch", "jobs") => "/spec/template",
        ("batch", "cronjobs") => "/spec/jobTemplate/spec/template",
        _ => return None,
    })
}

/// Whether an update changes anything that matters: images, containers, and profiles in
/// annotations. Everything else of a pod's specification is immutable.
fn is_significant(request: &Request<'_>, pod: &Value) -> bool {
    if request.operation != Operation::Update {
        return true;
    }
    let seen = |pod: &Value| -> Vec<(String, String)> {
        let spec = fields::value(pod, "/spec");
        let images = fields::containers(spec).map(|(field, at, container)| {
            (
                format!("{field}[{at}]"),
                fields::text(container, "/image").to_owned(),
            )
        });
        let profiles = fields::text_map(pod, "/metadata/annotations").into_iter();
        let profiles =
            profiles.filter(|(key, _)| key.contains("apparmor") || key.contains("seccomp"));
        images.chain(profiles).collect()
    };
    seen(pod) != seen(request.old)
}

/// A namespace's labels must be readable; pods that a stricter level would refuse are named.
fn namespace(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    notes: &mut Notes,
) -> Outcome<()> {
    let settings = &request.settings.pod_security;
    let read = |object| policy::Labels::read(&fields::labels(object), settings.defaults);
    let ((new, errors), (old, _)) = (read(object), read(request.old));
    if !errors.is_empty() {
        if request.operation == Operation::Update && policy::same_labels(request.old, object) {
            return Ok(());
        }
        return Err(Failure::invalid(
            "",
            "Namespace",
            fields::name(object),
            errors,
        ));
    }
    if settings.passes_namespace(fields::name(object), new, notes) {
        return Ok(());
    }
    let stricter = new.enforce != old.enforce && new.enforce.level != Level::Privileged;
    if request.operation == Operation::Update && stricter {
        let judged = |pod: &Value| !settings.passes_pod(fields::value(pod, "/spec"));
        let mut pods = view.list("", "pods", fields::name(object));
        pods.retain(judged);
        warn_of_pods(new.enforce, fields::name(object), &pods, notes);
    }
    Ok(())
}

fn warn_of_pods(policy: Policy, namespace: &str, pods: &[Value], notes: &mut Notes) {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for pod in pods.iter().take(LOOKED_AT) {
        let checked = Pod {
            metadata: fields::value(pod, "/metadata"),
            spec: fields::value(pod, "/spec"),
        };
        let reasons = evaluate_reasons(policy, &checked);
        if reasons.is_empty() {
            continue;
        }
        let name = fields::name(pod).to_owned();
        match found.iter_mut().find(|(known, _)| *known == reasons) {
            Some((_, pods)) => pods.push(name),
            None => found.push((reasons, vec![name])),
        }
    }
    if found.is_empty() {
        return;
    }
    notes.warnings.push(format!(
        "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{policy}\""
    ));
    for (reasons, mut pods) in found {
        pods.sort_unstable();
        let others = match pods.len() {
            1 => String::new(),
            2 => " (and 1 other pod)".to_owned(),
            more => format!(" (and {} other pods)", more - 1),
        };
        notes
            .warnings
            .push(format!("{}{others}: {reasons}", pods[0]));
    }
}

fn evaluate_reasons(policy: Policy, pod: &Pod<'_>) -> String {
    let minor = policy.minor();
    let mut found = match policy.level {
        Level::Privileged => Vec::new(),
        level => baseline::violations(pod, minor, level == Level::Restricted),
    };
    if policy.level == Level::Restricted {
        found.extend(restricted::violations(pod, minor));
    }
    found
        .into_iter()
        .map(|v| v.reason)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
