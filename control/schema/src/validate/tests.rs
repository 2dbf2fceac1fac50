//! Per kind: an object that is fine, and what is said about it when one thing in it is wrong.

use serde_json::{Value, json};

use keelson_api::validate::field::ErrorList;

use super::{change_rules, create, update};
use crate::resource_table::{Resource, builtin, find};
use crate::write::{Birth, prepare_create};

/// A kind with an object that is fine.
struct Case {
    row: &'static Resource,
    fine: Value,
}

fn case(path: &str, fine: &str) -> Case {
    let (group_version, plural) = path.rsplit_once('/').unwrap();
    let (group, version) = group_version
        .rsplit_once('/')
        .unwrap_or(("", group_version));
    let row = find(group, version, plural).unwrap();
    let mut fine: Value = serde_json::from_str(fine).unwrap_or_else(|e| panic!("{path}: {e}"));
    if fine.pointer("/metadata/name").is_none() {
        fine["metadata"]["name"] = json!("a");
    }
    Case { row, fine }
}

fn born(row: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    (row.strategy.defaults)(&mut object);
    let namespace = row.is_namespaced().then_some("n");
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    prepare_create(
        row,
        &mut object,
        &Birth {
            uid: "u",
            now,
            namespace,
        },
    );
    object
}

/// Sets the value at a pointer; null takes it away.
fn set(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    if object.pointer(parent).is_none() {
        set(object, parent, &json!({}));
    }
    match object.pointer_mut(parent).unwrap() {
        Value::Object(fields) if value.is_null() => {
            fields.remove(name);
        }
        Value::Object(fields) => {
            fields.insert(name.to_owned(), value.clone());
        }
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
        _ => panic!("{pointer}"),
    }
}

impl Case {
    /// A change of the object that is fine, and the beginning of what is said about it.
    fn check(&self, wrong: &[(&str, Value, &str)]) -> &Self {
        let errors = create(self.row, &born(self.row, &self.fine));
        assert!(errors.is_empty(), "{}: {errors}", self.row.plural);
        for (pointer, value, expected) in wrong {
            let mut object = self.fine.clone();
            set(&mut object, pointer, value);
            let errors = create(self.row, &born(self.row, &object));
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let said = texts.iter().any(|text| text.starts_with(expected));
            assert!(
                said,
                "{} {pointer} {value}: expected {expected}, got {texts:#?}",
                self.row.plural
            );
        }
        self
    }

    /// A change of the object once it is there, and the beginning of what is said about it.
    fn change(&self, wrong: &[(&str, Value, &str)]) -> &Self {
        let old = born(self.row, &self.fine);
        for (pointer, value, expected) in wrong {
            let mut new = old.clone();
            set(&mut new, pointer, value);
            let errors = update(self.row, &new, &old);
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let said = match *expected {
                "" => texts.is_empty(),
                expected => texts.iter().any(|text| text.starts_with(expected)),
            };
            assert!(
                said,
                "{} {pointer} {value}: expected {expected}, got {texts:#?}",
                self.row.plural
            );
        }
        self
    }
}

/// Changes of a status, and the beginning of what is said about them; nothing for those that are
/// fine. What the object is like before is told first.
fn statuses(path: &str, before: &Value, changes: &[(Value, &str)]) {
    let case = case(path, "{}");
    let mut old = case.fine.clone();
    for (field, value) in before.as_object().unwrap() {
        old[field] = value.clone();
    }
    for (status, expected) in changes {
        let mut new = old.clone();
        new["status"] = status.clone();
        let mut errors = ErrorList::default();
        change_rules(case.row, "status", &new, &old, &mut errors);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let said = match *expected {
            "" => texts.is_empty(),
            expected => texts.iter().any(|text| text.starts_with(expected)),
        };
        assert!(said, "{path} {status}: expected {expected}, got {texts:#?}");
    }
}

