//! What kubelets may read, and what not.

use serde_json::{Value, json};

use super::*;
use crate::admit::fields;
use crate::auth::bootstrap_policy::{self, reconcile};

fn authorizer() -> NodeAuthorizer {
    let roles = bootstrap_policy::cluster_roles();
    let role = roles
        .iter()
        .find(|role| fields::name(role) == "system:node")
        .unwrap();
    let rules = fields::list(role, "/rules")
        .iter()
        .map(|rule| serde_json::from_value(rule.clone()).unwrap());
    let mut authorizer = NodeAuthorizer::new(rules.collect());
    authorizer.graph.set_pod("ns", "p", Some(&pod("n1")));
    let volume = json!({"spec": {"claimRef": {"namespace": "ns", "name": "claim"},
        "csi": {"nodePublishSecretRef": {"namespace": "sys", "name": "publish"}}}});
    authorizer.graph.set_volume("v", Some(&volume));
    authorizer.graph.set_node(
        Kind::Attachment,
        "a",
        Some(&json!({"spec": {"nodeName": "n1"}})),
    );
    authorizer.graph.set_node(
        Kind::ResourceSlice,
        "s",
        Some(&json!({"spec": {"nodeName": "n1"}})),
    );
    authorizer
}

fn pod(node: &str) -> Value {
    json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": node, "serviceAccountName": "sa",
        "resourceClaims": [{"name": "c", "resourceClaimName": "gpu"}],
        "volumes": [{"name": "a", "secret": {"secretName": "secret"}}, {"name": "b", "configMap": {"name": "map"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}}]}})
}

/// `VERB GROUP/RESOURCE[/SUBRESOURCE] NAMESPACE/NAME`.
fn ask(authorizer: &NodeAuthorizer, node: &str, what: &str, selected: Selected<'_>) -> Decision {
    let user = User::known(&format!("system:node:{node}"), ["system:nodes".to_owned()]);
    let words: Vec<&str> = what.split(' ').collect();
    let kind: Vec<&str> = words[1].split('/').collect();
    let (namespace, name) = words[2].split_once('/').unwrap();
    let what = What::Resource {
        group: kind[0],
        resource: kind[1],
        subresource: kind.get(2).copied().unwrap_or_default(),
        namespace,
        name,
    };
    let wanted = Attributes {
        user: &user,
        verb: words[0],
        what,
    };
    authorizer.authorize(&wanted, selected)
}

fn check(what: &str, own: bool, other: bool) {
    let authorizer = authorizer();
    for (node, expected) in [("n1", own), ("n2", other)] {
        let found = ask(&authorizer, node, what, None);
        assert_eq!(
            matches!(found, Decision::Allow(_)),
            expected,
            "{node}: {what}: {found:?}"
        );
    }
}

#[test]
fn nodes_read_what_their_pods_need() {
    for what in [
        "get /secrets ns/secret",
        "watch /secrets ns/secret",
        "get /secrets sys/publish",
        "get /configmaps ns/map",
        "get /persistentvolumeclaims ns/claim",
        "patch /persistentvolumeclaims/status ns/claim",
        "get /persistentvolumes /v",
        "get resource.k8s.io/resourceclaims ns/gpu",
        "get storage.k8s.io/volumeattachments /a",
        "create /serviceaccounts/token ns/sa",
        "get /serviceaccounts ns/sa",
        "get /pods ns/p",
        "update resource.k8s.io/resourceslices /s",
        "get coordination.k8s.io/leases kube-node-lease/n1",
        "update storage.k8s.io/csinodes /n1",
        "get /nodes /n1",
    ] {
        check(what, true, false);
    }
    for what in [
        "get /secrets ns/other",
        "list /secrets ns/",
        "get /secrets other/secret",
        "update /secrets ns/secret",
        "list /persistentvolumeclaims ns/",
        "get coordination.k8s.io/leases ns/n1",
        "delete /nodes /n1",
        "list /pods /",
        "create apps/deployments ns/",
    ] {
        check(what, false, false);
    }
    for what in [
        "list /services /",
        "create /events ns/",
        "create authentication.k8s.io/tokenreviews /",
        "watch node.k8s.io/runtimeclasses /",
        "create /nodes /",
        "create /pods ns/",
        "create coordination.k8s.io/leases kube-node-lease/",
    ] {
        check(what, true, true);
    }
}

#[test]
fn lists_are_narrowed_down() {
    let authorizer = authorizer();
    let allowed =
        |what, selected| matches!(ask(&authorizer, "n1", what, selected), Decision::Allow(_));
    assert!(allowed("list /pods /", Some(("spec.nodeName", "n1"))));
    assert!(!allowed("list /pods /", Some(("spec.nodeName", "n2"))));
    assert!(allowed(
        "watch resource.k8s.io/resourceslices /",
        Some(("spec.nodeName", "n1"))
    ));
    assert!(allowed("watch /nodes /", Some(("metadata.name", "n1"))));
}

#[test]
fn what_is_gone_is_not_needed() {
    let mut authorizer = authorizer();
    let allowed = |authorizer: &NodeAuthorizer, node, what| {
        matches!(ask(authorizer, node, what, None), Decision::Allow(_))
    };
    authorizer.graph.set_pod("ns", "p", Some(&pod("n2")));
    assert!(!allowed(&authorizer, "n1", "get /secrets ns/secret"));
    assert!(allowed(&authorizer, "n2", "get /persistentvolumes /v"));
    authorizer.graph.set_volume("v", None);
    assert!(!allowed(&authorizer, "n2", "get /persistentvolumes /v"));
    assert!(!allowed(&authorizer, "n2", "get /secrets sys/publish"));
    authorizer.graph.set_pod("ns", "p", None);
    assert!(!allowed(&authorizer, "n2", "get /secrets ns/secret"));
    let mut mirror = pod("n2");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    authorizer.graph.set_pod("ns", "p", Some(&mirror));
    assert!(!allowed(&authorizer, "n2", "get /secrets ns/secret"));
    assert!(allowed(&authorizer, "n2", "get /pods ns/p"));
}

#[test]
fn selectors_name_nodes() {
    assert_eq!(
        selected("status.phase!=Failed,spec.nodeName=n1"),
        Some(("spec.nodeName", "n1"))
    );
    assert_eq!(selected("metadata.name==n1"), Some(("metadata.name", "n1")));
    assert_eq!(selected("spec.nodeName!=n1"), None);
}

#[test]
fn others_get_no_opinion() {
    let user = User::known("jane", []);
    let wanted = Attributes {
        user: &user,
        verb: "get",
        what: What::Path("/healthz"),
    };
    assert_eq!(
        authorizer().authorize(&wanted, None),
        Decision::NoOpinion(String::new())
    );
    let found = ask(&authorizer(), "n1", "get /secrets ns/other", None);
    let why = "no relationship found between node 'n1' and this object".to_owned();
    assert_eq!(found, Decision::NoOpinion(why));
    assert_eq!(reconcile::rule_value(&Rule::default()), json!({}));
}
