//! What a cluster holds so that other machines can join it: who may ask for a node's certificate,
//! who gets one without a human, and what a machine must know of the cluster. Pure.

use super::{Cluster, DOMAIN, Range};
use keelson_client::Resource;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The group of the machines that come with a bootstrap token.
pub const JOINING: &str = "system:bootstrappers:kubeadm:default-node-token";

/// The group of all nodes.
const NODES: &str = "system:nodes";

/// The API group of roles.
const RBAC: &str = "rbac.authorization.k8s.io";

/// The namespace of [`INFO`].
pub const PUBLIC: &str = "kube-public";

/// The ConfigMap that tells of the cluster. Signed for each token by the bootstrap signer, so its
/// name and its key `kubeconfig` are upstream's.
pub const INFO: &str = "cluster-info";

/// The key of it that only we write.
const FACTS: &str = "keelson";

/// ConfigMaps.
pub const CONFIG_MAPS: Resource = Resource::fixed("", "v1", "configmaps", "ConfigMap", true);
const ROLES: Resource = Resource::fixed(RBAC, "v1", "roles", "Role", true);
const ROLE_BINDINGS: Resource = Resource::fixed(RBAC, "v1", "rolebindings", "RoleBinding", true);
const CLUSTER_ROLE_BINDINGS: Resource = Resource::fixed(
    RBAC,
    "v1",
    "clusterrolebindings",
    "ClusterRoleBinding",
    false,
);

/// What a machine must know of a cluster before it can be a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Addresses of services.
    pub services: Range,
    /// Addresses of pods.
    pub pods: Vec<Range>,
}

impl Facts {
    /// Reads them from [`INFO`]; nothing where another installer made the cluster.
    #[must_use]
    pub fn of(info: &Value) -> Option<Self> {
        serde_json::from_str(info["data"][FACTS].as_str()?).ok()
    }
}

/// The objects: cluster roles for groups by kubeadm's names, the proxy's for every node, so that a
/// worker needs no second identity for it, and what is told to who joins. `kubeconfig` is one
/// without a user.
#[must_use]
pub fn objects(cluster: &Cluster, kubeconfig: &str) -> Vec<(Resource, Value)> {
    let csr = "system:certificates.k8s.io:certificatesigningrequests";
    let facts = Facts {
        services: cluster.services,
        pods: cluster.pods.clone(),
    };
    let facts = serde_json::to_string(&facts).unwrap_or_default();
    let all = |name, role: &str, group| (CLUSTER_ROLE_BINDINGS, binding(name, role, group));
    let reader = "keelson:cluster-info";
    let mut may_read = binding(reader, reader, JOINING);
    may_read["kind"] = json!(ROLE_BINDINGS.kind);
    may_read["metadata"]["namespace"] = json!(PUBLIC);
    may_read["roleRef"]["kind"] = json!(ROLES.kind);
    vec![
        all(
            "kubeadm:kubelet-bootstrap",
            "system:node-bootstrapper",
            JOINING,
        ),
        all(
            "kubeadm:node-autoapprove-bootstrap",
            &format!("{csr}:nodeclient"),
            JOINING,
        ),
        all(
            "kubeadm:node-autoapprove-certificate-rotation",
            &format!("{csr}:selfnodeclient"),
            NODES,
        ),
        all("keelson:node-proxier", "system:node-proxier", NODES),
        (
            ROLES,
            json!({
                "apiVersion": ROLES.api_version(),
                "kind": ROLES.kind,
                "metadata": { "name": reader, "namespace": PUBLIC },
                "rules": [{
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": [INFO],
                    "verbs": ["get"],
                }],
            }),
        ),
        (ROLE_BINDINGS, may_read),
        (
            CONFIG_MAPS,
            json!({
                "apiVersion": "v1",
                "kind": CONFIG_MAPS.kind,
                "metadata": { "name": INFO, "namespace": PUBLIC },
                "data": { "kubeconfig": kubeconfig, FACTS: facts, "domain": DOMAIN },
            }),
        ),
    ]
}

fn binding(name: &str, role: &str, group: &str) -> Value {
    json!({
        "apiVersion": CLUSTER_ROLE_BINDINGS.api_version(),
        "kind": CLUSTER_ROLE_BINDINGS.kind,
        "metadata": { "name": name },
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": RBAC, "kind": "Group", "name": group }],
    })
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn who_joins_reads_what_was_written() {
        let cluster = example();
        let all = objects(&cluster, "K");
        let info = &all.iter().find(|(kind, _)| *kind == CONFIG_MAPS).unwrap().1;
        let facts = Facts::of(info).unwrap();
        assert_eq!(
            (facts.services, facts.pods),
            (cluster.services, cluster.pods)
        );
        assert_eq!(info["data"]["kubeconfig"], "K");
        assert_eq!(Facts::of(&json!({ "data": { "kubeconfig": "K" } })), None);
    }

    #[test]
    fn nobody_but_nodes_and_who_joins_is_given_anything() {
        for (kind, object) in objects(&example(), "K") {
            if !kind.kind.ends_with("Binding") {
                continue;
            }
            let subjects = object["subjects"].as_array().unwrap();
            assert_eq!(subjects.len(), 1);
            let group = &subjects[0]["name"];
            assert!(group == NODES || group == JOINING, "{object}");
        }
    }
}
