//! `PodTopologyLabels`: a pod that gets a node gets the zone and region of it as labels. Pure.

use serde_json::Value;

use super::{Request, View, fields};
use crate::failure::Outcome;

const COPIED: [&str; 2] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

/// Labels a binding, whose labels go on to the pod, or a pod that is made on a node at once.
pub(crate) fn mutate(request: &Request<'_>, object: &mut Value, view: &dyn View) -> Outcome<()> {
    let node = if request.is_for_part("", "pods", "binding") || request.is_for("", "bindings") {
        match fields::text(object, "/target/kind") {
            "" | "Node" => fields::text(object, "/target/name"),
            _ => "",
        }
    } else if request.is_for("", "pods") {
        fields::text(object, "/spec/nodeName")
    } else {
        ""
    };
    if node.is_empty() {
        return Ok(());
    }
    let Some(node) = view.find("", "nodes", "", node) else {
        return Ok(());
    };
    let labels = fields::labels(&node);
    for key in COPIED {
        if let Some(value) = labels.get(key) {
            fields::put(object, &["metadata", "labels", key], value.as_str());
        }
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

    fn check(resource: &str, mut object: Value, labels: &Value) {
        let node = json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z", "other": "o"}}});
        let world = World::default().with("", "nodes", node);
        let user = User::known("jane", []);
        mutate(
            &request(Operation::Create, "", resource, &user, &fields::NULL),
            &mut object,
            &world,
        )
        .unwrap();
        assert_eq!(&object["metadata"]["labels"], labels);
    }

    #[test]
    fn pods_learn_where_they_are() {
        let zone = json!({"topology.kubernetes.io/zone": "z"});
        check(
            "pods/binding",
            json!({"target": {"kind": "Node", "name": "n"}}),
            &zone,
        );
        check(
            "pods/binding",
            json!({"target": {"name": "gone"}}),
            &Value::Null,
        );
        check("pods", json!({"spec": {"nodeName": "n"}}), &zone);
        check("pods", json!({"spec": {}}), &Value::Null);
    }
}