#[test]
fn statuses_of_workloads() {
    let replicas = "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas";
    let collided = json!({"status": {"collisionCount": 3}});
    statuses(
        "apps/v1/deployments",
        &collided,
        &[
            (
                json!({"replicas": 2, "readyReplicas": 2, "availableReplicas": 1, "collisionCount": 3}),
                "",
            ),
            (
                json!({"replicas": 1, "readyReplicas": 2, "collisionCount": 3}),
                replicas,
            ),
            (
                json!({"replicas": 2, "readyReplicas": 1, "availableReplicas": 2, "collisionCount": 4}),
                "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
            ),
            (
                json!({"collisionCount": 2}),
                "status.collisionCount: Invalid value: 2: cannot be decremented",
            ),
            (
                json!({"replicas": -1, "collisionCount": 3}),
                "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
        ],
    );
    for path in [
        "apps/v1/replicasets",
        "apps/v1/statefulsets",
        "v1/replicationcontrollers",
    ] {
        statuses(
            path,
            &json!({}),
            &[
                (json!({"replicas": 2, "readyReplicas": 2}), ""),
                (json!({"replicas": 1, "readyReplicas": 2}), replicas),
            ],
        );
    }
    let negative = [
        (
            json!({"numberReady": -1}),
            "status.numberReady: Invalid value: -1",
        ),
        (json!({"numberReady": 1}), ""),
    ];
    statuses("apps/v1/daemonsets", &json!({}), &negative);
    statuses(
        "batch/v1/jobs",
        &json!({}),
        &[(json!({"active": -1}), "status.active: Invalid value: -1")],
    );
    statuses(
        "policy/v1/poddisruptionbudgets",
        &json!({}),
        &[
            (
                json!({"currentHealthy": -1}),
                "status.currentHealthy: Invalid value: -1",
            ),
            (json!({"expectedPods": 3}), ""),
        ],
    );
    statuses(
        "autoscaling/v2/horizontalpodautoscalers",
        &json!({}),
        &[(
            json!({"desiredReplicas": -1}),
            "status.desiredReplicas: Invalid value: -1",
        )],
    );
}

#[test]
fn statuses_of_pods() {
    let ended = json!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "a"}, {"name": "b"}]},
        "status": {"qosClass": "Burstable", "containerStatuses": [
            {"name": "a", "state": {"terminated": {"exitCode": 0}}},
            {"name": "b", "state": {"terminated": {"exitCode": 1}}}]}});
    let state = |a: Value, b: Value| json!({"qosClass": "Burstable", "containerStatuses": [{"name": "a", "state": a}, {"name": "b", "state": b}]});
    let over = json!({"terminated": {"exitCode": 0}});
    statuses(
        "v1/pods",
        &ended,
        &[
            (state(over.clone(), json!({"running": {}})), ""),
            (
                state(json!({"running": {}}), over.clone()),
                "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
            ),
            (
                json!({"qosClass": "Guaranteed"}),
                "status.qosClass: Invalid value: \"Guaranteed\": field is immutable",
            ),
        ],
    );
    statuses(
        "v1/pods",
        &json!({}),
        &[
            (
                json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "hostIPs": [{"ip": "10.0.0.2"}]}),
                "",
            ),
            (
                json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
                "status.podIPs: Invalid value: ",
            ),
            (
                json!({"podIPs": [{"ip": "no"}]}),
                "status.podIPs[0]: Invalid value: \"no\"",
            ),
            (
                json!({"hostIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}),
                "status.hostIPs[1]: Duplicate value: ",
            ),
            (
                json!({"nominatedNodeName": "A b"}),
                "status.nominatedNodeName: Invalid value: \"A b\"",
            ),
            (
                json!({"conditions": [{"type": "/x"}]}),
                "status.conditions[0].type: Invalid value: ",
            ),
        ],
    );
}

#[test]
fn statuses_of_services_nodes_and_namespaces() {
    let balanced = json!({"spec": {"type": "LoadBalancer"}});
    let point = |point: Value| json!({"loadBalancer": {"ingress": [point]}});
    statuses(
        "v1/services",
        &balanced,
        &[
            (point(json!({"ip": "10.0.0.1", "ipMode": "VIP"})), ""),
            (
                point(json!({"ip": "10.0.0"})),
                "status.loadBalancer.ingress[0].ip: Invalid value: ",
            ),
            (
                point(json!({"hostname": "10.0.0.1"})),
                "status.loadBalancer.ingress[0].hostname: Invalid value: \"10.0.0.1\": must be a DNS name",
            ),
            (
                point(json!({"hostname": "a.b", "ipMode": "VIP"})),
                "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified",
            ),
        ],
    );
    statuses(
        "v1/services",
        &json!({"spec": {"type": "ClusterIP"}}),
        &[(
            point(json!({"ip": "10.0.0.1"})),
            "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is LoadBalancer",
        )],
    );
    statuses(
        "networking.k8s.io/v1/ingresses",
        &json!({}),
        &[(
            point(json!({"hostname": "_"})),
            "status.loadBalancer.ingress[0].hostname: Invalid value: ",
        )],
    );
    let address = json!({"type": "InternalIP", "address": "10.0.0.1"});
    statuses(
        "v1/nodes",
        &json!({}),
        &[
            (json!({"addresses": [address]}), ""),
            (
                json!({"addresses": [address, address]}),
                "status.addresses[1]: Duplicate value: ",
            ),
        ],
    );
    statuses(
        "v1/namespaces",
        &json!({}),
        &[
            (json!({"phase": "Active"}), ""),
            (
                json!({"phase": "Terminating"}),
                "status.Phase: Invalid value: \"Terminating\": may only be 'Active'",
            ),
        ],
    );
    let going = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    statuses(
        "v1/namespaces",
        &going,
        &[
            (json!({"phase": "Terminating"}), ""),
            (
                json!({"phase": "Active"}),
                "status.Phase: Invalid value: \"Active\": may only be 'Terminating'",
            ),
        ],
    );
}

