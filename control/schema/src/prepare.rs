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

/// A namespace's finalizers change by a subresource of their own.
pub fn namespace_change(new: &mut Value, old: &Value) {
    new["spec"] = old.get("spec").cloned().unwrap_or_default();
}

/// A definition that stores in another version remembers the versions it has stored in.
pub fn definition_change(new: &mut Value, _: &Value) {
    crate::defaults::admission::stored_versions(new);
}

/// Fields of a service that are given by the server, and stay where a change is silent of them.
const ALLOCATED: &[&str] = &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// A service keeps the addresses and ports that it was given, as long as its type needs them, and
/// loses those that another type no longer has.
pub fn service_change(new: &mut Value, old: &Value) {
    let kind = |service: &Value| {
        service
            .pointer("/spec/type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (now, before) = (kind(new), kind(old));
    let Some(was) = old.get("spec") else { return };
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if now == "ExternalName" {
        drop_unchanged(spec, was, ALLOCATED);
    } else if before != "ExternalName" {
        for field in ALLOCATED {
            if let (true, Some(value)) = (is_silent(spec.get(*field)), was.get(*field)) {
                spec.insert((*field).to_owned(), value.clone());
            }
        }
    }
    node_ports(spec, was, needs_ports(&now), needs_ports(&before));
    if before == "LoadBalancer" && now != "LoadBalancer" {
        let own = [
            "allocateLoadBalancerNodePorts",
            "loadBalancerClass",
            "healthCheckNodePort",
        ];
        drop_unchanged(spec, was, &own);
    }
    if needs_ports(&before) && !needs_ports(&now) {
        drop_unchanged(spec, was, &["externalTrafficPolicy"]);
    }
}

fn is_silent(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Number(number)) => number.as_i64() == Some(0),
        _ => false,
    }
}

fn needs_ports(kind: &str) -> bool {
    matches!(kind, "NodePort" | "LoadBalancer")
}

/// Drops fields that the change did not mention: they are as they were.
fn drop_unchanged(spec: &mut Map<String, Value>, was: &Value, fields: &[&str]) {
    for field in fields {
        if spec.get(*field) == was.get(*field) {
            spec.remove(*field);
        }
    }
}

/// Ports of a service are known by protocol and number.
fn node_ports(spec: &mut Map<String, Value>, was: &Value, needed: bool, given: bool) {
    if !given {
        return;
    }
    let old = was
        .get("ports")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        let twin = |o: &&Value| o["port"] == port["port"] && o["protocol"] == port["protocol"];
        let before = old
            .iter()
            .find(twin)
            .and_then(|o| o.get("nodePort"))
            .cloned();
        let Some(fields) = port.as_object_mut() else {
            continue;
        };
        let silent = is_silent(fields.get("nodePort"));
        match before {
            Some(number) if needed && silent => {
                fields.insert("nodePort".to_owned(), number);
            }
            Some(number) if !needed && fields.get("nodePort") == Some(&number) => {
                fields.remove("nodePort");
            }
            _ => {}
        }
    }
}

fn map<'v>(fields: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Map<String, Value>> {
    let slot = fields.entry(name).or_insert_with(|| json!({}));
    slot.as_object_mut()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{job, namespace_change, pod, service_change};

    #[test]
    fn services_keep_what_they_were_given() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [
            {"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}});
        service_change(&mut new, &old);
        assert_eq!(new["spec"]["clusterIP"], "10.0.0.1");
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30080);
        assert_eq!(new["spec"]["ports"][1].get("nodePort"), None);
        let mut plain = old.clone();
        plain["spec"]["type"] = json!("ClusterIP");
        service_change(&mut plain, &old);
        assert_eq!(plain["spec"]["ports"][0].get("nodePort"), None);
        assert_eq!(plain["spec"].get("externalTrafficPolicy"), None);
        assert_eq!(plain["spec"]["clusterIP"], "10.0.0.1");
        let mut named = old.clone();
        named["spec"]["type"] = json!("ExternalName");
        service_change(&mut named, &old);
        assert_eq!(named["spec"].get("clusterIP"), None);
    }

    #[test]
    fn namespaces_are_finalized_elsewhere() {
        let old = json!({"spec": {"finalizers": ["kubernetes"]}});
        let mut new = json!({"spec": {}});
        namespace_change(&mut new, &old);
        assert_eq!(new, old);
    }

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
