//! Strategic merge patches: object, patch, what comes out.

use serde_json::{Value, json};

use super::apply;
use crate::resource_table::by_kind;
use crate::schema::Schema;

fn patched(kind: &str, mut target: Value, patch: Value) -> Result<Value, String> {
    let schema = Schema::builtin();
    let group = if kind == "Deployment" { "apps" } else { "" };
    let node = schema
        .named(&by_kind(group, "v1", kind).unwrap().type_name)
        .unwrap();
    apply(schema, node, &mut target, &patch).map_err(|error| error.to_string())?;
    Ok(target)
}

fn check(kind: &str, target: Value, patch: Value, expected: Value) {
    assert_eq!(
        patched(kind, target, patch.clone()),
        Ok(expected),
        "{patch}"
    );
}

/// Wraps a list of containers into a pod.
fn pod(containers: Value) -> Value {
    json!({"spec": {"containers": containers}})
}

#[test]
fn lists_of_objects_merge_by_key() {
    check(
        "Pod",
        pod(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}])),
        pod(json!([{"name": "b", "image": "z"}, {"name": "c", "image": "w"}])),
        pod(
            json!([{"name": "a", "image": "x"}, {"name": "b", "image": "z"}, {"name": "c", "image": "w"}]),
        ),
    );
    check(
        "Pod",
        pod(
            json!([{"name": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]),
        ),
        pod(json!([{"name": "a", "env": [{"name": "B", "value": null}]}])),
        pod(json!([{"name": "a", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}])),
    );
}

#[test]
fn lists_without_a_strategy_are_replaced() {
    check(
        "Pod",
        json!({"spec": {"tolerations": [{"key": "a"}]}}),
        json!({"spec": {"tolerations": [{"key": "b"}]}}),
        json!({"spec": {"tolerations": [{"key": "b"}]}}),
    );
    check(
        "Pod",
        pod(json!([{"name": "a", "args": ["1", "2"]}])),
        pod(json!([{"name": "a", "args": ["3"]}])),
        pod(json!([{"name": "a", "args": ["3"]}])),
    );
}

#[test]
fn directives_delete_and_replace() {
    let two = || pod(json!([{"name": "a", "image": "x"}, {"name": "b"}]));
    check(
        "Pod",
        two(),
        pod(json!([{"name": "a", "$patch": "delete"}])),
        pod(json!([{"name": "b"}])),
    );
    check(
        "Pod",
        two(),
        pod(json!([{"name": "c"}, {"$patch": "replace"}])),
        pod(json!([{"name": "c"}])),
    );
    check(
        "Pod",
        two(),
        pod(json!([{"name": "a", "$patch": "replace", "args": ["1"]}])),
        pod(json!([{"name": "a", "args": ["1"]}])),
    );
    check(
        "Pod",
        json!({"metadata": {"labels": {"a": "b"}, "name": "n"}}),
        json!({"metadata": {"labels": {"$patch": "replace", "c": "d"}}}),
        json!({"metadata": {"labels": {"c": "d"}, "name": "n"}}),
    );
    check(
        "Pod",
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"labels": {"$patch": "delete"}}}),
        json!({"metadata": {"labels": {}}}),
    );
}

#[test]
fn lists_of_values_are_sets() {
    let with = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    check(
        "Pod",
        with(json!(["a", "b"])),
        with(json!(["b", "c"])),
        with(json!(["a", "b", "c"])),
    );
    check(
        "Pod",
        with(json!(["a", "b", "c"])),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}),
        with(json!(["a", "c"])),
    );
    check(
        "Pod",
        with(json!(["a", "b", "c"])),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"],
            "$setElementOrder/finalizers": ["d", "c", "a"], "finalizers": ["d"]}}),
        with(json!(["d", "c", "a"])),
    );
}

#[test]
fn the_patch_may_order_a_list() {
    check(
        "Pod",
        pod(json!([{"name": "a"}, {"name": "b"}, {"name": "server"}, {"name": "c"}])),
        json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "c", "image": "new"}]}}),
        pod(
            json!([{"name": "server"}, {"name": "c", "image": "new"}, {"name": "b"}, {"name": "a"}]),
        ),
    );
}

#[test]
fn fields_that_are_not_retained_go() {
    check(
        "Deployment",
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
    check(
        "Pod",
        json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}),
        json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
    );
}

#[test]
fn null_removes_and_absent_parts_are_made() {
    check(
        "Pod",
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"labels": {"a": null, "c": null}}, "spec": {"nodeName": "n", "hostname": null}}),
        json!({"metadata": {"labels": {}}, "spec": {"nodeName": "n"}}),
    );
    check(
        "Deployment",
        json!({}),
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "$patch": "merge", "tty": null}]}}}}),
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}),
    );
}

#[test]
fn what_is_malformed_is_refused() {
    let one = || pod(json!([{"name": "a"}]));
    for (patch, word) in [
        (json!({"spec": {"$patch": "wrong"}}), "unknown patch type"),
        (pod(json!([{"image": "x"}])), "merge key: name"),
        (pod(json!([{"$patch": "delete"}])), "merge key: name"),
        (
            json!({"spec": {"$setElementOrder/containers": 3}}),
            "not a list",
        ),
        (
            json!({"spec": {"$retainKeys": ["a"], "hostname": "b"}}),
            "does not list",
        ),
        (json!([]), "is an object"),
    ] {
        let error = patched("Pod", one(), patch.clone()).unwrap_err();
        assert!(error.contains(word), "{patch}: {error}");
    }
}