const TEMPLATE: &str = r#""template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}"#;

fn workload(more: &str) -> String {
    format!(r#"{{"spec": {{"selector": {{"matchLabels": {{"a": "b"}}}}, {TEMPLATE}{more}}}}}"#)
}

#[test]
fn metadata() {
    case("v1/configmaps", "{}")
        .check(&[
            (
                "/metadata/name",
                json!("A b"),
                "metadata.name: Invalid value: \"A b\": a lowercase RFC 1123 subdomain",
            ),
            (
                "/metadata/name",
                Value::Null,
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                "/metadata/generateName",
                json!("A-"),
                "metadata.generateName: Invalid value: \"A-\"",
            ),
            (
                "/metadata/labels",
                json!({"a b": "c"}),
                "metadata.labels: Invalid value: \"a b\": name part must",
            ),
            (
                "/metadata/labels",
                json!({"a": "c d"}),
                "metadata.labels: Invalid value: \"c d\": a valid label must",
            ),
            (
                "/metadata/annotations",
                json!({"/": ""}),
                "metadata.annotations: Invalid value: \"/\"",
            ),
            (
                "/metadata/annotations",
                json!({"a": "x".repeat(262_144)}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            (
                "/metadata/finalizers",
                json!(["x"]),
                "metadata.finalizers: Invalid value: \"x\": name is neither a standard",
            ),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "Pod", "name": "p"}]),
                "metadata.ownerReferences[0].uid: Invalid value: \"\": must not be empty",
            ),
        ])
        .change(&[
            (
                "/metadata/name",
                json!("b"),
                "metadata.name: Invalid value: \"b\": field is immutable",
            ),
            (
                "/metadata/uid",
                json!("b"),
                "metadata.uid: Invalid value: \"b\": field is immutable",
            ),
            ("/metadata/labels", json!({"a": "b"}), ""),
        ]);
    case("v1/services", r#"{"spec": {"ports": [{"port": 80}]}}"#).check(&[(
        "/metadata/name",
        json!("1a"),
        "metadata.name: Invalid value: \"1a\": a DNS-1035 label",
    )]);
    case(
        "rbac.authorization.k8s.io/v1/clusterroles",
        r#"{"metadata": {"name": "system:a"}}"#,
    )
    .check(&[(
        "/metadata/name",
        json!("a/b"),
        "metadata.name: Invalid value: \"a/b\": may not contain '/'",
    )]);
}

#[test]
fn pods() {
    case(
        "v1/pods",
        r#"{"spec": {"containers": [{"name": "c", "image": "x"}]}}"#,
    )
    .check(&[
        (
            "/spec/containers",
            json!([]),
            "spec.containers: Required value",
        ),
        (
            "/spec/containers/0/name",
            json!(""),
            "spec.containers[0].name: Required value",
        ),
        (
            "/spec/containers/0/image",
            Value::Null,
            "spec.containers[0].image: Required value",
        ),
        (
            "/spec/restartPolicy",
            json!("Often"),
            "spec.restartPolicy: Unsupported value: \"Often\"",
        ),
    ])
    .change(&[
        ("/spec/containers/0/image", json!("y"), ""),
        ("/spec/activeDeadlineSeconds", json!(5), ""),
        (
            "/spec/tolerations",
            json!([{"key": "a", "operator": "Exists"}]),
            "",
        ),
        (
            "/spec/containers/0/args",
            json!(["x"]),
            "spec: Forbidden: pod updates may not change fields other than",
        ),
        (
            "/spec/nodeName",
            json!("x"),
            "spec: Forbidden: pod updates may not change fields other than",
        ),
        (
            "/spec/initContainers",
            json!([{"name": "i", "image": "x"}]),
            "spec.initContainers: Forbidden: pod updates may not add or remove containers",
        ),
    ]);
}

