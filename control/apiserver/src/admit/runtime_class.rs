//! `RuntimeClass`: what running under a class costs and where it is possible. Pure.

use serde_json::Value;

use super::{Notes, Request, View, fields};
use crate::failure::Outcome;

fn class(request: &Request<'_>, pod: &Value, view: &dyn View) -> Outcome<Option<Value>> {
    let Some(name) = fields::optional_text(pod, "/spec/runtimeClassName") else {
        return Ok(None);
    };
    match view.find("node.k8s.io", "runtimeclasses", "", name) {
        Some(class) => Ok(Some(class)),
        None => {
            let why = format!("pod rejected: RuntimeClass {name:?} not found");
            Err(request.forbid(pod, &why))
        }
    }
}

/// Adds the class's overhead, node selector and tolerations to a new pod.
pub(crate) fn mutate(request: &Request<'_>, object: &mut Value, view: &dyn View) -> Outcome<()> {
    if !request.is_for("", "pods") {
        return Ok(());
    }
    let Some(class) = class(request, object, view)? else {
        return Ok(());
    };
    set_overhead(request, object, &class)?;
    set_selector(request, object, &class)?;
    let tolerations = fields::list(&class, "/scheduling/tolerations");
    if !tolerations.is_empty() {
        let own = fields::list_mut(object, &["spec", "tolerations"]);
        for toleration in tolerations {
            if !own.contains(toleration) {
                own.push(toleration.clone());
            }
        }
    }
    Ok(())
}

fn set_overhead(request: &Request<'_>, pod: &mut Value, class: &Value) -> Outcome<()> {
    let fixed = fields::value(class, "/overhead/podFixed");
    if fields::value(class, "/overhead").is_null() {
        return Ok(());
    }
    let own = fields::value(pod, "/spec/overhead");
    if !own.is_null() && own != fixed {
        let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        return Err(request.forbid(pod, why));
    }
    fields::put(pod, &["spec", "overhead"], fixed.clone());
    Ok(())
}

fn set_selector(request: &Request<'_>, pod: &mut Value, class: &Value) -> Outcome<()> {
    for (key, value) in fields::text_map(class, "/scheduling/nodeSelector") {
        let own = fields::map(pod, "/spec/nodeSelector").and_then(|own| own.get(&key)?.as_str());
        if let Some(own) = own.filter(|own| *own != value) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            );
            return Err(request.forbid(pod, &why));
        }
        fields::put(pod, &["spec", "nodeSelector", &key], value);
    }
    Ok(())
}

/// Decides whether a pod's overhead is that of its class.
pub(crate) fn validate(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    if !request.is_for("", "pods") {
        return Ok(());
    }
    let own = fields::value(object, "/spec/overhead");
    let has_own = own.as_object().is_some_and(|own| !own.is_empty());
    let defined = match class(request, object, view)? {
        Some(class) => fields::value(&class, "/overhead/podFixed").clone(),
        None => Value::Null,
    };
    if defined.is_null() && has_own {
        let why =
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return Err(request.forbid(object, why));
    }
    if !defined.is_null() && *own != defined {
        let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        return Err(request.forbid(object, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::Operation;
    use crate::admit::tests::{World, request};
    use crate::auth::User;
    use crate::failure::Failure;

    fn check(spec: Value, expected: Result<Value, &str>) {
        let class = json!({"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "250m"}},
            "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm"}]}});
        let world = World::default().with("node.k8s.io", "runtimeclasses", class);
        let user = User::known("jane", []);
        let request = request(Operation::Create, "", "pods", &user, &fields::NULL);
        let mut pod = json!({"spec": spec});
        let found = mutate(&request, &mut pod, &world)
            .and_then(|()| validate(&request, &pod, &world, &mut Notes::default()));
        let found = found
            .as_ref()
            .map(|()| pod["spec"].clone())
            .map_err(Failure::message);
        assert_eq!(found, expected);
    }

    #[test]
    fn classes_cost_and_restrict() {
        check(json!({}), Ok(json!({})));
        check(
            json!({"runtimeClassName": "vm"}),
            Ok(
                json!({"runtimeClassName": "vm", "overhead": {"cpu": "250m"},
                "nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm"}]}),
            ),
        );
        check(
            json!({"runtimeClassName": "no"}),
            Err("pods \"x\" is forbidden: pod rejected: RuntimeClass \"no\" not found"),
        );
        check(
            json!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}),
            Err(
                "pods \"x\" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            ),
        );
        check(
            json!({"overhead": {"cpu": "1"}}),
            Err(
                "pods \"x\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
        );
        check(
            json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}),
            Err(
                "pods \"x\" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
            ),
        );
    }
}
