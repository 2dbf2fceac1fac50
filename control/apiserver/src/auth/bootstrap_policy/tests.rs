//! The tables make the objects that upstream has.

use std::collections::BTreeSet;

use super::*;
use crate::admit::fields;

fn find<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| fields::name(object) == name)
        .unwrap()
}

#[test]
fn names_are_unique_and_every_binding_has_its_role() {
    let roles = cluster_roles();
    let names: BTreeSet<_> = roles.iter().map(fields::name).collect();
    assert_eq!(names.len(), roles.len());
    let bindings = cluster_role_bindings();
    for binding in &bindings {
        assert!(
            names.contains(fields::text(binding, "/roleRef/name")),
            "{binding}"
        );
    }
    let namespaced: BTreeSet<_> = super::roles()
        .iter()
        .map(|role| {
            (
                fields::text(role, "/metadata/namespace").to_owned(),
                fields::name(role).to_owned(),
            )
        })
        .collect();
    for binding in role_bindings() {
        let key = (
            fields::text(&binding, "/metadata/namespace").to_owned(),
            fields::text(&binding, "/roleRef/name").to_owned(),
        );
        assert!(namespaced.contains(&key), "{key:?}");
    }
}

#[test]
fn objects_have_upstreams_form() {
    let roles = cluster_roles();
    let edit = find(&roles, "edit");
    assert_eq!(
        edit["metadata"]["labels"],
        json!({"kubernetes.io/bootstrapping": "rbac-defaults", "rbac.authorization.k8s.io/aggregate-to-admin": "true"})
    );
    assert_eq!(
        edit["aggregationRule"],
        json!({"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}]})
    );
    let admin = find(&roles, "cluster-admin");
    assert_eq!(
        admin["metadata"]["annotations"],
        json!({AUTO_UPDATE: "true"})
    );
    assert_eq!(
        admin["rules"],
        json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}])
    );
    let cron = find(&roles, "system:controller:cronjob-controller");
    assert_eq!(
        cron["rules"][5],
        json!({"verbs": ["create", "patch", "update"], "apiGroups": ["", "events.k8s.io"], "resources": ["events"]})
    );
    let bindings = cluster_role_bindings();
    let bound = find(&bindings, "system:controller:job-controller");
    assert_eq!(
        bound["subjects"],
        json!([{"kind": "ServiceAccount", "name": "job-controller", "namespace": "kube-system"}])
    );
    let masters = find(&bindings, "cluster-admin");
    assert_eq!(
        masters["subjects"],
        json!([{"apiGroup": GROUP, "kind": "Group", "name": "system:masters"}])
    );
    assert_eq!(find(&bindings, "system:node").get("subjects"), None);
}

#[test]
fn gathering_roles_begin_with_their_parts() {
    let roles = cluster_roles();
    let count = |name: &str| fields::list(find(&roles, name), "/rules").len();
    let part = |name: &str| count(&format!("system:aggregate-to-{name}"));
    assert_eq!(count("view"), part("view"));
    assert_eq!(count("edit"), part("edit") + part("view"));
    assert_eq!(count("admin"), part("admin") + part("edit") + part("view"));
}

#[test]
fn flow_schemas_have_their_levels() {
    let levels = flow_control::priority_levels();
    let names: BTreeSet<_> = levels.iter().map(fields::name).collect();
    for schema in flow_control::flow_schemas() {
        let level = fields::text(&schema, "/spec/priorityLevelConfiguration/name");
        assert!(names.contains(level), "{level}");
    }
    assert_eq!(levels.len(), 8);
}

#[test]
fn the_service_of_the_api_is_described() {
    let ip = "10.96.0.1".parse().unwrap();
    let service = objects::kubernetes_service(ip, 443, 6443);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 6443);
    let slice = objects::kubernetes_slice(&[ip], 6443);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["10.96.0.1"]));
    assert_eq!(
        objects::kubernetes_endpoints(&[ip], 6443)["subsets"][0]["addresses"],
        json!([{"ip": "10.96.0.1"}])
    );
    assert_eq!(
        objects::namespace("default")["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "default"
    );
    assert_eq!(objects::priority_classes()[0]["value"], 2_000_001_000_i64);
}