#[test]
fn pods_change_by_other_paths_too() {
    let pod = find("", "v1", "pods").unwrap();
    let sizes = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let object = |cpu: &str, debug: Value| {
        born(
            pod,
            &json!({"metadata": {"name": "a"}, "spec": {"ephemeralContainers": debug,
            "containers": [{"name": "c", "image": "x", "resources": sizes(cpu)}]}}),
        )
    };
    let said = |part: &str, new: &Value, old: &Value| {
        let mut errors = ErrorList::default();
        change_rules(pod, part, new, old, &mut errors);
        errors.to_string()
    };
    let debug = |image: &str| json!([{"name": "d", "image": image}]);
    let (plain, debugged) = (object("1", json!([])), object("1", debug("y")));
    assert_eq!(said("ephemeralcontainers", &debugged, &plain), "[]");
    assert!(said("ephemeralcontainers", &plain, &debugged).ends_with("\"d\" may not be removed"));
    let changed = object("1", debug("z"));
    assert!(said("ephemeralcontainers", &changed, &debugged).ends_with("\"d\" may not be changed"));
    assert!(said("", &debugged, &plain).contains("ephemeralContainers: Forbidden"));
    assert_eq!(said("resize", &object("2", json!([])), &plain), "[]");
    assert!(said("", &object("2", json!([])), &plain).starts_with("spec: Forbidden: pod updates"));
    let mut other = plain.clone();
    set(&mut other, "/spec/containers/0/image", &json!("y"));
    assert_eq!(
        said("resize", &other, &plain),
        "spec: Forbidden: only cpu and memory resources are mutable"
    );
    set(
        &mut other,
        "/spec/containers/0",
        &json!({"name": "c", "image": "x"}),
    );
    assert!(said("resize", &other, &plain).contains("QOS Class may not change"));
}

