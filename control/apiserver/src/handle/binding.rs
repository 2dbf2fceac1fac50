//! `binding`: a pod gets its node, once.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::{Call, decode, options};
use crate::registry::{Next, metadata};
use crate::respond::Reply;

/// Binds the pod that the path or the body names.
pub(crate) async fn answer(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let (binding, _) = decode::tree(&call.headers, &body)?;
    let target = &binding["target"];
    let kind = target["kind"].as_str().unwrap_or_default();
    let node = target["name"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "Node") || node.is_empty() {
        return Err(Failure::bad_request(
            "a binding's target must be a Node with a name",
        ));
    }
    let own = metadata::text(&binding, "name");
    let name = if call.request.name.is_empty() {
        own
    } else {
        &call.request.name
    };
    let dry = options::dry_run(call.query.values("dryRun"))?;
    let pods = api.registry.builtin("", "pods")?;
    let mut attempt = api.registry.attempt(pods, call.namespace(), name).await?;
    loop {
        let next = bind(
            &attempt.current.object,
            &binding,
            node,
            &metadata::time(call.now),
        )?;
        let next = if dry { Next::Keep } else { Next::Put(next) };
        if attempt.commit(next).await?.is_some() {
            break;
        }
    }
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::value(StatusCode::CREATED, &done))
}

/// The pod with its node.
fn bind(pod: &Value, binding: &Value, node: &str, now: &str) -> Outcome<Value> {
    let name = metadata::text(pod, "name");
    let refuse = |why: String| Failure::conflict("", "pods/binding", name, &why);
    let wanted = metadata::text(binding, "uid");
    if !wanted.is_empty() && wanted != metadata::text(pod, "uid") {
        let there = metadata::text(pod, "uid");
        let why = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {there}"
        );
        return Err(refuse(why));
    }
    if metadata::is_going(pod) {
        return Err(refuse(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        )));
    }
    if let Some(taken) = pod["spec"]["nodeName"]
        .as_str()
        .filter(|taken| !taken.is_empty())
    {
        return Err(refuse(format!(
            "pod {name} is already assigned to node {taken:?}"
        )));
    }
    if pod["spec"]["schedulingGates"]
        .as_array()
        .is_some_and(|gates| !gates.is_empty())
    {
        return Err(refuse(format!(
            "pod {name} has non-empty .spec.schedulingGates"
        )));
    }
    let mut pod = pod.clone();
    pod["spec"]["nodeName"] = node.into();
    for field in ["annotations", "labels"] {
        for (key, value) in binding["metadata"][field].as_object().into_iter().flatten() {
            pod["metadata"][field][key] = value.clone();
        }
    }
    scheduled(&mut pod, now);
    Ok(pod)
}

fn scheduled(pod: &mut Value, now: &str) {
    let mut conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    }));
    pod["status"]["conditions"] = conditions.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: Value, expected: Result<&str, &str>) {
        let binding = json!({"metadata": {"annotations": {"a": "b"}}});
        match (bind(&pod, &binding, "n", "now"), expected) {
            (Ok(bound), Ok(node)) => {
                assert_eq!(bound["spec"]["nodeName"], node);
                assert_eq!(bound["metadata"]["annotations"]["a"], "b");
                assert_eq!(bound["status"]["conditions"][0]["status"], "True");
            }
            (Err(failure), Err(message)) => {
                assert!(failure.message().contains(message), "{failure}")
            }
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_pod_is_bound_once() {
        check(json!({"metadata": {"name": "p"}, "spec": {}}), Ok("n"));
        check(
            json!({"metadata": {}, "spec": {"nodeName": "m"}}),
            Err("already assigned"),
        );
        let going = json!({"metadata": {"deletionTimestamp": "x"}, "spec": {}});
        check(going, Err("being deleted"));
        let gated = json!({"metadata": {}, "spec": {"schedulingGates": [{"name": "g"}]}});
        check(gated, Err("schedulingGates"));
    }
}
