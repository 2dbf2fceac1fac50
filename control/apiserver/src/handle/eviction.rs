//! `eviction`: a pod is deleted if no disruption budget is against it.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use keelson_api::meta::LabelSelector;
use keelson_api::selector::Selector;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::delete::{self, DeleteOptions};
use crate::handle::{Call, decode};
use crate::registry::{Next, metadata};
use crate::respond::Reply;
use crate::selection::Selection;

/// What a budget says to an eviction.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// It takes none of the budget.
    Free,
    /// The budget, with this eviction taken from it.
    Spend(Value),
    Refuse(String, i32),
}

/// Evicts.
pub(crate) async fn answer(api: &Arc<Api>, call: &Call, body: Bytes) -> Outcome<Reply> {
    let (eviction, _) = decode::tree(&call.headers, &body)?;
    let own = metadata::text(&eviction, "name");
    let name = &call.request.name;
    if !own.is_empty() && own != name {
        return Err(Failure::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let mut options: DeleteOptions = match &eviction["deleteOptions"] {
        Value::Null => DeleteOptions::default(),
        given => serde_json::from_value(given.clone())
            .map_err(|error| Failure::bad_request(format!("deleteOptions: {error}")))?,
    };
    options
        .dry_run
        .extend(call.query.values("dryRun").map(str::to_owned));
    let dry = super::options::dry_run(options.dry_run.iter().map(String::as_str))?;
    let pod = api
        .registry
        .read(&call.kind, call.namespace(), name)
        .await?
        .object;
    if !needs_no_budget(&pod) {
        spend(api, call, &pod, dry).await?;
    }
    delete::delete(api, call, name, &options).await?;
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Reply::value(StatusCode::CREATED, &done))
}

/// Pods that serve nobody.
fn needs_no_budget(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str();
    metadata::is_going(pod) || matches!(phase, Some("Succeeded" | "Failed" | "Pending"))
}

/// Takes the eviction from the pod's budget.
async fn spend(api: &Api, call: &Call, pod: &Value, dry: bool) -> Outcome<()> {
    let budgets = api.registry.builtin("policy", "poddisruptionbudgets")?;
    let cache = api.registry.cache(budgets).await?;
    api.registry.caches.catch_up().await?;
    let inside = Selection::parse(call.namespace(), None, None, &[])?;
    let all = cache.select(&inside, 0).versions;
    let mut covering = Vec::new();
    for version in &all {
        let budget = serde_json::from_slice(&version.body).map_err(Failure::internal)?;
        if covers(&budget, pod)? {
            covering.push(version.name());
        }
    }
    let Some(budget) = covering.first() else {
        return Ok(());
    };
    if covering.len() > 1 {
        return Err(Failure::internal(
            "this pod has more than one PodDisruptionBudget, which the eviction subresource does not support",
        ));
    }
    let attempt = api.registry.attempt(budgets, call.namespace(), budget);
    let mut attempt = attempt.await?;
    loop {
        let next = match judge(&attempt.current.object, pod, &metadata::time(call.now)) {
            Verdict::Free => return Ok(()),
            Verdict::Refuse(why, seconds) => {
                let message = "Cannot evict pod as it would violate the pod's disruption budget.";
                return Err(Failure::busy(message, seconds).because("DisruptionBudget", why));
            }
            Verdict::Spend(next) if dry => {
                drop(next);
                return Ok(());
            }
            Verdict::Spend(next) => Next::Put(next),
        };
        if attempt.commit(next).await?.is_some() {
            return Ok(());
        }
    }
}

/// Whether a budget is about the pod. One that cannot be read may be: nothing is evicted against
/// what nobody understands.
fn covers(budget: &Value, pod: &Value) -> Outcome<bool> {
    let selector = match &budget["spec"]["selector"] {
        Value::Null => return Ok(false),
        selector => LabelSelector::deserialize(selector).map_err(|error| error.to_string()),
    };
    let parsed = selector.and_then(|selector| {
        Selector::of_object(&selector).ok_or_else(|| "it has an unknown operator".to_owned())
    });
    let parsed = parsed.map_err(|why| {
        let name = metadata::text(budget, "name");
        Failure::internal(format!(
            "the selector of PodDisruptionBudget {name} cannot be used: {why}"
        ))
    })?;
    Ok(parsed.matches_by(|key: &str| pod["metadata"]["labels"][key].as_str()))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    ready.any(|condition| condition["status"] == "True")
}

/// Decides by a budget.
fn judge(budget: &Value, pod: &Value, now: &str) -> Verdict {
    let status = &budget["status"];
    let number = |field: &str| status[field].as_i64().unwrap_or_default();
    let name = metadata::text(budget, "name");
    if !is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        let healthy =
            number("desiredHealthy") > 0 && number("currentHealthy") >= number("desiredHealthy");
        if always || healthy {
            return Verdict::Free;
        }
    }
    let generation = budget["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default();
    if number("observedGeneration") < generation {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Verdict::Refuse(why, 10);
    }
    if number("disruptionsAllowed") <= 0 {
        let why = format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number("desiredHealthy"),
            number("currentHealthy")
        );
        return Verdict::Refuse(why, 0);
    }
    let mut next = budget.clone();
    next["status"]["disruptionsAllowed"] = (number("disruptionsAllowed") - 1).into();
    next["status"]["disruptedPods"][metadata::text(pod, "name")] = now.into();
    Verdict::Spend(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64) -> Value {
        json!({"metadata": {"name": "b", "generation": 1},
            "spec": {"selector": {"matchLabels": {"a": "b"}}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "desiredHealthy": 2, "currentHealthy": 1}})
    }

    fn pod(ready: &str) -> Value {
        json!({"metadata": {"name": "p", "labels": {"a": "b"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn budgets_are_spent_and_then_refuse() {
        let Verdict::Spend(next) = judge(&budget(1), &pod("True"), "now") else {
            panic!("not allowed");
        };
        assert_eq!(next["status"]["disruptionsAllowed"], 0);
        assert_eq!(next["status"]["disruptedPods"]["p"], "now");
        let refused = judge(&budget(0), &pod("True"), "now");
        assert!(matches!(refused, Verdict::Refuse(_, 0)), "{refused:?}");
        let mut old = budget(1);
        old["metadata"]["generation"] = 2.into();
        let refused = judge(&old, &pod("True"), "now");
        assert!(matches!(refused, Verdict::Refuse(_, 10)), "{refused:?}");
    }

    #[test]
    fn pods_that_are_not_ready_may_go_where_the_budget_is_met() {
        let mut met = budget(0);
        met["status"]["currentHealthy"] = 2.into();
        assert_eq!(judge(&met, &pod("False"), "now"), Verdict::Free);
        let mut always = budget(0);
        always["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        assert_eq!(judge(&always, &pod("False"), "now"), Verdict::Free);
    }

    #[test]
    fn budgets_cover_what_they_select() {
        let check = |budget: &Value, pod: &Value, expected: bool| {
            assert_eq!(covers(budget, pod).ok(), Some(expected), "{budget}");
        };
        check(&budget(1), &pod("True"), true);
        check(&budget(1), &json!({"metadata": {}}), false);
        check(&json!({"spec": {}}), &pod("True"), false);
        check(&json!({"spec": {"selector": {}}}), &pod("True"), true);
    }

    #[test]
    fn budgets_that_nobody_understands_refuse() {
        for selector in [
            json!({"matchLabels": 7}),
            json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}),
        ] {
            let budget = json!({"metadata": {"name": "odd"}, "spec": {"selector": selector}});
            let refused = covers(&budget, &pod("True")).unwrap_err();
            assert!(
                refused.message().contains("PodDisruptionBudget odd"),
                "{}",
                refused.message()
            );
        }
    }
}
