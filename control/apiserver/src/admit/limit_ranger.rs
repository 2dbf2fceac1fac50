//! `LimitRanger`: what containers ask for unless they say, and the least and most of it. Pure.

use keelson_api::core::Pod;
use keelson_api::quantity::Quantity;
use keelson_api::resources::{self, Amounts};
use serde_json::Value;

use super::{Notes, Operation, Request, View, fields};
use crate::failure::Outcome;

/// Where it is said what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The ranges that apply to this request, if any do.
fn ranges(request: &Request<'_>, view: &dyn View) -> Vec<Value> {
    let pods = match request.operation {
        Operation::Create => request.is_for("", "pods"),
        _ => request.is_for_part("", "pods", "resize"),
    };
    let ends = fields::optional_text(request.old, "/metadata/deletionTimestamp").is_some();
    if ends || !(pods || request.is_for("", "persistentvolumeclaims")) {
        return Vec::new();
    }
    let mut found = view.list("", "limitranges", request.namespace);
    found.sort_by(|a, b| fields::name(a).cmp(fields::name(b)));
    found
}

fn limits(ranges: &[Value]) -> impl Iterator<Item = &Value> {
    ranges
        .iter()
        .flat_map(|range| fields::list(range, "/spec/limits"))
}

fn amounts(limit: &Value, field: &str) -> Amounts {
    let pairs = fields::text_map(limit, field).into_iter();
    pairs
        .filter_map(|(name, text)| Some((name, Quantity::parse(&text).ok()?)))
        .collect()
}

/// Fills in requests and limits of a pod's containers.
pub(crate) fn mutate(request: &Request<'_>, object: &mut Value, view: &dyn View) -> Outcome<()> {
    if request.resource != "pods" {
        return Ok(());
    }
    for range in ranges(request, view) {
        let one = std::slice::from_ref(&range);
        let of_containers =
            || limits(one).filter(|limit| fields::text(limit, "/type") == "Container");
        let mut told = Vec::new();
        for (field, what) in [
            ("containers", "container"),
            ("initContainers", "init container"),
        ] {
            if fields::list(object, &format!("/spec/{field}")).is_empty() {
                continue;
            }
            for container in fields::list_mut(object, &["spec", field]) {
                for (part, word, default) in [
                    ("requests", "request", "defaultRequest"),
                    ("limits", "limit", "default"),
                ] {
                    let defaults = of_containers().map(|limit| &limit[default]);
                    told.extend(fill(container, what, part, word, defaults));
                }
            }
        }
        if !told.is_empty() {
            let text = format!("LimitRanger plugin set: {}", told.join("; "));
            fields::put(object, &["metadata", "annotations", ANNOTATION], text);
        }
    }
    Ok(())
}

/// Fills in a part of a container's resources; says what was set.
fn fill<'a>(
    container: &mut Value,
    what: &str,
    field: &str,
    word: &str,
    defaults: impl Iterator<Item = &'a Value>,
) -> Option<String> {
    let mut set = std::collections::BTreeSet::new();
    for (name, amount) in defaults.filter_map(Value::as_object).flatten() {
        if container["resources"][field][name].is_null() {
            fields::put(container, &["resources", field, name], amount.clone());
            set.insert(name.as_str());
        }
    }
    let names: Vec<_> = set.into_iter().collect();
    (!names.is_empty()).then(|| {
        let container = fields::text(container, "/name");
        format!("{} {word} for {what} {container}", names.join(", "))
    })
}

/// Decides whether a pod or a claim keeps to the ranges.
pub(crate) fn validate(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    for range in ranges(request, view) {
        let one = std::slice::from_ref(&range);
        let judge = match request.resource {
            "pods" => pod_errors,
            _ => claim_errors,
        };
        let wrong: Vec<String> = limits(one).flat_map(|limit| judge(limit, object)).collect();
        match wrong.as_slice() {
            [] => {}
            [one] => return Err(request.forbid(object, one)),
            all => return Err(request.forbid(object, &format!("[{}]", all.join(", ")))),
        }
    }
    Ok(())
}

