//! The labels that a kubelet may put on its node. Pure.

use serde_json::Value;

use crate::admit::fields;

/// Labels of Kubernetes' own that kubelets set.
const OWN: [&str; 13] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "kubernetes.io/os",
    "kubernetes.io/arch",
];

/// Those which are new, changed or gone and are none of a kubelet's business.
pub(super) fn forbidden(old: &Value, new: &Value) -> Vec<String> {
    let (old, new) = (fields::labels(old), fields::labels(new));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let changed = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key));
    changed.filter(|key| is_forbidden(key)).cloned().collect()
}

fn is_forbidden(label: &str) -> bool {
    let Some((namespace, _)) = label.split_once('/') else {
        return false;
    };
    let within = |domain: &str| {
        namespace == domain
            || namespace
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    let kubelets =
        OWN.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    within("node-restriction.kubernetes.io")
        || ((within("kubernetes.io") || within("k8s.io")) && !kubelets)
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn kubelets_have_labels_of_their_own() {
        for label in [
            "a",
            "example.com/a",
            "kubernetes.io/os",
            "x.node.kubernetes.io/a",
            "notk8s.io/a",
        ] {
            assert!(!is_forbidden(label), "{label}");
        }
        for label in [
            "node-role.kubernetes.io/control-plane",
            "x.node-restriction.kubernetes.io/a",
            "k8s.io/a",
            "kubernetes.io/a",
        ] {
            assert!(is_forbidden(label), "{label}");
        }
    }
}
