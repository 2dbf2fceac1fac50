//! What `restricted` asks for beyond `baseline`: the habits of hardened pods. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Violation, named, quoted, setters, violation};
use crate::admit::fields;

/// Volumes that bring nothing of the node or the network in.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// All violations, in the order of the checks' names.
pub(super) fn violations(pod: &Pod<'_>, minor: u32) -> Vec<Violation> {
    let linux = minor < 25 || !pod.is_windows();
    let all = [
        if minor >= 8 && linux {
            escalation(pod)
        } else {
            None
        },
        if minor >= 22 && linux {
            capabilities(pod)
        } else {
            None
        },
        volumes(pod),
        non_root(pod),
        if minor >= 23 { root_user(pod) } else { None },
        if minor >= 19 && linux {
            seccomp(pod)
        } else {
            None
        },
    ];
    all.into_iter().flatten().collect()
}

fn escalation(pod: &Pod<'_>) -> Option<Violation> {
    let found = pod.those(|container| {
        fields::flag(container, "/securityContext/allowPrivilegeEscalation") != Some(false)
    });
    if found.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must set securityContext.allowPrivilegeEscalation=false",
        named("container", &found)
    );
    violation("allowPrivilegeEscalation != false", detail)
}

fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let keeps = |container: &Value| {
        !fields::texts(container, "/securityContext/capabilities/drop").any(|name| name == "ALL")
    };
    let added = |container: &Value| -> Vec<String> {
        let all = fields::texts(container, "/securityContext/capabilities/add");
        all.filter(|name| *name != "NET_BIND_SERVICE")
            .map(str::to_owned)
            .collect()
    };
    let mut details = Vec::new();
    let keeping = pod.those(keeps);
    if !keeping.is_empty() {
        details.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named("container", &keeping)
        ));
    }
    let adding = pod.those(|container| !added(container).is_empty());
    if !adding.is_empty() {
        let names: BTreeSet<String> = pod.containers().flat_map(added).collect();
        let names: Vec<String> = names.into_iter().collect();
        let who = named("container", &adding);
        details.push(format!(
            "{who} must not include {} in securityContext.capabilities.add",
            quoted(&names)
        ));
    }
    if details.is_empty() {
        return None;
    }
    violation("unrestricted capabilities", details.join("; "))
}

fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let kind = |volume: &Value| -> Option<String> {
        let sources = volume.as_object()?.iter();
        let source = sources
            .filter(|(field, value)| *field != "name" && !value.is_null())
            .map(|(field, _)| field);
        let source = source.into_iter().next()?;
        (!VOLUMES.contains(&source.as_str())).then(|| source.clone())
    };
    let all = fields::list(pod.spec, "/volumes");
    let bad: Vec<&Value> = all.iter().filter(|volume| kind(volume).is_some()).collect();
    if bad.is_empty() {
        return None;
    }
    let names: Vec<&str> = bad
        .iter()
        .map(|volume| fields::text(volume, "/name"))
        .collect();
    let kinds: BTreeSet<String> = bad.iter().filter_map(|volume| kind(volume)).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let (verb, plural) = (
        if names.len() == 1 { "uses" } else { "use" },
        if kinds.len() == 1 { "" } else { "s" },
    );
    let detail = format!(
        "{} {verb} restricted volume type{plural} {}",
        named("volume", &names),
        quoted(&kinds)
    );
    violation("restricted volume types", detail)
}

fn non_root(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let said = |holder: &Value| fields::flag(holder, "/securityContext/runAsNonRoot");
    let own = said(pod.spec);
    let explicit = pod.those(|container| said(container) == Some(false));
    if let Some(who) = setters(own == Some(false), &explicit) {
        return violation(
            REASON,
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        );
    }
    let silent = pod.those(|container| said(container).is_none() && own != Some(true));
    if silent.is_empty() {
        return None;
    }
    violation(
        REASON,
        format!(
            "pod or {} must set securityContext.runAsNonRoot=true",
            named("container", &silent)
        ),
    )
}

fn root_user(pod: &Pod<'_>) -> Option<Violation> {
    let root = |holder: &Value| fields::number(holder, "/securityContext/runAsUser") == Some(0);
    let who = setters(root(pod.spec), &pod.those(root))?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    fn said(holder: &Value) -> Option<&str> {
        fields::optional_text(holder, "/securityContext/seccompProfile/type")
    }
    let bad = |kind: &str| !matches!(kind, "RuntimeDefault" | "Localhost");
    let own = said(pod.spec);
    let explicit = pod.those(|container| said(container).is_some_and(bad));
    if let Some(who) = setters(own.is_some_and(bad), &explicit) {
        let holders = std::iter::once(pod.spec).chain(pod.containers());
        let kinds: BTreeSet<&str> = holders.filter_map(said).filter(|kind| bad(kind)).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let detail = format!(
            "{who} must not set securityContext.seccompProfile.type to {}",
            quoted(&kinds)
        );
        return violation("seccompProfile", detail);
    }
    let silent = pod.those(|container| said(container).is_none() && own.is_none());
    if silent.is_empty() {
        return None;
    }
    let who = named("container", &silent);
    let detail = format!(
        "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
    );
    violation("seccompProfile", detail)
}