fn pod_errors(limit: &Value, pod: &Value) -> Vec<String> {
    match fields::text(limit, "/type") {
        "Container" => {
            let all = fields::containers(&pod["spec"])
                .filter(|(field, ..)| *field != "ephemeralContainers");
            let errors = all.flat_map(|(_, _, container)| {
                let requests = amounts(container, "/resources/requests");
                errors(
                    limit,
                    "Container",
                    &requests,
                    &amounts(container, "/resources/limits"),
                )
            });
            errors.collect()
        }
        "Pod" => {
            let pod: Pod = fields::typed(pod);
            errors(
                limit,
                "Pod",
                &resources::pod_requests(&pod),
                &resources::pod_limits(&pod),
            )
        }
        _ => Vec::new(),
    }
}

fn errors(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let of = |field, rule: Rule| -> Vec<String> {
        let all = amounts(limit, field).into_iter();
        all.filter_map(|(name, bound)| {
            rule(kind, &name, bound, requests.get(&name), limits.get(&name))
        })
        .collect()
    };
    [
        of("/min", at_least),
        of("/max", at_most),
        of("/maxLimitRequestRatio", within_ratio),
    ]
    .concat()
}

fn claim_errors(limit: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    if fields::text(limit, "/type") != KIND {
        return Vec::new();
    }
    let requests = amounts(claim, "/spec/resources/requests");
    let of = |field, rule: Rule| -> Vec<String> {
        let all = amounts(limit, field).into_iter();
        all.filter_map(|(name, bound)| rule(KIND, &name, bound, requests.get(&name), None))
            .collect()
    };
    [of("/min", at_least), of("/max", requests_at_most)].concat()
}

type Rule = fn(&str, &str, Quantity, Option<&Quantity>, Option<&Quantity>) -> Option<String>;

fn at_least(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let text = format!("minimum {name} usage per {kind} is {bound}");
    match (request, limit) {
        (None, _) => Some(format!("{text}.  No request is specified")),
        (Some(request), _) if *request < bound => Some(format!("{text}, but request is {request}")),
        (_, Some(limit)) if *limit < bound => Some(format!("{text}, but limit is {limit}")),
        _ => None,
    }
}

fn at_most(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let text = format!("maximum {name} usage per {kind} is {bound}");
    match (request, limit) {
        (_, None) => Some(format!("{text}.  No limit is specified")),
        (_, Some(limit)) if *limit > bound => Some(format!("{text}, but limit is {limit}")),
        (Some(request), _) if *request > bound => Some(format!("{text}, but request is {request}")),
        _ => None,
    }
}

fn requests_at_most(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Option<&Quantity>,
    _: Option<&Quantity>,
) -> Option<String> {
    let text = format!("maximum {name} usage per {kind} is {bound}");
    match request {
        None => Some(format!("{text}.  No request is specified")),
        Some(request) if *request > bound => Some(format!("{text}, but request is {request}")),
        Some(_) => None,
    }
}

