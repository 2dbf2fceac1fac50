//! Statuses, as those report them who look after objects: what cannot be, and what cannot come
//! after what was.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::At;

fn status(object: &Value) -> At<'_> {
    At::root(object).field("status")
}

fn counts(status: &At<'_>, fields: &[&str], errors: &mut ErrorList) {
    for field in fields {
        status.field(field).not_negative(errors);
    }
}

/// Complains about counts that are larger than another one.
fn at_most(status: &At<'_>, fields: &[&str], limit: &str, detail: &str, errors: &mut ErrorList) {
    let limit = status.field(limit).int().unwrap_or_default();
    for field in fields.iter().map(|field| status.field(field)) {
        if let Some(number) = field.int().filter(|number| *number > limit) {
            errors.invalid(&field.path, number, detail);
        }
    }
}

const OF_ALL: &str = "cannot be greater than status.replicas";

/// Counts how often names collided: up only.
fn collisions(new: &At<'_>, old: &Value, errors: &mut ErrorList) {
    let count = new.field("collisionCount");
    count.not_negative(errors);
    let before = status(old).field("collisionCount").int();
    if before.is_some_and(|before| count.int().unwrap_or_default() < before) {
        count.invalid("cannot be decremented", errors);
    }
}

/// Counts of pods: none is negative, parts are at most the whole, and the available ones are ready.
fn replicas(now: &At<'_>, others: &[&str], parts: &[&str], ready: &str, errors: &mut ErrorList) {
    counts(now, &["replicas", "observedGeneration"], errors);
    counts(now, others, errors);
    counts(now, parts, errors);
    at_most(now, parts, "replicas", OF_ALL, errors);
    let available = &["availableReplicas"];
    at_most(now, available, "readyReplicas", ready, errors);
}

const OF_READY: &str = "cannot be greater than readyReplicas";

/// Judges the status of a deployment.
pub fn deployment(new: &Value, old: &Value, errors: &mut ErrorList) {
    let now = status(new);
    let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    collisions(&now, old, errors);
    replicas(&now, &["unavailableReplicas"], &parts, OF_READY, errors);
}

/// Judges the status of a replica set or a replication controller.
pub fn replica_set(new: &Value, _: &Value, errors: &mut ErrorList) {
    let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    replicas(&status(new), &[], &parts, OF_READY, errors);
}

/// Judges the status of a stateful set.
pub fn stateful_set(new: &Value, old: &Value, errors: &mut ErrorList) {
    let now = status(new);
    let parts = [
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
    ];
    let detail = "cannot be greater than status.readyReplicas";
    collisions(&now, old, errors);
    replicas(&now, &[], &parts, detail, errors);
}

/// Judges the status of a daemon set.
pub fn daemon_set(new: &Value, old: &Value, errors: &mut ErrorList) {
    let now = status(new);
    let all = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    ];
    counts(&now, &all, errors);
    collisions(&now, old, errors);
}

/// Judges the status of a job.
pub fn job(new: &Value, _: &Value, errors: &mut ErrorList) {
    let all = ["active", "succeeded", "failed", "ready", "terminating"];
    counts(&status(new), &all, errors);
}

/// Judges the status of an autoscaler.
pub fn autoscaler(new: &Value, _: &Value, errors: &mut ErrorList) {
    counts(
        &status(new),
        &["currentReplicas", "desiredReplicas"],
        errors,
    );
}

/// Judges the status of a disruption budget.
pub fn disruption_budget(new: &Value, _: &Value, errors: &mut ErrorList) {
    let all = [
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ];
    counts(&status(new), &all, errors);
}

/// Judges the status of a namespace: its phase follows from whether it is being deleted.
pub fn namespace(new: &Value, _: &Value, errors: &mut ErrorList) {
    let going = At::root(new).at("metadata.deletionTimestamp").is_given();
    let phase = At::root(new).at("status.Phase").path;
    let text = status(new).field("phase").text();
    let (only, is) = if going {
        ("Terminating", "not empty")
    } else {
        ("Active", "empty")
    };
    if text != only {
        let detail = format!("may only be '{only}' if `deletionTimestamp` is {is}");
        errors.invalid(&phase, text, detail);
    }
}