#[test]
fn deployments_and_their_like() {
    case("apps/v1/deployments", &workload(""))
        .check(&[
            ("/spec/replicas", json!(-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
            ("/spec/selector", Value::Null, "spec.selector: Required value"),
            ("/spec/selector", json!({}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
            ("/spec/selector/matchLabels", json!({"a": "c"}), "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"),
            ("/spec/template/spec/restartPolicy", json!("Never"), "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""),
            ("/spec/template/spec/containers/0/name", json!("A"), "spec.template.spec.containers[0].name: Invalid value: \"A\""),
            ("/spec/strategy", json!({"type": "x"}), "spec.strategy.type: Unsupported value: \"x\": supported values: \"Recreate\", \"RollingUpdate\""),
            ("/spec/strategy", json!({"type": "Recreate", "rollingUpdate": {}}), "spec.strategy.rollingUpdate: Forbidden: may not be specified when"),
            ("/spec/strategy", json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}), "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
            ("/spec/strategy", json!({"rollingUpdate": {"maxSurge": "a"}}), "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"a\": a valid percent string"),
            ("/spec/progressDeadlineSeconds", json!(0), "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"),
        ])
        .change(&[
            ("/spec/selector/matchLabels", json!({"a": "b", "c": "d"}), "spec.selector: Invalid value"),
            ("/spec/replicas", json!(5), ""),
        ]);
    case("apps/v1/daemonsets", &workload("")).check(&[(
        "/spec/updateStrategy",
        json!({"type": "x"}),
        "spec.updateStrategy.type: Unsupported value: \"x\"",
    )]);
    case("apps/v1/replicasets", &workload("")).check(&[(
        "/spec/selector",
        Value::Null,
        "spec.selector: Required value",
    )]);
    case("apps/v1/statefulsets", &workload(r#", "serviceName": "s""#))
        .check(&[
            (
                "/spec/podManagementPolicy",
                json!("x"),
                "spec.podManagementPolicy: Unsupported value: \"x\"",
            ),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"partition": -1}}),
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1",
            ),
        ])
        .change(&[
            (
                "/spec/serviceName",
                json!("t"),
                "spec: Forbidden: updates to statefulset spec for fields other than",
            ),
            ("/spec/replicas", json!(3), ""),
        ]);
    case(
        "v1/replicationcontrollers",
        &format!(r#"{{"spec": {{"selector": {{"a": "b"}}, {TEMPLATE}}}}}"#),
    )
    .check(&[(
        "/spec/selector",
        json!({"a": "c"}),
        "spec.template.metadata.labels: Invalid value",
    )]);
}

#[test]
fn jobs() {
    let once = TEMPLATE.replace(r#""spec": {"#, r#""spec": {"restartPolicy": "Never", "#);
    case("batch/v1/jobs", &format!(r#"{{"spec": {{{once}}}}}"#))
        .check(&[
            ("/spec/template/spec/restartPolicy", json!("Always"), "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""),
            ("/spec/parallelism", json!(-1), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
            ("/spec/completionMode", json!("x"), "spec.completionMode: Unsupported value: \"x\""),
        ])
        .change(&[
            ("/spec/completions", json!(4), "spec.completions: Invalid value: 4: field is immutable"),
            ("/spec/template/spec/nodeName", json!("x"), "spec.template: Invalid value"),
            ("/spec/parallelism", json!(4), ""),
        ]);
    case("batch/v1/cronjobs", &format!(r#"{{"spec": {{"schedule": "*/5 * * * *", "jobTemplate": {{"spec": {{{once}}}}}}}}}"#))
        .check(&[
            ("/spec/schedule", json!(""), "spec.schedule: Required value"),
            ("/spec/schedule", json!("* *"), "spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2"),
            ("/spec/concurrencyPolicy", json!("x"), "spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", \"Forbid\", \"Replace\""),
            ("/metadata/name", json!("a".repeat(53)), "metadata.name: Invalid value: \"aaaa"),
        ]);
}

#[test]
fn services() {
    case("v1/services", r#"{"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"name": "a", "port": 80}]}}"#)
        .check(&[
            ("/spec/ports", json!([]), "spec.ports: Required value"),
            ("/spec/ports/0/port", json!(0), "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
            ("/spec/ports", json!([{"port": 1}, {"name": "b", "port": 2}]), "spec.ports[0].name: Required value"),
            ("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]), "spec.ports[1].name: Duplicate value: \"a\""),
            ("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}]), "spec.ports[1]: Duplicate value"),
            ("/spec/ports/0/nodePort", json!(30_000), "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
            ("/spec/type", json!("x"), "spec.type: Unsupported value: \"x\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""),
            ("/spec/sessionAffinity", json!("x"), "spec.sessionAffinity: Unsupported value: \"x\""),
            ("/spec/externalTrafficPolicy", json!("Local"), "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"),
            ("/spec/externalIPs", json!(["127.0.0.1"]), "spec.externalIPs[0]: Invalid value: \"127.0.0.1\""),
            ("/spec/clusterIPs", json!(["10.0.0.2"]), "spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`"),
        ])
        .change(&[
            ("/spec/clusterIP", json!("10.0.0.2"), "spec.clusterIP: Invalid value: \"10.0.0.2\": field is immutable"),
            ("/spec/selector", json!({"a": "b"}), ""),
        ]);
    case(
        "v1/services",
        r#"{"spec": {"type": "ExternalName", "externalName": "a.b"}}"#,
    )
    .check(&[
        (
            "/spec/externalName",
            json!(""),
            "spec.externalName: Required value",
        ),
        (
            "/spec/clusterIP",
            json!("10.0.0.1"),
            "spec.clusterIP: Forbidden: may not be set for ExternalName services",
        ),
    ]);
    case("v1/endpoints", r#"{"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}"#).check(&[
        ("/subsets/0/addresses", json!([]), "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
        ("/subsets/0/addresses", json!([{"ip": "127.0.0.1"}]), "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range"),
        ("/subsets/0/addresses", json!([{"ip": "x"}]), "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address"),
    ]);
    case(
        "discovery.k8s.io/v1/endpointslices",
        r#"{"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}"#,
    )
    .check(&[
        ("/addressType", json!(""), "addressType: Required value"),
        (
            "/endpoints/0/addresses",
            json!(["::1"]),
            "endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address",
        ),
        (
            "/endpoints/0/addresses",
            json!([]),
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
    ])
    .change(&[(
        "/addressType",
        json!("IPv6"),
        "addressType: Invalid value: \"IPv6\": field is immutable",
    )]);
}

#[test]
fn configuration() {
    case(
        "v1/configmaps",
        r#"{"data": {"a": "b"}, "immutable": true}"#,
    )
    .check(&[
        (
            "/data",
            json!({"a/b": ""}),
            "data[a/b]: Invalid value: \"a/b\": a valid config key must",
        ),
        (
            "/binaryData",
            json!({"a": "eA=="}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        (
            "/data",
            json!({"a": "x".repeat(1_048_577)}),
            "data: Too long: may not be more than 1048576 bytes",
        ),
    ])
    .change(&[
        (
            "/data/a",
            json!("c"),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            "/immutable",
            json!(false),
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ),
    ]);
    case("v1/secrets", r#"{"data": {"a": "eA=="}}"#)
        .check(&[
            (
                "/type",
                json!("kubernetes.io/tls"),
                "data[tls.crt]: Required value",
            ),
            (
                "/type",
                json!("kubernetes.io/dockerconfigjson"),
                "data[.dockerconfigjson]: Required value",
            ),
            (
                "/type",
                json!("kubernetes.io/service-account-token"),
                "metadata.annotations[kubernetes.io/service-account.name]: Required value",
            ),
        ])
        .change(&[(
            "/type",
            json!("x"),
            "type: Invalid value: \"x\": field is immutable",
        )]);
}

#[test]
fn nodes_events_and_limits() {
    case("v1/nodes", "{}").check(&[(
        "/spec/taints",
        json!([{"key": "a", "effect": "x"}]),
        "spec.taints[0].effect: Unsupported value: \"x\"",
    )]);
    case("v1/events", r#"{"involvedObject": {"namespace": "n"}}"#).check(&[(
        "/involvedObject/namespace",
        json!("m"),
        "involvedObject.namespace: Invalid value: \"m\": does not match event.namespace",
    )]);
    case(
        "coordination.k8s.io/v1/leases",
        r#"{"spec": {"holderIdentity": "a", "leaseDurationSeconds": 1}}"#,
    )
    .check(&[(
        "/spec/leaseDurationSeconds",
        json!(0),
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than zero",
    )]);
    case("v1/resourcequotas", r#"{"spec": {"hard": {"pods": "3"}}}"#)
        .check(&[(
            "/spec/hard/pods",
            json!("-1"),
            "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
        )])
        .change(&[(
            "/spec/scopes",
            json!(["BestEffort"]),
            "spec.scopes: Invalid value",
        )]);
    case("v1/limitranges", r#"{"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}}"#).check(&[
        ("/spec/limits/0/min/cpu", json!("3"), "spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2"),
        ("/spec/limits", json!([{"type": "Pod"}, {"type": "Pod"}]), "spec.limits[1].type: Duplicate value: \"Pod\""),
    ]);
    case("scheduling.k8s.io/v1/priorityclasses", r#"{"value": 5}"#)
        .check(&[
            (
                "/metadata/name",
                json!("system-x"),
                "metadata.name: Forbidden: priority class names with 'system-' prefix",
            ),
            (
                "/value",
                json!(1_000_000_001),
                "value: Forbidden: maximum allowed value",
            ),
        ])
        .change(&[(
            "/value",
            json!(6),
            "value: Invalid value: 6: field is immutable",
        )]);
}

#[test]
fn volumes() {
    case("v1/persistentvolumes", r#"{"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}}"#)
        .check(&[
            ("/spec/accessModes", json!([]), "spec.accessModes: Required value: at least 1 access mode is required"),
            ("/spec/accessModes", json!(["x"]), "spec.accessModes: Unsupported value: \"x\""),
            ("/spec/capacity", json!({}), "spec.capacity: Required value"),
            ("/spec/capacity/storage", json!("0"), "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"),
            ("/spec/hostPath", Value::Null, "spec: Required value: must specify a volume type"),
            ("/spec/nfs", json!({"server": "s", "path": "/"}), "spec.nfs: Forbidden: may not specify more than 1 volume type"),
            ("/spec/hostPath/path", json!("/../a"), "spec.hostPath.path: Invalid value: \"/../a\": must not contain '..'"),
        ])
        .change(&[
            ("/spec/hostPath/path", json!("/b"), "spec: Forbidden: spec.persistentvolumesource is immutable after creation"),
            ("/spec/capacity/storage", json!("2Gi"), ""),
        ]);
    case("v1/persistentvolumeclaims", r#"{"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#)
        .check(&[
            ("/spec/resources", Value::Null, "spec.resources[storage]: Required value"),
            ("/spec/accessModes", json!(["ReadWriteOncePod", "ReadWriteMany"]), "spec.accessModes: Forbidden: may not use ReadWriteOncePod"),
        ])
        .change(&[
            ("/spec/volumeName", json!("v"), ""),
            ("/spec/accessModes", json!(["ReadWriteMany"]), "spec: Forbidden: spec is immutable after creation except"),
            ("/spec/resources/requests/storage", json!("512Mi"), "spec.resources.requests.storage: Forbidden: field can not be less"),
        ]);
    case(
        "storage.k8s.io/v1/storageclasses",
        r#"{"provisioner": "example.org/x"}"#,
    )
    .check(&[
        ("/provisioner", json!(""), "provisioner: Required value"),
        (
            "/volumeBindingMode",
            json!("x"),
            "volumeBindingMode: Unsupported value: \"x\"",
        ),
    ])
    .change(&[(
        "/provisioner",
        json!("y"),
        "provisioner: Forbidden: updates to provisioner are forbidden.",
    )]);
}

#[test]
fn roles() {
    case("rbac.authorization.k8s.io/v1/roles", r#"{"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}"#).check(&[
        ("/rules/0/verbs", json!([]), "rules[0].verbs: Required value: verbs must contain at least one value"),
        ("/rules/0/apiGroups", json!([]), "rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
        ("/rules/0/nonResourceURLs", json!(["/"]), "rules[0].nonResourceURLs: Invalid value: [\"/\"]: namespaced rules cannot apply to non-resource URLs"),
    ]);
    case("rbac.authorization.k8s.io/v1/rolebindings", r#"{"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}"#)
        .check(&[
            ("/roleRef/kind", json!("x"), "roleRef.kind: Unsupported value: \"x\": supported values: \"ClusterRole\", \"Role\""),
            ("/roleRef/name", json!(""), "roleRef.name: Required value"),
            ("/subjects/0", json!({"kind": "ServiceAccount", "name": "s"}), "subjects[0].namespace: Required value"),
            ("/subjects/0", json!({"kind": "x", "name": "s"}), "subjects[0].kind: Unsupported value: \"x\""),
        ])
        .change(&[("/roleRef/name", json!("q"), "roleRef: Invalid value")]);
    case("certificates.k8s.io/v1/certificatesigningrequests", r#"{"spec": {"request": "eA==", "signerName": "a.b/c", "usages": ["client auth"]}}"#)
        .check(&[
            ("/spec/signerName", json!("x"), "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path"),
            ("/spec/usages", json!([]), "spec.usages: Required value: usages must be provided"),
            ("/spec/usages", json!(["x"]), "spec.usages[0]: Unsupported value: \"x\""),
            ("/spec/expirationSeconds", json!(5), "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds"),
        ])
        .change(&[("/spec/username", json!("x"), "spec: Invalid value")]);
}

#[test]
fn networking() {
    let rules = r#"{"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}"#;
    case("networking.k8s.io/v1/ingresses", rules).check(&[
        ("/spec/rules", json!([]), "spec: Invalid value: {\"rules\":[]}: either `defaultBackend` or `rules` must be specified"),
        ("/spec/rules/0/host", json!("1.2.3.4"), "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"),
        ("/spec/rules/0/http/paths/0/pathType", Value::Null, "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"),
        ("/spec/rules/0/http/paths/0/path", json!("a"), "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path"),
        ("/spec/rules/0/http/paths/0/backend", json!({}), "spec.rules[0].http.paths[0].backend: Required value"),
    ]);
    case("networking.k8s.io/v1/networkpolicies", r#"{"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80}]}]}}"#).check(&[
        ("/spec/ingress/0/from/0", json!({}), "spec.ingress[0].from[0]: Required value: must specify a peer"),
        ("/spec/ingress/0/from/0/ipBlock/cidr", json!("x"), "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR value"),
        ("/spec/ingress/0/ports/0/port", json!(0), "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535"),
        ("/spec/ingress/0/ports/0/endPort", json!(70), "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`"),
        ("/spec/policyTypes", json!(["x"]), "spec.policyTypes[0]: Unsupported value: \"x\""),
        ("/spec/podSelector", json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "spec.podSelector.matchExpressions[0].values: Required value: must be specified when"),
        ("/spec/podSelector", json!({"matchExpressions": [{"key": "a", "operator": "x"}]}), "spec.podSelector.matchExpressions[0].operator: Invalid value: \"x\": not a valid selector operator"),
    ]);
    case(
        "networking.k8s.io/v1/ingressclasses",
        r#"{"spec": {"controller": "a.b/c"}}"#,
    )
    .check(&[(
        "/spec/controller",
        json!("x"),
        "spec.controller: Invalid value: \"x\": must be a domain-prefixed path",
    )])
    .change(&[(
        "/spec/controller",
        json!("d.e/f"),
        "spec.controller: Invalid value: \"d.e/f\": field is immutable",
    )]);
    case(
        "networking.k8s.io/v1/servicecidrs",
        r#"{"spec": {"cidrs": ["10.0.0.0/16"]}}"#,
    )
    .change(&[(
        "/spec/cidrs",
        json!(["10.1.0.0/16"]),
        "spec.cidrs: Invalid value",
    )]);
    case(
        "policy/v1/poddisruptionbudgets",
        r#"{"spec": {"minAvailable": "50%"}}"#,
    )
    .check(&[
        ("/spec/maxUnavailable", json!(1), "spec: Invalid value"),
        (
            "/spec/minAvailable",
            json!("101%"),
            "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
        ),
    ]);
    case(
        "autoscaling/v2/horizontalpodautoscalers",
        r#"{"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}}"#,
    )
    .check(&[
        (
            "/spec/maxReplicas",
            json!(0),
            "spec.maxReplicas: Invalid value: 0: must be greater than 0",
        ),
        (
            "/spec/minReplicas",
            json!(4),
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (
            "/spec/scaleTargetRef/name",
            json!(""),
            "spec.scaleTargetRef.name: Required value",
        ),
        (
            "/spec/metrics",
            json!([{"type": "Pods"}]),
            "spec.metrics[0].pods: Required value: must populate information",
        ),
    ]);
}

#[test]
fn the_api_itself() {
    let crd = r#"{"metadata": {"name": "widgets.example.org"}, "spec": {"group": "example.org", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}}]}}"#;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let at = "spec.versions[0].schema.openAPIV3Schema";
    let within = |property: Value| json!({"type": "object", "properties": {"spec": property}});
    case("apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        .check(&[
            ("/metadata/name", json!("x"), "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"),
            ("/spec/scope", json!("x"), "spec.scope: Unsupported value: \"x\""),
            ("/spec/versions/0/storage", json!(false), "spec.versions: Invalid value"),
            ("/spec/versions/0/schema", Value::Null, &format!("{at}: Required value: schemas are required")),
            (schema, json!({}), &format!("{at}.type: Required value: must not be empty at the root")),
            (schema, within(json!({})), &format!("{at}.properties[spec].type: Required value: must not be empty for specified object fields")),
            (schema, within(json!({"type": "array"})), &format!("{at}.properties[spec].items: Required value: must be specified")),
            (schema, within(json!({"type": "object", "$ref": "x"})), &format!("{at}.properties[spec].$ref: Forbidden")),
            (schema, within(json!({"type": "string", "pattern": "("})), &format!("{at}.properties[spec].pattern: Invalid value: \"(\": must be a valid regular expression")),
        ])
        .change(&[
            ("/spec/scope", json!("Cluster"), "spec.scope: Invalid value: \"Cluster\": field is immutable"),
            ("/spec/versions/0/name", json!("v2"), "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions"),
        ]);
    let webhook = r#"{"webhooks": [{"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://x"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}]}"#;
    case("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", webhook).check(&[
        ("/webhooks/0/name", json!("a"), "webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments"),
        ("/webhooks/0/sideEffects", Value::Null, "webhooks[0].sideEffects: Required value"),
        ("/webhooks/0/timeoutSeconds", json!(31), "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"),
        ("/webhooks/0/clientConfig", json!({}), "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        ("/webhooks/0/rules/0/operations", json!(["x"]), "webhooks[0].rules[0].operations[0]: Unsupported value: \"x\""),
        ("/webhooks/0/admissionReviewVersions", json!([]), "webhooks[0].admissionReviewVersions: Required value"),
    ]);
    case("apiregistration.k8s.io/v1/apiservices", r#"{"metadata": {"name": "v1.a.b"}, "spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}}"#).check(&[
        ("/metadata/name", json!("x"), "metadata.name: Invalid value: \"x\": must be `spec.version"),
        ("/spec/versionPriority", json!(0), "spec.versionPriority: Invalid value: 0: must be between 1 and 1000, inclusive"),
    ]);
    case(
        "flowcontrol.apiserver.k8s.io/v1/flowschemas",
        r#"{"spec": {"priorityLevelConfiguration": {"name": "p"}}}"#,
    )
    .check(&[(
        "/spec/matchingPrecedence",
        json!(0),
        "spec.matchingPrecedence: Invalid value: 0",
    )]);
}

#[test]
fn anything_can_be_judged_without_a_panic() {
    let odd = [
        json!({}),
        json!([]),
        json!({"spec": 1, "metadata": [], "rules": {}}),
        json!({"spec": {"template": [], "ports": 3, "selector": "x", "versions": [1], "names": []}, "webhooks": [null],
            "metadata": {"name": 1, "labels": [], "annotations": "", "ownerReferences": {}}, "subsets": [[]]}),
    ];
    for row in builtin() {
        assert!(!create(row, &odd[0]).is_empty(), "{}", row.plural);
        for object in &odd {
            let _ = create(row, object);
            let _ = update(row, object, &odd[0]);
        }
    }
}
