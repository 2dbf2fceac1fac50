//! The downward API: fields and resources of a pod as text for its own containers.
//!
//! Decides which fields may be asked for and how they are written. What is only known on the
//! node, such as addresses, comes in as [`NodeFacts`].

use crate::core::{Container, Pod, ResourceRequirements};
use crate::go_quote::go_quote;
use crate::quantity::Quantity;
use crate::resources::{self, Amounts};

/// What only the node knows of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, the primary one first.
    pub host_ips: Vec<String>,
    /// The pod's addresses, the primary one first; empty until it has one.
    pub pod_ips: Vec<String>,
}

/// Why a field or resource cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldPathError {
    /// No such field may be asked for.
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    /// The field can stand in a volume only.
    #[error("fieldPath {0} gives a whole map and can be used in a volume only")]
    VolumeOnly(String),
    /// No such resource may be asked for.
    #[error("unsupported container resource: {0}")]
    Resource(String),
    /// The container named does not exist.
    #[error("container {0} not found")]
    Container(String),
    /// The divisor is not a positive quantity.
    #[error("divisor {0:?} must be a quantity greater than zero")]
    Divisor(String),
}

/// The fields an environment variable may take, apart from single labels and annotations.
pub const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The fields a volume may take, apart from single labels and annotations.
pub const VOLUME_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Splits `metadata.labels['key']` into `metadata.labels` and `key`.
#[must_use]
pub fn split_subscript(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_suffix("']")?;
    let (field, key) = inner.split_once("['")?;
    (!field.is_empty()).then_some((field, key))
}

/// The value of a field for an environment variable.
///
/// # Errors
/// When the field may not be asked for there.
pub fn env_value(path: &str, pod: &Pod, facts: &NodeFacts) -> Result<String, FieldPathError> {
    if matches!(path, "metadata.labels" | "metadata.annotations") {
        return Err(FieldPathError::VolumeOnly(path.to_owned()));
    }
    field(path, pod, facts).ok_or_else(|| FieldPathError::Unsupported(path.to_owned()))
}

/// The content of a file with a field in a volume.
///
/// # Errors
/// When the field may not be asked for there.
pub fn volume_value(path: &str, pod: &Pod) -> Result<String, FieldPathError> {
    let allowed = VOLUME_FIELDS.contains(&path) || split_subscript(path).is_some();
    allowed
        .then(|| field(path, pod, &NodeFacts::default()))
        .flatten()
        .ok_or_else(|| FieldPathError::Unsupported(path.to_owned()))
}

fn field(path: &str, pod: &Pod, facts: &NodeFacts) -> Option<String> {
    let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
    let map = |name: &str| match name {
        "metadata.labels" => Some(meta.labels.clone().unwrap_or_default()),
        "metadata.annotations" => Some(meta.annotations.clone().unwrap_or_default()),
        _ => None,
    };
    if let Some((name, key)) = split_subscript(path) {
        return Some(map(name)?.remove(key).unwrap_or_default());
    }
    if let Some(map) = map(path) {
        let lines: Vec<_> = map
            .iter()
            .map(|(k, v)| format!("{k}={}", go_quote(v)))
            .collect();
        return Some(lines.join("\n"));
    }
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Some(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "spec.nodeName" => facts.node_name.clone(),
        "spec.serviceAccountName" => spec?.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&facts.host_ips),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => first(&facts.pod_ips),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return None,
    })
}

/// The resources a container may ask for; sizes of huge pages come on top.
pub const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];

/// Whether a resource may be asked for.
#[must_use]
pub fn is_resource(name: &str) -> bool {
    let huge = name
        .strip_prefix("limits.")
        .or(name.strip_prefix("requests."));
    RESOURCES.contains(&name) || huge.is_some_and(resources::is_huge_page)
}

/// The container of that name, among all that have resources.
///
/// # Errors
/// When there is none.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Result<&'a Container, FieldPathError> {
    let spec = pod.spec.as_ref();
    spec.into_iter()
        .flat_map(|s| {
            s.containers
                .iter()
                .chain(s.init_containers.iter().flatten())
        })
        .find(|c| c.name == name)
        .ok_or_else(|| FieldPathError::Container(name.to_owned()))
}

/// An amount of a container in units of `divisor`, rounded up. A limit that is not set is what
/// the node can give; a request that is not set is 0.
///
/// # Errors
/// When the resource may not be asked for or the divisor is not positive.
pub fn resource_value(
    name: &str,
    divisor: Option<&str>,
    requirements: Option<&ResourceRequirements>,
    allocatable: &Amounts,
) -> Result<String, FieldPathError> {
    let unsupported = || FieldPathError::Resource(name.to_owned());
    if !is_resource(name) {
        return Err(unsupported());
    }
    let (half, resource) = name.split_once('.').ok_or_else(unsupported)?;
    let half_of = |r: &ResourceRequirements| match half {
        "limits" => r.limits.clone(),
        _ => r.requests.clone(),
    };
    let own = requirements.and_then(half_of);
    let mut amount = resources::read(own.as_ref()).get(resource).copied();
    if half == "limits" {
        let unset = |amount: &Quantity| !amount.is_zero();
        amount = amount
            .filter(unset)
            .or_else(|| allocatable.get(resource).copied());
    }
    Ok(divided(amount.unwrap_or_default(), divisor_of(divisor)?, resource).to_string())
}