/// Judges the status of a service.
pub fn service(new: &Value, old: &Value, errors: &mut ErrorList) {
    let ingress = status(new).at("loadBalancer.ingress");
    let kind = At::root(new).at("spec.type");
    if kind.text() != "LoadBalancer" && !ingress.is_empty() {
        ingress.forbidden("may only be used when `spec.type` is LoadBalancer", errors);
    } else {
        balanced(new, old, errors);
    }
}

/// Judges the status of an ingress.
pub fn balanced(new: &Value, _: &Value, errors: &mut ErrorList) {
    for point in status(new).at("loadBalancer.ingress").items() {
        point.field("ip").form(names::ip_address, errors);
        point.field("ipMode").one_of(&["Proxy", "VIP"], errors);
        if point.field("ip").is_empty() && point.field("ipMode").is_given() {
            let mode = point.field("ipMode");
            mode.forbidden("may not be specified when `ip` is not set", errors);
        }
        let host = point.field("hostname");
        host.form(names::dns_subdomain, errors);
        if host.text().parse::<std::net::IpAddr>().is_ok() {
            host.invalid("must be a DNS name, not an IP address", errors);
        }
    }
}

/// Judges the status of a node.
pub fn node(new: &Value, _: &Value, errors: &mut ErrorList) {
    let mut seen: Vec<&Value> = Vec::new();
    for address in status(new).field("addresses").items() {
        if seen.contains(&address.value) {
            errors.duplicate(&address.path, address.value.clone());
        }
        seen.push(address.value);
    }
}

/// Judges the status of a pod.
pub fn pod(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (status(new), status(old));
    let node = |object| At::root(object).at("spec.nodeName").value;
    if node(new) != node(old) {
        errors.forbidden(&now.field("nodeName").path, "may not be changed directly");
    }
    for condition in now.field("conditions").items() {
        condition.field("type").form(names::qualified_name, errors);
    }
    let nominated = now.field("nominatedNodeName");
    if nominated.value != before.field("nominatedNodeName").value {
        nominated.form(names::dns_subdomain, errors);
    }
    let class = now.field("qosClass");
    if !before.field("qosClass").is_empty() && class.value != before.field("qosClass").value {
        class.invalid("field is immutable", errors);
    }
    let policy = At::root(old).at("spec.restartPolicy");
    for (list, specs) in [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
    ] {
        let specs = At::root(old).at("spec").field(specs);
        stays_ended(
            &now.field(list),
            &before.field(list),
            policy.text(),
            &specs,
            errors,
        );
    }
    let (list, specs) = ("ephemeralContainerStatuses", At::root(&Value::Null));
    stays_ended(
        &now.field(list),
        &before.field(list),
        "Never",
        &specs,
        errors,
    );
    addresses(&now.field("podIPs"), errors);
    addresses(&now.field("hostIPs"), errors);
}

/// A container that has ended for good does not come back.
fn stays_ended(new: &At<'_>, old: &At<'_>, policy: &str, specs: &At<'_>, errors: &mut ErrorList) {
    if policy == "Always" {
        return;
    }
    for before in old.items() {
        let (name, ended) = (before.field("name").text(), before.at("state.terminated"));
        let failed = ended.field("exitCode").int().unwrap_or_default() != 0;
        let may_return = |spec: &At<'_>| {
            let own = spec.field("restartPolicy").is_given();
            own || spec.field("restartPolicyRules").is_given()
        };
        let mut named = specs
            .items()
            .filter(|spec| spec.field("name").text() == name);
        let returns = (failed && policy == "OnFailure") || named.any(|spec| may_return(&spec));
        if !ended.is_given() || returns {
            continue;
        }
        let mut same = new
            .items()
            .filter(|after| after.field("name").text() == name);
        if same.any(|after| !after.at("state.terminated").is_given()) {
            // The place is that of the old list, as the state that may not be left is there.
            let detail = "may not be transitioned to non-terminated state";
            errors.forbidden(&before.field("state").path, detail);
        }
    }
}

/// At most one address of each family.
fn addresses(list: &At<'_>, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for address in list.items() {
        let ip = address.field("ip");
        errors.check(&address.path, ip.text(), names::ip_address(ip.text()));
        if seen.contains(&ip.text()) {
            errors.duplicate(&address.path, address.value.clone());
        }
        seen.push(ip.text());
    }
    let of_v6 = seen.iter().filter(|ip| ip.contains(':')).count();
    if of_v6 > 1 || seen.len() - of_v6 > 1 {
        list.invalid("may specify no more than one IP for each IP family", errors);
    }
}
