//! What the server writes into new objects of some kinds itself.

use keelson_api::core::Pod;
use keelson_api::qos;
use serde_json::{Map, Value, json};

/// A new pod is pending, and its quality of service follows from its resources.
pub fn pod(object: &mut Value) {
    let class = serde_json::from_value::<Pod>(object.clone()).map(|pod| qos::class(&pod));
    object["status"] = json!({"phase": "Pending"});
    if let Ok(class) = class {
        object["status"]["qosClass"] = json!(class.as_str());
    }
}

/// A new job selects its pods by its own identity, unless it says that it does that itself.
pub fn job(object: &mut Value) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
    if object.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(template) = map(spec, "template") else {
        return;
    };
    let Some(labels) = map(template, "metadata").and_then(|metadata| map(metadata, "labels"))
    else {
        return;
    };
    for (key, value) in [
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
    let own = json!({"batch.kubernetes.io/controller-uid": uid});
    if let Some(selector) = map(spec, "selector") {
        selector.insert("matchLabels".to_owned(), own);
    }
}

fn map<'v>(fields: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Map<String, Value>> {
    let slot = fields.entry(name).or_insert_with(|| json!({}));
    slot.as_object_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{job, pod};

    #[test]
    fn pods_begin_pending() {
        let resources = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
        let mut object = json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
        pod(&mut object);
        assert_eq!(
            object["status"],
            json!({"phase": "Pending", "qosClass": "Guaranteed"})
        );
    }

    #[test]
    fn jobs_select_their_own_pods() {
        let mut object = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}});
        job(&mut object);
        let own = json!({"batch.kubernetes.io/controller-uid": "u"});
        assert_eq!(object["spec"]["selector"]["matchLabels"], own);
        assert_eq!(
            object["spec"]["template"]["metadata"]["labels"]["job-name"],
            "j"
        );
        let mut manual = json!({"spec": {"manualSelector": true}});
        job(&mut manual);
        assert_eq!(manual, json!({"spec": {"manualSelector": true}}));
    }
}