/// A divisor that is not set, or zero, is one.
fn divisor_of(text: Option<&str>) -> Result<Quantity, FieldPathError> {
    let text = text.unwrap_or("0");
    match Quantity::parse(text) {
        Ok(q) if q.is_zero() => Ok(Quantity::from_units(1)),
        Ok(q) if q.signum() > 0 => Ok(q),
        _ => Err(FieldPathError::Divisor(text.to_owned())),
    }
}

fn divided(amount: Quantity, divisor: Quantity, resource: &str) -> i64 {
    let (amount, divisor) = match resource {
        "cpu" => (amount.milli_value(), divisor.milli_value()),
        _ => (amount.value(), divisor.value()),
    };
    let whole = amount / divisor.max(1);
    whole + i64::from(amount % divisor.max(1) > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FieldPathError, NodeFacts, env_value, resource_value, volume_value};
    use crate::core::{Pod, ResourceRequirements};
    use crate::quantity::Quantity;
    use crate::resources::Amounts;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u",
                "labels": {"app": "web", "a.b/c": "d"}, "annotations": {"x": "1\n\"2\""},
            },
            "spec": {"containers": [], "serviceAccountName": "s"},
        }))
        .unwrap()
    }

    #[test]
    fn gives_fields_to_variables() {
        let facts = NodeFacts {
            node_name: "node".to_owned(),
            host_ips: vec!["10.0.0.1".to_owned(), "fd::1".to_owned()],
            pod_ips: vec!["10.1.0.1".to_owned(), "fd::2".to_owned()],
        };
        let cases = [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels['app']", "web"),
            ("metadata.labels['a.b/c']", "d"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['x']", "1\n\"2\""),
            ("spec.nodeName", "node"),
            ("spec.serviceAccountName", "s"),
            ("status.hostIP", "10.0.0.1"),
            ("status.hostIPs", "10.0.0.1,fd::1"),
            ("status.podIP", "10.1.0.1"),
            ("status.podIPs", "10.1.0.1,fd::2"),
        ];
        for (path, expected) in cases {
            assert_eq!(env_value(path, &pod(), &facts).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn gives_fields_to_volumes() {
        let cases = [
            ("metadata.name", "p"),
            ("metadata.labels", "a.b/c=\"d\"\napp=\"web\""),
            ("metadata.annotations", "x=\"1\\n\\\"2\\\"\""),
            ("metadata.labels['app']", "web"),
        ];
        for (path, expected) in cases {
            assert_eq!(volume_value(path, &pod()).unwrap(), expected, "{path}");
        }
        assert!(volume_value("status.podIP", &pod()).is_err());
    }

    #[test]
    fn refuses_other_fields() {
        let facts = NodeFacts::default();
        let error = env_value("spec.containers", &pod(), &facts).unwrap_err();
        assert_eq!(
            error,
            FieldPathError::Unsupported("spec.containers".to_owned())
        );
        let error = env_value("metadata.labels", &pod(), &facts).unwrap_err();
        assert_eq!(
            error,
            FieldPathError::VolumeOnly("metadata.labels".to_owned())
        );
        assert!(env_value("spec.x['y']", &pod(), &facts).is_err());
    }

    #[test]
    fn gives_resources_in_units_rounded_up() {
        let own: ResourceRequirements = serde_json::from_value(json!({
            "limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"cpu": "250m"},
        }))
        .unwrap();
        let node = Amounts::from([
            ("cpu".to_owned(), Quantity::from_units(8)),
            ("memory".to_owned(), Quantity::from_bytes(1 << 30)),
        ]);
        let cases = [
            ("limits.cpu", None, true, "2"),
            ("limits.cpu", Some("1m"), true, "1500"),
            ("limits.cpu", Some("0"), true, "2"),
            ("requests.cpu", Some("1m"), true, "250"),
            ("limits.memory", Some("1Mi"), true, "100"),
            ("limits.memory", None, true, "104857600"),
            ("limits.memory", Some("30Mi"), true, "4"),
            ("requests.memory", None, true, "0"),
            ("limits.cpu", None, false, "8"),
            ("limits.memory", Some("1Gi"), false, "1"),
            ("requests.cpu", None, false, "0"),
            ("limits.hugepages-2Mi", None, false, "0"),
        ];
        for (name, divisor, given, expected) in cases {
            let got = resource_value(name, divisor, given.then_some(&own), &node).unwrap();
            assert_eq!(got, expected, "{name} in {divisor:?}");
        }
        assert!(resource_value("limits.gpu", None, None, &node).is_err());
        assert!(resource_value("limits.cpu", Some("-1"), None, &node).is_err());
    }
}