fn within_ratio(
    kind: &str,
    name: &str,
    bound: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let text = format!("{name} max limit to request ratio per {kind} is {bound}, but");
    let (Some(request), Some(limit)) = (
        request.filter(|r| !r.is_zero()),
        limit.filter(|l| !l.is_zero()),
    ) else {
        let missing = if request.is_none_or(Quantity::is_zero) {
            "request"
        } else {
            "limit"
        };
        return Some(format!(
            "{text} no {missing} is specified or {missing} is 0"
        ));
    };
    let ratio = limit.approximate() / request.approximate();
    (ratio > bound.approximate()).then(|| format!("{text} provided ratio is {ratio:.6}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::tests::{World, request};
    use crate::auth::User;
    use crate::failure::Failure;

    fn ask(resource: &str, limits: Value, mut object: Value) -> Result<Value, String> {
        let range =
            json!({"metadata": {"name": "r", "namespace": "ns"}, "spec": {"limits": limits}});
        let world = World::default().with("", "limitranges", range);
        let user = User::known("jane", []);
        let request = request(Operation::Create, "", resource, &user, &fields::NULL);
        mutate(&request, &mut object, &world)
            .and_then(|()| validate(&request, &object, &world, &mut Notes::default()))
            .map(|()| object)
            .map_err(|failure: Failure| failure.message().replace("\"x\" is forbidden: ", ""))
    }

    #[test]
    fn containers_get_defaults() {
        let limits = json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}]);
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "2Gi"}}}]}});
        let found = ask("pods", limits, pod).unwrap();
        let resources = &found["spec"]["containers"][0]["resources"];
        assert_eq!(
            resources,
            &json!({"limits": {"memory": "2Gi", "cpu": "1"}, "requests": {"cpu": "100m"}})
        );
        let told = "LimitRanger plugin set: cpu request for container c; cpu limit for container c";
        assert_eq!(found["metadata"]["annotations"][ANNOTATION], told);
    }

    fn check(limit: Value, requests: Value, limits: Value, expected: Result<(), &str>) {
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}});
        let found = ask("pods", json!([limit]), pod);
        assert_eq!(found.as_ref().map(|_| ()).map_err(String::as_str), expected);
    }

    #[test]
    fn containers_and_pods_keep_to_their_range() {
        let min = json!({"type": "Container", "min": {"cpu": "100m"}});
        check(min.clone(), json!({"cpu": "100m"}), json!({}), Ok(()));
        check(
            min.clone(),
            json!({}),
            json!({}),
            Err("pods minimum cpu usage per Container is 100m.  No request is specified"),
        );
        check(
            min,
            json!({"cpu": "50m"}),
            json!({}),
            Err("pods minimum cpu usage per Container is 100m, but request is 50m"),
        );
        let max = json!({"type": "Pod", "max": {"memory": "1Gi"}});
        check(max.clone(), json!({}), json!({"memory": "1Gi"}), Ok(()));
        check(
            max.clone(),
            json!({}),
            json!({"memory": "2Gi"}),
            Err("pods maximum memory usage per Pod is 1Gi, but limit is 2Gi"),
        );
        check(
            max,
            json!({"memory": "1Gi"}),
            json!({}),
            Err("pods maximum memory usage per Pod is 1Gi.  No limit is specified"),
        );
        let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
        check(
            ratio.clone(),
            json!({"cpu": "1"}),
            json!({"cpu": "2"}),
            Ok(()),
        );
        check(
            ratio.clone(),
            json!({"cpu": "1"}),
            json!({"cpu": "3"}),
            Err(
                "pods cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
        );
        check(
            ratio,
            json!({"cpu": "1"}),
            json!({}),
            Err(
                "pods cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
            ),
        );
    }

    #[test]
    fn several_errors_are_listed() {
        let limit = json!({"type": "Container", "min": {"cpu": "1"}, "max": {"memory": "1Gi"}});
        check(
            limit,
            json!({"cpu": "1m"}),
            json!({"memory": "2Gi"}),
            Err(
                "pods [minimum cpu usage per Container is 1, but request is 1m, maximum memory usage per Container is 1Gi, but limit is 2Gi]",
            ),
        );
    }

    #[test]
    fn claims_keep_to_their_range() {
        let limits = json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]);
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let ask = |size| ask("persistentvolumeclaims", limits.clone(), claim(size)).map(|_| ());
        assert_eq!(ask("2Gi"), Ok(()));
        let small = "persistentvolumeclaims minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi";
        assert_eq!(ask("1Mi"), Err(small.to_owned()));
        let big = "persistentvolumeclaims maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi";
        assert_eq!(ask("3Gi"), Err(big.to_owned()));
    }
}
