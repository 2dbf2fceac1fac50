//! Webhooks: which ones are asked about a write. Pure: they are called elsewhere.
//!
//! Rules match the group and version of the request, or those that the same objects have under
//! another version, in which such a webhook then gets them. Conditions in CEL are not supported:
//! a webhook that has some fails, as its failure policy says.

use keelson_api::meta::LabelSelector;
use keelson_api::selector::Selector;
use serde_json::Value;

use super::{Operation, Request, View, fields};
use crate::failure::{Failure, Outcome};

mod equivalent;
pub(crate) mod review;

use equivalent::Twin;

const GROUP: &str = "admissionregistration.k8s.io";
/// Configurations of admission itself, which no webhook is asked about.
const EXEMPT: [&str; 6] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

/// Which webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mutating,
    Validating,
}

impl Kind {
    fn resource(self) -> &'static str {
        match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        }
    }

    /// As metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The name that its certificate must be for.
    pub(crate) host: String,
    /// Where to connect: an address, or the name again.
    pub(crate) address: String,
    pub(crate) port: u16,
    /// With a slash in front, and with its query.
    pub(crate) path: String,
    /// The certificates that its own is checked with, in PEM.
    pub(crate) ca_bundle: Vec<u8>,
}

/// A webhook that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    /// The name of its configuration.
    pub(crate) configuration: String,
    /// Where it is, or why that is not known.
    pub(crate) target: Result<Target, String>,
    /// Whether a failure is as good as a yes.
    pub(crate) ignore_failure: bool,
    pub(crate) timeout_seconds: u64,
    /// Whether it is asked again after later changes.
    pub(crate) reinvoke: bool,
    object_selector: Option<Selector>,
    /// What the object is for it, unless that is what it is for the caller.
    twin: Option<Twin>,
}

/// The webhooks that are asked about a request, in order. Whether each wants the object is known
/// when it is its turn: those before it may have changed the labels.
pub(crate) fn plan(
    kind: Kind,
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    twins: &dyn Fn() -> Vec<Twin>,
) -> Outcome<Vec<Hook>> {
    if request.group == GROUP && EXEMPT.contains(&request.resource) {
        return Ok(Vec::new());
    }
    let mut configurations = view.list(GROUP, kind.resource(), "");
    configurations.sort_by(|a, b| fields::name(a).cmp(fields::name(b)));
    let mut found = Vec::new();
    for configuration in &configurations {
        for hook in fields::list(configuration, "/webhooks") {
            let Some(twin) = equivalent::find(hook, request, twins) else {
                continue;
            };
            if matches_namespace(hook, request, object, view)? {
                let planned = read(fields::name(configuration), hook, request, view)?;
                found.push(Hook { twin, ..planned });
            }
        }
    }
    Ok(found)
}

fn matches_rules(hook: &Value, request: &Request<'_>) -> bool {
    fields::list(hook, "/rules").iter().any(|rule| {
        let has =
            |path, wanted: &str| fields::texts(rule, path).any(|one| one == "*" || one == wanted);
        has("/operations", request.operation.as_str())
            && has("/apiGroups", request.group)
            && has("/apiVersions", request.version)
            && fields::texts(rule, "/resources").any(|pattern| matches_resource(pattern, request))
            && matches_scope(fields::text(rule, "/scope"), request)
    })
}

/// `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`.
fn matches_resource(pattern: &str, request: &Request<'_>) -> bool {
    let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == request.resource)
        && (subresource == "*" || subresource == request.subresource)
}

fn is_namespace(request: &Request<'_>) -> bool {
    request.group.is_empty() && request.resource == "namespaces"
}

fn matches_scope(scope: &str, request: &Request<'_>) -> bool {
    let namespaced = !request.namespace.is_empty() && !is_namespace(request);
    match scope {
        "Namespaced" => namespaced,
        "Cluster" => !namespaced,
        _ => true,
    }
}

/// The selector at a path; none matches everything.
fn selector(hook: &Value, path: &str) -> Option<Selector> {
    let written: LabelSelector = fields::typed(fields::value(hook, path));
    Selector::of_object(&written).filter(|selector| !selector.requirements.is_empty())
}

fn matches_namespace(
    hook: &Value,
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
) -> Outcome<bool> {
    let Some(selector) = selector(hook, "/namespaceSelector") else {
        return Ok(true);
    };
    if is_namespace(request) {
        let own = if request.operation == Operation::Delete {
            request.old
        } else {
            object
        };
        return Ok(selector.matches(&fields::labels(own)));
    }
    if request.namespace.is_empty() {
        return Ok(true);
    }
    match view.find("", "namespaces", "", request.namespace) {
        Some(namespace) => Ok(selector.matches(&fields::labels(&namespace))),
        None => Err(Failure::not_found("", "namespaces", request.namespace)),
    }
}

