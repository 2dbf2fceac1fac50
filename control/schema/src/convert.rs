//! Kinds with two served versions, and how an object goes from one to the other.
//!
//! Events (`v1` and `events.k8s.io/v1`) and horizontal pod autoscalers (`autoscaling/v1` and
//! `v2`). What version 1 of an autoscaler has no field for travels in annotations, as it does
//! upstream; the metrics in them are written as version 2 writes them.

use serde_json::{Map, Value, json};

/// The object in another version of its kind; none where there is no way.
#[must_use]
pub fn convert(object: &Value, api_version: &str) -> Option<Value> {
    let from = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut converted = object.clone();
    if from == api_version {
        return Some(converted);
    }
    match (from, api_version) {
        ("v1", "events.k8s.io/v1") => rename(&mut converted, EVENT, false),
        ("events.k8s.io/v1", "v1") => rename(&mut converted, EVENT, true),
        ("autoscaling/v1", "autoscaling/v2") => scaler_to_v2(&mut converted),
        ("autoscaling/v2", "autoscaling/v1") => scaler_to_v1(&mut converted),
        _ => return None,
    }
    converted["apiVersion"] = json!(api_version);
    Some(converted)
}

/// Names of an event's fields in the core group and in its own.
const EVENT: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(object: &mut Value, names: &[(&str, &str)], back: bool) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    for (core, own) in names {
        let (from, to) = if back { (own, core) } else { (core, own) };
        if let Some(value) = fields.remove(*from) {
            fields.insert((*to).to_owned(), value);
        }
    }
}

/// Annotations that carry what version 1 of an autoscaler has no fields for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

fn part<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(name).and_then(Value::as_object_mut)
}

fn is_cpu_utilization(metric: &Value, inner: &str, field: &str) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"][inner][field].is_number()
}

fn scaler_to_v1(object: &mut Value) {
    let mut carried = Vec::new();
    if let Some(spec) = part(object, "spec") {
        if let Some(Value::Array(mut metrics)) = spec.remove("metrics") {
            let cpu = |m: &Value| is_cpu_utilization(m, "target", "averageUtilization");
            if let Some(at) = metrics.iter().position(cpu) {
                let metric = metrics.remove(at);
                let target = metric["resource"]["target"]["averageUtilization"].clone();
                spec.insert("targetCPUUtilizationPercentage".to_owned(), target);
            }
            if !metrics.is_empty() {
                carried.push((METRICS, Value::Array(metrics)));
            }
        }
        carried.extend(spec.remove("behavior").map(|behavior| (BEHAVIOR, behavior)));
    }
    if let Some(status) = part(object, "status") {
        if let Some(Value::Array(mut metrics)) = status.remove("currentMetrics") {
            let cpu = |m: &Value| is_cpu_utilization(m, "current", "averageUtilization");
            if let Some(at) = metrics.iter().position(cpu) {
                let metric = metrics.remove(at);
                let now = metric["resource"]["current"]["averageUtilization"].clone();
                status.insert("currentCPUUtilizationPercentage".to_owned(), now);
            }
            if !metrics.is_empty() {
                carried.push((CURRENT, Value::Array(metrics)));
            }
        }
        carried.extend(
            status
                .remove("conditions")
                .map(|conditions| (CONDITIONS, conditions)),
        );
    }
    if carried.is_empty() {
        return;
    }
    let annotations = &mut object["metadata"]["annotations"];
    for (name, value) in carried {
        annotations[name] = Value::String(value.to_string());
    }
}

fn scaler_to_v2(object: &mut Value) {
    let mut take = |name: &str| -> Option<Value> {
        let annotations = object
            .get_mut("metadata")?
            .get_mut("annotations")?
            .as_object_mut()?;
        serde_json::from_str(annotations.remove(name)?.as_str()?).ok()
    };
    let (metrics, behavior) = (take(METRICS), take(BEHAVIOR));
    let (conditions, current) = (take(CONDITIONS), take(CURRENT));
    if let Some(metadata) = part(object, "metadata")
        && metadata
            .get("annotations")
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
    {
        metadata.remove("annotations");
    }
    let list = |value: Option<Value>| match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    if let Some(spec) = part(object, "spec") {
        let mut metrics = list(metrics);
        if let Some(target) = spec.remove("targetCPUUtilizationPercentage") {
            let target = json!({"type": "Utilization", "averageUtilization": target});
            metrics
                .push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        }
        if !metrics.is_empty() {
            spec.insert("metrics".to_owned(), Value::Array(metrics));
        }
        spec.extend(behavior.map(|behavior| ("behavior".to_owned(), behavior)));
    }
    if let Some(status) = part(object, "status") {
        let mut metrics = list(current);
        if let Some(now) = status.remove("currentCPUUtilizationPercentage") {
            let now = json!({"averageUtilization": now, "averageValue": "0"});
            metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "current": now}}));
        }
        if !metrics.is_empty() {
            status.insert("currentMetrics".to_owned(), Value::Array(metrics));
        }
        status.extend(conditions.map(|conditions| ("conditions".to_owned(), conditions)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::convert;

    #[test]
    fn events_are_renamed() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod"},
            "message": "m", "count": 2, "reason": "r", "reportingComponent": "c"});
        let own = convert(&core, "events.k8s.io/v1").unwrap();
        assert_eq!(
            own,
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"kind": "Pod"},
                "note": "m", "deprecatedCount": 2, "reason": "r", "reportingController": "c"})
        );
        assert_eq!(convert(&own, "v1"), Some(core));
    }

    #[test]
    fn autoscalers_lose_nothing_on_the_way() {
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
        let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": [memory, cpu], "behavior": {"scaleDown": {}}},
            "status": {"conditions": [{"type": "AbleToScale"}]}});
        let v1 = convert(&v2, "autoscaling/v1").unwrap();
        assert_eq!(
            v1["spec"],
            json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 50})
        );
        assert_eq!(v1["metadata"]["annotations"].as_object().unwrap().len(), 3);
        assert_eq!(convert(&v1, "autoscaling/v2"), Some(v2));
    }

    #[test]
    fn other_kinds_have_one_version() {
        assert_eq!(convert(&json!({"apiVersion": "apps/v1"}), "apps/v2"), None);
    }
}
