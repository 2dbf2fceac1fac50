//! Which rules let whom do what, by tables of users and requests.

use serde_json::{Value, json};

use super::cover::missing;
use super::*;

fn role(value: Value) -> Option<Role> {
    Some(serde_json::from_value(value).unwrap())
}

fn bind(kind: &str, name: &str, subjects: &Value) -> Option<Binding> {
    let value = json!({"roleRef": {"kind": kind, "name": name}, "subjects": subjects});
    Some(serde_json::from_value(value).unwrap())
}

fn policy() -> Policy {
    let mut policy = Policy::default();
    let rules = |rules: Value| role(json!({ "rules": rules }));
    let view =
        json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}]);
    policy.set_role("", "view", rules(view));
    let scale = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}]);
    policy.set_role("", "scaler", rules(scale));
    let one = json!([{"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["lock"]}]);
    policy.set_role("a", "one", rules(one));
    let paths = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/logs/*"]}]);
    policy.set_role("", "paths", rules(paths));
    policy.set_role("", "empty", rules(Value::Null));
    let group = json!([{"kind": "Group", "name": "devs"}]);
    policy.set_binding("a", "devs", bind("ClusterRole", "view", &group));
    policy.set_binding("", "paths", bind("ClusterRole", "paths", &group));
    let account = json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "a"}]);
    policy.set_binding("a", "one", bind("Role", "one", &account));
    policy.set_binding("", "scale", bind("ClusterRole", "scaler", &account));
    policy
}

fn check(user: &User, verb: &str, target: &str, allowed: bool) {
    let parts: Vec<_> = target.split('|').collect();
    let what = if target.starts_with('/') {
        What::Path(target)
    } else {
        What::Resource {
            namespace: parts[0],
            group: parts[1],
            resource: parts[2],
            subresource: parts[3],
            name: parts[4],
        }
    };
    let wanted = Attributes { user, verb, what };
    let decision = policy().authorize(&wanted);
    let found = matches!(decision, Decision::Allow(_));
    assert_eq!(found, allowed, "{verb} {target}: {decision:?}");
}

#[test]
fn rules_allow_what_they_name() {
    let dev = User::known("d", ["devs".to_owned()]);
    check(&dev, "get", "a||pods||x", true);
    check(&dev, "get", "a||pods|log|x", true);
    check(&dev, "get", "a||pods|exec|x", false);
    check(&dev, "get", "b||pods||x", false);
    check(&dev, "get", "||pods||", false);
    check(&dev, "delete", "a||pods||x", false);
    check(&dev, "get", "a|apps|pods||x", false);
    check(&dev, "get", "/healthz", true);
    check(&dev, "get", "/logs/x", true);
    check(&dev, "get", "/log", false);
    let robot = User::service_account("a", "robot", "1");
    check(&robot, "update", "a||configmaps||lock", true);
    check(&robot, "update", "a||configmaps||other", false);
    check(&robot, "patch", "z|apps|deployments|scale|x", true);
    check(&robot, "patch", "z|apps|deployments||x", false);
    let other = User::service_account("b", "robot", "");
    check(&other, "update", "a||configmaps||lock", false);
}

#[test]
fn taking_a_binding_out_ends_it() {
    let mut policy = policy();
    policy.set_binding("a", "devs", None);
    let dev = User::known("d", ["devs".to_owned()]);
    let grants = policy.grants(&dev, "a");
    assert!(grants.iter().all(|grant| grant.binding == "paths"));
}

#[test]
fn a_reason_names_the_binding() {
    let policy = policy();
    let dev = User::known("d", ["devs".to_owned()]);
    let reasons: Vec<_> = policy.grants(&dev, "a").iter().map(Grant::reason).collect();
    let expected = r#"RBAC: allowed by RoleBinding "devs/a" of ClusterRole "view" to Group "devs""#;
    assert!(
        reasons.iter().any(|reason| reason == expected),
        "{reasons:?}"
    );
}

#[test]
fn nobody_grants_more_than_they_have() {
    let rule = |value: Value| serde_json::from_value::<Rule>(value).unwrap();
    let own =
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/scale"]});
    let own = rule(own);
    let all = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
    let pods = |verbs: Value, resources: Value| json!({"verbs": verbs, "apiGroups": [""], "resources": resources});
    let named =
        json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]});
    let cases = [
        (pods(json!(["get"]), json!(["pods"])), 0),
        (named, 0),
        (pods(json!(["get"]), json!(["deployments/scale"])), 0),
        (pods(json!(["get", "delete"]), json!(["pods", "nodes"])), 3),
        (json!({"verbs": ["get"], "nonResourceURLs": ["/x"]}), 1),
    ];
    for (wanted, count) in cases {
        let wanted = [rule(wanted)];
        assert_eq!(missing(&[&own], &wanted).len(), count, "{wanted:?}");
        let about_resources = wanted[0].non_resource_urls.is_empty();
        assert_eq!(missing(&[&all], &wanted).is_empty(), about_resources);
    }
}