/// The webhook; a failure where it cannot be asked.
fn read(
    configuration: &str,
    hook: &Value,
    request: &Request<'_>,
    view: &dyn View,
) -> Outcome<Hook> {
    let name = fields::text(hook, "/name").to_owned();
    let ignore_failure = fields::text(hook, "/failurePolicy") == "Ignore";
    let harmless = matches!(fields::text(hook, "/sideEffects"), "None" | "NoneOnDryRun");
    if request.dry_run && !harmless {
        let why = format!("admission webhook {name:?} does not support dry run");
        return Err(Failure::bad_request(why));
    }
    let seconds = fields::number(hook, "/timeoutSeconds")
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(10);
    let target = if fields::list(hook, "/matchConditions").is_empty() {
        target(&hook["clientConfig"], seconds, view)
    } else {
        Err("matchConditions are not supported".to_owned())
    };
    Ok(Hook {
        name,
        configuration: configuration.to_owned(),
        target,
        ignore_failure,
        timeout_seconds: seconds.clamp(1, 30),
        reinvoke: fields::text(hook, "/reinvocationPolicy") == "IfNeeded",
        object_selector: selector(hook, "/objectSelector"),
        twin: None,
    })
}

fn target(client: &Value, timeout: u64, view: &dyn View) -> Result<Target, String> {
    use base64::Engine as _;
    let bundle = fields::text(client, "/caBundle");
    let ca_bundle = base64::engine::general_purpose::STANDARD.decode(bundle);
    let ca_bundle = ca_bundle.map_err(|error| format!("caBundle: {error}"))?;
    let service = fields::value(client, "/service");
    let (host, address, port, path) = if service.is_null() {
        from_url(fields::text(client, "/url"))?
    } else {
        from_service(service, view)?
    };
    let mark = if path.contains('?') { '&' } else { '?' };
    Ok(Target {
        host,
        address,
        port,
        path: format!("{path}{mark}timeout={timeout}s"),
        ca_bundle,
    })
}

type Place = (String, String, u16, String);

fn from_url(url: &str) -> Result<Place, String> {
    let wrong = || format!("url {url:?} is not https://HOST[:PORT]/PATH");
    let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, 443),
    };
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || authority.contains('@') {
        return Err(wrong());
    }
    let path = if path.is_empty() { "/" } else { path };
    Ok((host.to_owned(), host.to_owned(), port, path.to_owned()))
}

/// A service is reached at its cluster address; its certificate is for its name.
fn from_service(service: &Value, view: &dyn View) -> Result<Place, String> {
    let (namespace, name) = (
        fields::text(service, "/namespace"),
        fields::text(service, "/name"),
    );
    let port = fields::number(service, "/port").unwrap_or(443);
    let Some(found) = view.find("", "services", namespace, name) else {
        return Err(format!("service {name:?} not found"));
    };
    let mut ports = fields::list(&found, "/spec/ports").iter();
    if !ports.any(|one| fields::number(one, "/port") == Some(port)) {
        return Err(format!("no service port {port} found for service {name:?}"));
    }
    let host = format!("{name}.{namespace}.svc");
    let address = match (
        fields::text(&found, "/spec/type"),
        fields::text(&found, "/spec/clusterIP"),
    ) {
        ("ExternalName", _) => fields::text(&found, "/spec/externalName").to_owned(),
        (_, "None" | "") => host.clone(),
        (_, ip) => ip.to_owned(),
    };
    let port = u16::try_from(port).map_err(|_| format!("port {port} is none"))?;
    let path = fields::optional_text(service, "/path").unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((host, address, port, format!("{slash}{path}")))
}

impl Hook {
    /// Whether the labels of the object, as it is or as it was, are those it wants.
    pub(crate) fn wants(&self, object: &Value, old: &Value) -> bool {
        self.object_selector.as_ref().is_none_or(|selector| {
            let fits =
                |object: &Value| !object.is_null() && selector.matches(&fields::labels(object));
            fits(object) || fits(old)
        })
    }

    /// The refusal where it could not be asked, unless that is as good as a yes.
    pub(crate) fn failed(&self, why: &str) -> Outcome<()> {
        if self.ignore_failure {
            return Ok(());
        }
        Err(Failure::internal(format!(
            "failed calling webhook {:?}: {why}",
            self.name
        )))
    }
}

#[cfg(test)]
mod tests;
