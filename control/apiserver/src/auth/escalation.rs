//! Nobody grants more than they have: what writes of roles and bindings need. Pure.

use serde::Deserialize as _;
use serde_json::Value;

use crate::admit::{Request, fields};
use crate::auth::MASTERS;
use crate::auth::authorize::What;
use crate::auth::bootstrap_policy::GROUP;
use crate::auth::rbac::cover::{describe, missing};
use crate::auth::rbac::{Policy, RoleRef, Rule};
use crate::failure::{Failure, Outcome};

/// The right that is enough by itself to write this role or binding, whatever it grants.
pub(crate) fn sufficient<'a>(
    request: &Request<'a>,
    object: &'a Value,
) -> Option<(&'static str, What<'a>)> {
    let (verb, resource, name) = match request.resource {
        _ if request.group != GROUP || !request.subresource.is_empty() => return None,
        "roles" | "clusterroles" => ("escalate", request.resource, request.name),
        "rolebindings" | "clusterrolebindings" => {
            let role = fields::text(object, "/roleRef/name");
            (
                "bind",
                resource_of(fields::text(object, "/roleRef/kind")),
                role,
            )
        }
        _ => return None,
    };
    let what = What::Resource {
        group: GROUP,
        resource,
        subresource: "",
        namespace: request.namespace,
        name,
    };
    Some((verb, what))
}

fn resource_of(kind: &str) -> &'static str {
    if kind == "Role" {
        "roles"
    } else {
        "clusterroles"
    }
}

/// Decides whether somebody may write this role or binding, by the rules they have themselves.
/// Anything else passes.
pub(crate) fn check(request: &Request<'_>, object: &Value, policy: &Policy) -> Outcome<()> {
    if request.group != GROUP || !request.subresource.is_empty() || request.user.is_in(MASTERS) {
        return Ok(());
    }
    match request.resource {
        "roles" | "clusterroles" => role(request, object, policy),
        "rolebindings" | "clusterrolebindings" => binding(request, object, policy),
        _ => Ok(()),
    }
}

fn same(request: &Request<'_>, object: &Value, fields: &[&str]) -> bool {
    !request.old.is_null()
        && fields
            .iter()
            .all(|field| object.get(*field) == request.old.get(*field))
}

fn role(request: &Request<'_>, object: &Value, policy: &Policy) -> Outcome<()> {
    if same(request, object, &["rules", "aggregationRule"]) {
        return Ok(());
    }
    let gathers = !fields::list(object, "/aggregationRule/clusterRoleSelectors").is_empty();
    if gathers && !same(request, object, &["aggregationRule"]) {
        let all = [everything()];
        if !uncovered(request, &all, policy).is_empty() {
            let why = "must have cluster-admin privileges to use an aggregationRule";
            return Err(Failure::forbidden(
                request.group,
                request.resource,
                name(request, object),
                why,
            ));
        }
    }
    grant(request, object, &rules(object), policy)
}

fn binding(request: &Request<'_>, object: &Value, policy: &Policy) -> Outcome<()> {
    if same(request, object, &["subjects", "roleRef"]) {
        return Ok(());
    }
    let role = RoleRef::deserialize(fields::value(object, "/roleRef")).unwrap_or_default();
    let resource = resource_of(&role.kind);
    let Some(rules) = policy.rules_of(&role, request.namespace) else {
        return Err(Failure::not_found(GROUP, resource, &role.name));
    };
    grant(request, object, rules, policy)
}

fn grant(request: &Request<'_>, object: &Value, rules: &[Rule], policy: &Policy) -> Outcome<()> {
    let missing = uncovered(request, rules, policy);
    if missing.is_empty() {
        return Ok(());
    }
    let user = request.user;
    let groups: Vec<_> = user
        .groups
        .iter()
        .map(|group| format!("{group:?}"))
        .collect();
    let lacking: Vec<_> = missing.iter().map(describe).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        lacking.join("\n")
    );
    Err(Failure::forbidden(
        request.group,
        request.resource,
        name(request, object),
        &why,
    ))
}

