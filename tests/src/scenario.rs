//! Pods for tests, as JSON documents: short to write, with every field still in reach.

use crate::node::IMAGE;
use serde_json::{Value, json};

/// A pod of one container that runs a shell script.
#[must_use]
pub fn pod(name: &str, script: &str) -> Value {
    pod_of(name, &[container("main", script)])
}

/// A pod of some containers, quick to end.
#[must_use]
pub fn pod_of(name: &str, containers: &[Value]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": containers },
    })
}

/// A container that runs a shell script.
#[must_use]
pub fn container(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": IMAGE, "command": ["sh", "-c", script] })
}

/// The script of a container that lasts, and ends at once when it is told to.
pub const LAST: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// The script of a web server on port 80 that says `text`.
#[must_use]
pub fn serve(text: &str) -> String {
    format!("mkdir -p /www && echo '{text}' > /www/index.html && exec httpd -f -p 80 -h /www")
}

/// Sets a field by its JSON pointer and hands the document on.
///
/// # Panics
/// When the parent of the field is no object.
#[must_use]
pub fn set(mut document: Value, pointer: &str, value: &Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = document.pointer_mut(parent).expect("the field's parent");
    match parent {
        Value::Object(map) => drop(map.insert(key.to_owned(), value.clone())),
        other => panic!("{pointer}: {other} has no fields"),
    }
    document
}
