//! `TaintNodesByCondition`: a new node takes no pods before it is ready. And
//! `DefaultTolerationSeconds`: how long pods stay on a node that is lost. Pure.

use serde_json::{Value, json};

use super::{Request, View, fields};
use crate::failure::Outcome;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Seconds that a pod stays on a node that is not ready or cannot be reached.
const STAY: i64 = 300;

/// Taints a new node.
pub(crate) fn on_new_node(request: &Request<'_>, object: &mut Value, _: &dyn View) -> Outcome<()> {
    if !request.is_for("", "nodes") {
        return Ok(());
    }
    let is_there = |taint: &Value| {
        fields::text(taint, "/key") == NOT_READY && fields::text(taint, "/effect") == "NoSchedule"
    };
    let taints = fields::list_mut(object, &["spec", "taints"]);
    if !taints.iter().any(is_there) {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    Ok(())
}

/// Gives a pod the tolerations that it does not have in some form.
pub(crate) fn default_tolerations(
    request: &Request<'_>,
    object: &mut Value,
    _: &dyn View,
) -> Outcome<()> {
    if !request.is_for("", "pods") {
        return Ok(());
    }
    for key in [NOT_READY, UNREACHABLE] {
        let tolerated = fields::list(object, "/spec/tolerations")
            .iter()
            .any(|toleration| {
                let own = fields::text(toleration, "/key");
                let effect = fields::text(toleration, "/effect");
                (own.is_empty() || own == key) && (effect.is_empty() || effect == "NoExecute")
            });
        if !tolerated {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": STAY});
            fields::list_mut(object, &["spec", "tolerations"]).push(toleration);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::tests::{World, request};
    use crate::admit::{Mutate, Operation};
    use crate::auth::User;

    fn check(plugin: Mutate, resource: &str, mut object: Value, expected: &Value) {
        let user = User::known("jane", []);
        let request = request(Operation::Create, "", resource, &user, &fields::NULL);
        plugin(&request, &mut object, &World::default()).unwrap();
        assert_eq!(&object, expected);
    }

    #[test]
    fn new_nodes_are_not_ready() {
        let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
        let tainted = json!({"spec": {"taints": [taint]}});
        check(on_new_node, "nodes", json!({}), &tainted);
        check(on_new_node, "nodes", tainted.clone(), &tainted);
        check(on_new_node, "nodes/status", json!({}), &json!({}));
    }

    #[test]
    fn pods_tolerate_lost_nodes_for_a_while() {
        let one = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        let both = json!({"spec": {"tolerations": [one(NOT_READY), one(UNREACHABLE)]}});
        check(default_tolerations, "pods", json!({"spec": {}}), &both);
        let all = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        check(default_tolerations, "pods", all.clone(), &all);
        let own = json!({"key": NOT_READY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
        check(
            default_tolerations,
            "pods",
            json!({"spec": {"tolerations": [own]}}),
            &json!({"spec": {"tolerations": [own, one(UNREACHABLE)]}}),
        );
    }
}