fn uncovered(request: &Request<'_>, rules: &[Rule], policy: &Policy) -> Vec<Rule> {
    let grants = policy.grants(request.user, request.namespace);
    let owned: Vec<&Rule> = grants.iter().flat_map(|grant| grant.rules.iter()).collect();
    missing(&owned, rules)
}

fn rules(role: &Value) -> Vec<Rule> {
    let all = fields::list(role, "/rules").iter();
    all.filter_map(|rule| Rule::deserialize(rule).ok())
        .collect()
}

fn everything() -> Rule {
    let all = || vec!["*".to_owned()];
    Rule {
        verbs: all(),
        api_groups: all(),
        resources: all(),
        ..Rule::default()
    }
}

fn name<'a>(request: &'a Request<'_>, object: &'a Value) -> &'a str {
    if request.name.is_empty() {
        fields::name(object)
    } else {
        request.name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::tests::{World, request};
    use crate::admit::{Operation, View as _};
    use crate::auth::User;

    fn policy() -> Policy {
        let mut policy = Policy::default();
        let role = |value: Value| serde_json::from_value(value).ok();
        policy.set_role("", "reader", role(json!({"rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]})));
        policy.set_role(
            "",
            "writer",
            role(
                json!({"rules": [{"verbs": ["delete"], "apiGroups": [""], "resources": ["pods"]}]}),
            ),
        );
        let binding = json!({"subjects": [{"kind": "User", "name": "jane"}], "roleRef": {"kind": "ClusterRole", "name": "reader"}});
        policy.set_binding("", "b", serde_json::from_value(binding).ok());
        policy
    }

    fn ask(resource: &str, world: &World, old: &Value, object: &Value) -> Result<(), String> {
        let user = User::known("jane", ["dev".to_owned()]);
        let operation = if old.is_null() {
            Operation::Create
        } else {
            Operation::Update
        };
        let request = request(operation, GROUP, resource, &user, old);
        if sufficient(&request, object).is_some_and(|(verb, what)| world.allows(&user, verb, what))
        {
            return Ok(());
        }
        check(&request, object, &policy()).map_err(|failure| failure.message().to_owned())
    }

    fn role_of(verb: &str) -> Value {
        json!({"rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]})
    }

    #[test]
    fn roles_hold_what_their_writers_hold() {
        let none = World::default();
        assert_eq!(ask("roles", &none, &Value::Null, &role_of("get")), Ok(()));
        let refused = "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"jane\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}";
        assert_eq!(
            ask("roles", &none, &Value::Null, &role_of("delete")),
            Err(refused.to_owned())
        );
        assert_eq!(
            ask("roles", &none, &role_of("delete"), &role_of("delete")),
            Ok(())
        );
        let escalates = World::default().allow("escalate roles x");
        assert_eq!(
            ask("roles", &escalates, &Value::Null, &role_of("delete")),
            Ok(())
        );
    }

    #[test]
    fn gathering_is_for_those_who_may_do_everything() {
        let gathers = json!({"aggregationRule": {"clusterRoleSelectors": [{}]}});
        let refused = "clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: must have cluster-admin privileges to use an aggregationRule";
        assert_eq!(
            ask("clusterroles", &World::default(), &Value::Null, &gathers),
            Err(refused.to_owned())
        );
    }

    #[test]
    fn bindings_give_what_their_writers_hold() {
        let to =
            |role: &str| json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": []});
        let none = World::default();
        assert_eq!(
            ask("rolebindings", &none, &Value::Null, &to("reader")),
            Ok(())
        );
        assert!(ask("rolebindings", &none, &Value::Null, &to("writer")).is_err());
        assert_eq!(
            ask("rolebindings", &none, &to("writer"), &to("writer")),
            Ok(())
        );
        let missing = "clusterroles.rbac.authorization.k8s.io \"no\" not found";
        assert_eq!(
            ask("rolebindings", &none, &Value::Null, &to("no")),
            Err(missing.to_owned())
        );
        let binds = World::default().allow("bind clusterroles writer");
        assert_eq!(
            ask("rolebindings", &binds, &Value::Null, &to("writer")),
            Ok(())
        );
    }
}
