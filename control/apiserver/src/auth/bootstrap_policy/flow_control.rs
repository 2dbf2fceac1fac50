//! The flow schemas and priority levels that a cluster begins with. Pure.

use serde_json::{Value, json};

const GROUP_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// A level: name, shares, lendable percent, and queues, hand size and queue length (no queues:
/// requests beyond the limit are refused).
type Level = (&'static str, i64, i64, Option<(i64, i64, i64)>);

const LEVELS: &[Level] = &[
    ("catch-all", 5, 0, None),
    ("system", 30, 33, Some((64, 6, 50))),
    ("node-high", 40, 25, Some((64, 6, 50))),
    ("leader-election", 10, 0, Some((16, 4, 50))),
    ("workload-high", 40, 50, Some((128, 6, 50))),
    ("workload-low", 100, 90, Some((128, 6, 50))),
    ("global-default", 20, 50, Some((128, 6, 50))),
];

/// All priority levels.
pub(crate) fn priority_levels() -> Vec<Value> {
    let exempt = level(
        "exempt",
        json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
    );
    let limited = LEVELS.iter().map(|(name, shares, lendable, queues)| {
        let response = match queues {
            None => json!({"type": "Reject"}),
            Some((queues, hand, length)) => {
                json!({"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}})
            }
        };
        let limits = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
        level(name, json!({"type": "Limited", "limited": limits}))
    });
    std::iter::once(exempt).chain(limited).collect()
}

fn level(name: &str, spec: Value) -> Value {
    object("PriorityLevelConfiguration", name, spec)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": GROUP_VERSION, "kind": kind,
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec, "status": {}})
}

/// All flow schemas.
pub(crate) fn flow_schemas() -> Vec<Value> {
    let mut all = of_nodes_and_leaders();
    all.extend(of_everything_else());
    all
}

const BY_USER: Option<&str> = Some("ByUser");
const BY_NAMESPACE: Option<&str> = Some("ByNamespace");
const MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";

fn of_nodes_and_leaders() -> Vec<Value> {
    const LEAD: &str = "create get update";
    let leases = rule(LEAD, "coordination.k8s.io", "leases", "*");
    let leaders = [user(MANAGER), user(SCHEDULER), account("*")];
    let endpoints = ["endpoint-controller", "endpointslicemirroring-controller"].map(account);
    let endpoints = [vec![user(MANAGER)], endpoints.to_vec()].concat();
    let locks = rule(LEAD, "", "endpoints configmaps", "*");
    let own = [
        cluster_rule("*", "", "nodes nodes/status"),
        rule("*", "coordination.k8s.io", "leases", "kube-node-lease"),
    ];
    let lead = resources(&leaders, std::slice::from_ref(&leases));
    let mirror = resources(&endpoints, &[rule(LEAD, "", "endpoints", "*")]);
    let workloads = resources(&[account("*")], &[locks, leases]);
    let nodes = resources(&[group("system:nodes")], &own);
    vec![
        schema(
            "system-leader-election",
            "leader-election",
            100,
            BY_USER,
            &lead,
        ),
        schema(
            "endpoint-controller",
            "workload-high",
            150,
            BY_USER,
            &mirror,
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            BY_USER,
            &workloads,
        ),
        schema("system-node-high", "node-high", 400, BY_USER, &nodes),
    ]
}

fn of_everything_else() -> Vec<Value> {
    let everyone = ["system:unauthenticated", "system:authenticated"].map(group);
    let probes = urls(&everyone, "get", "/healthz /readyz /livez");
    let all_of = |group_name: &str| all(&[group(group_name)]);
    let accounts = all(&[account("*")]);
    let (manager, scheduler) = (all(&[user(MANAGER)]), all(&[user(SCHEDULER)]));
    let everything = all(&everyone);
    let name = "kube-system-service-accounts";
    let others = all_of("system:serviceaccounts");
    vec![
        schema("exempt", "exempt", 1, None, &all_of("system:masters")),
        schema("probes", "exempt", 2, None, &probes),
        schema(
            "system-nodes",
            "system",
            500,
            BY_USER,
            &all_of("system:nodes"),
        ),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            BY_NAMESPACE,
            &manager,
        ),
        schema(
            "kube-scheduler",
            "workload-high",
            800,
            BY_NAMESPACE,
            &scheduler,
        ),
        schema(name, "workload-high", 900, BY_NAMESPACE, &accounts),
        schema("service-accounts", "workload-low", 9000, BY_USER, &others),
        schema(
            "global-default",
            "global-default",
            9900,
            BY_USER,
            &everything,
        ),
        schema("catch-all", "catch-all", 10000, BY_USER, &everything),
    ]
}

fn schema(name: &str, level: &str, precedence: i64, by: Option<&str>, rules: &Value) -> Value {
    let mut spec = json!({"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rules]});
    if let Some(by) = by {
        spec["distinguisherMethod"] = json!({"type": by});
    }
    object("FlowSchema", name, spec)
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}})
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn rule(verbs: &str, group: &str, resources: &str, namespace: &str) -> Value {
    json!({"verbs": words(verbs), "apiGroups": [group], "resources": words(resources), "namespaces": [namespace]})
}

fn cluster_rule(verbs: &str, group: &str, resources: &str) -> Value {
    json!({"verbs": words(verbs), "apiGroups": [group], "resources": words(resources), "clusterScope": true})
}

fn resources(subjects: &[Value], rules: &[Value]) -> Value {
    json!({"subjects": subjects, "resourceRules": rules})
}

fn urls(subjects: &[Value], verbs: &str, urls: &str) -> Value {
    json!({"subjects": subjects, "nonResourceRules": [{"verbs": words(verbs), "nonResourceURLs": words(urls)}]})
}

fn all(subjects: &[Value]) -> Value {
    let resources = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]});
    json!({"subjects": subjects, "resourceRules": [resources],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]})
}
