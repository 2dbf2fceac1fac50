//! Which webhooks are asked, what, and what their answers mean.

use base64::Engine as _;
use serde_json::json;

use super::review::{Answer, answer, question};
use super::*;
use crate::admit::Notes;
use crate::admit::tests::{World, request};
use crate::auth::User;
use crate::kinds::Kinds;

fn hook(changes: Value) -> Value {
    let mut hook = json!({"name": "h.example.com", "sideEffects": "None",
        "clientConfig": {"url": "https://example.com/check"},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]});
    for (key, value) in changes.as_object().unwrap() {
        hook[key] = value.clone();
    }
    hook
}

fn world(hook: Value) -> World {
    World::default()
        .with(
            GROUP,
            "validatingwebhookconfigurations",
            json!({"metadata": {"name": "c"}, "webhooks": [hook]}),
        )
        .with(
            "",
            "namespaces",
            json!({"metadata": {"name": "ns", "labels": {"team": "a"}}}),
        )
        .with(
            "",
            "services",
            json!({"metadata": {"name": "svc", "namespace": "sys"},
            "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 443}]}}),
        )
}

fn asked(changes: Value, operation: Operation, resource: &str, object: &Value) -> bool {
    let user = User::known("jane", []);
    let (group, resource) = resource.split_once(' ').unwrap_or(("", resource));
    let request = request(operation, group, resource, &user, &fields::NULL);
    let world = world(hook(changes));
    let hooks = plan(Kind::Validating, &request, object, &world, &Vec::new).unwrap();
    hooks.iter().any(|hook| hook.wants(object, request.old))
}

#[test]
fn rules_choose_requests() {
    use Operation::{Connect, Create, Delete};
    let check = |rule: Value, operation, resource: &str, expected: bool| {
        let found = asked(json!({"rules": [rule]}), operation, resource, &json!({}));
        assert_eq!(found, expected, "{rule} {resource}");
    };
    let rule = |operations: &str, resources: &str| json!({"operations": [operations], "apiGroups": [""], "apiVersions": ["*"], "resources": [resources]});
    check(rule("CREATE", "pods"), Create, "pods", true);
    check(rule("CREATE", "pods"), Delete, "pods", false);
    check(rule("CREATE", "pods"), Create, "pods/status", false);
    check(rule("*", "pods/*"), Create, "pods", true);
    check(rule("CONNECT", "pods/*"), Connect, "pods/exec", true);
    check(rule("*", "*"), Create, "pods/status", false);
    check(rule("*", "*/*"), Create, "pods/status", true);
    check(rule("*", "*/status"), Create, "pods/status", true);
    check(rule("*", "*"), Create, "apps deployments", false);
    let any = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "scope": "Cluster"});
    check(any.clone(), Create, "pods", false);
    check(any.clone(), Create, "namespaces", true);
    check(
        any,
        Create,
        "admissionregistration.k8s.io validatingwebhookconfigurations",
        false,
    );
}

#[test]
fn selectors_choose_objects() {
    let pod = |label: &str| json!({"metadata": {"labels": {"app": label}}});
    let ask = |changes, object: &Value| asked(changes, Operation::Create, "pods", object);
    assert!(ask(
        json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
        &pod("x")
    ));
    assert!(!ask(
        json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}),
        &pod("x")
    ));
    assert!(ask(
        json!({"objectSelector": {"matchLabels": {"app": "x"}}}),
        &pod("x")
    ));
    assert!(!ask(
        json!({"objectSelector": {"matchLabels": {"app": "x"}}}),
        &pod("y")
    ));
    assert!(ask(json!({"objectSelector": {}}), &pod("y")));
}

fn target_of(client: Value) -> Result<Target, String> {
    target(&client, 5, &world(hook(json!({}))))
}

#[test]
fn webhooks_are_found() {
    let place = |target: Target| (target.host, target.address, target.port, target.path);
    let service = json!({"service": {"namespace": "sys", "name": "svc", "path": "v"}});
    let expected = ("svc.sys.svc", "10.0.0.9", 443, "/v?timeout=5s");
    let (host, address, port, path) = place(target_of(service).unwrap());
    assert_eq!(
        (host.as_str(), address.as_str(), port, path.as_str()),
        expected
    );
    let (host, _, port, path) =
        place(target_of(json!({"url": "https://[::1]:8443/a?b=c"})).unwrap());
    assert_eq!(
        (host.as_str(), port, path.as_str()),
        ("::1", 8443, "/a?b=c&timeout=5s")
    );
    let wrong = |client: Value| target_of(client).unwrap_err();
    assert_eq!(
        wrong(json!({"url": "http://a"})),
        "url \"http://a\" is not https://HOST[:PORT]/PATH"
    );
    assert_eq!(
        wrong(json!({"service": {"namespace": "sys", "name": "no"}})),
        "service \"no\" not found"
    );
    assert_eq!(
        wrong(json!({"service": {"namespace": "sys", "name": "svc", "port": 80}})),
        "no service port 80 found for service \"svc\""
    );
}

fn planned(changes: Value, dry_run: bool) -> Outcome<Vec<Hook>> {
    let user = User::known("jane", []);
    let request = Request {
        dry_run,
        ..request(Operation::Create, "", "pods", &user, &fields::NULL)
    };
    plan(
        Kind::Validating,
        &request,
        &json!({}),
        &world(hook(changes)),
        &Vec::new,
    )
}

#[test]
fn failures_follow_the_policy() {
    let strict = planned(json!({"matchConditions": [{"name": "a"}]}), false)
        .unwrap()
        .remove(0);
    let why = strict.target.clone().unwrap_err();
    assert_eq!(
        strict.failed(&why).unwrap_err().message(),
        "Internal error occurred: failed calling webhook \"h.example.com\": matchConditions are not supported"
    );
    let lenient = planned(
        json!({"failurePolicy": "Ignore", "timeoutSeconds": 99}),
        false,
    )
    .unwrap()
    .remove(0);
    assert_eq!((lenient.failed("x"), lenient.timeout_seconds), (Ok(()), 30));
    let refused = planned(json!({"sideEffects": "Unknown"}), true).unwrap_err();
    assert_eq!(
        refused.message(),
        "admission webhook \"h.example.com\" does not support dry run"
    );
    assert!(planned(json!({"sideEffects": "NoneOnDryRun"}), true).is_ok());
}

#[test]
fn rules_for_another_version_choose_too() {
    let user = User::known("jane", []);
    let group = "autoscaling";
    let served = Kinds::default();
    let one = served
        .find(group, "v1", "horizontalpodautoscalers")
        .unwrap();
    let request = Request {
        body: (group, "v1", "HorizontalPodAutoscaler"),
        ..request(Operation::Create, group, &one.plural, &user, &fields::NULL)
    };
    let ask = |policy: &str| {
        let rules = json!([{"operations": ["*"], "apiGroups": [group], "apiVersions": ["v2"], "resources": ["*"]}]);
        let world = world(hook(json!({"rules": rules, "matchPolicy": policy})));
        let twins = || served.twins(&one);
        plan(Kind::Validating, &request, &json!({}), &world, &twins).unwrap()
    };
    assert!(ask("Exact").is_empty());
    let hook = ask("Equivalent").remove(0);
    let object =
        json!({"apiVersion": "autoscaling/v1", "spec": {"targetCPUUtilizationPercentage": 80}});
    let seen = hook.see(&request, &object).unwrap();
    let target = "/spec/metrics/0/resource/target/averageUtilization";
    assert_eq!(fields::number(&seen, target), Some(80));
    let asked = question(&hook.see_request(&request), &request, &seen, "u");
    let asked = &asked["request"];
    assert_eq!(
        (&asked["kind"]["version"], &asked["requestKind"]["version"]),
        (&json!("v2"), &json!("v1"))
    );
    assert_eq!(
        (
            &asked["resource"]["version"],
            &asked["requestResource"]["version"]
        ),
        (&json!("v2"), &json!("v1"))
    );
    assert_eq!(hook.unsee(&request, seen.into_owned()).unwrap(), object);
}

#[test]
fn questions_hold_the_request() {
    let user = User::known("jane", []);
    let request = Request {
        body: ("", "v1", "Pod"),
        ..request(Operation::Create, "", "pods/status", &user, &fields::NULL)
    };
    let asked = question(&request, &request, &json!({"a": 1}), "u");
    let asked = &asked["request"];
    assert_eq!(asked["uid"], "u");
    assert_eq!(
        asked["requestKind"],
        json!({"group": "", "version": "v1", "kind": "Pod"})
    );
    assert_eq!(
        (&asked["subResource"], &asked["namespace"]),
        (&json!("status"), &json!("ns"))
    );
    assert_eq!(
        (&asked["object"], &asked["oldObject"]),
        (&json!({"a": 1}), &Value::Null)
    );
    assert_eq!(asked["userInfo"]["username"], "jane");
}

fn read_answer(response: Value) -> (Result<Answer, String>, Notes) {
    let body = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}).to_string();
    let mut notes = Notes::default();
    (answer("h", "c", body.as_bytes(), "u", &mut notes), notes)
}

fn check_denied(status: Value, code: u16, message: &str) {
    let (found, _) = read_answer(json!({"uid": "u", "allowed": false, "status": status}));
    let Ok(Answer::Denied(failure)) = found else {
        panic!("{found:?}");
    };
    assert_eq!((failure.code(), failure.message()), (code, message));
}

#[test]
fn answers_allow_change_and_deny() {
    let (found, notes) = read_answer(
        json!({"uid": "u", "allowed": true, "warnings": ["w"], "auditAnnotations": {"k": "v"}}),
    );
    assert_eq!(found, Ok(Answer::Allowed(None)));
    assert_eq!(
        (notes.warnings, notes.audit["h/k"].as_str()),
        (vec!["w".to_owned()], "v")
    );
    let patch = json!([{"op": "add", "path": "/a", "value": 1}]);
    let encoded = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
    let (found, _) = read_answer(
        json!({"uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": encoded}),
    );
    assert_eq!(found, Ok(Answer::Allowed(Some(patch))));
    check_denied(
        json!({"message": "no"}),
        400,
        "admission webhook \"h\" denied the request: no",
    );
    check_denied(
        json!({"code": 403, "reason": "Forbidden"}),
        403,
        "admission webhook \"h\" denied the request: Forbidden",
    );
    check_denied(
        Value::Null,
        400,
        "admission webhook \"h\" denied the request without explanation",
    );
}

#[test]
fn answers_that_are_none_are_refused() {
    let refused = |response| read_answer(response).0.unwrap_err();
    assert_eq!(
        refused(json!({"uid": "v", "allowed": true})),
        "expected response.uid=\"u\", got \"v\""
    );
    assert_eq!(refused(Value::Null), "webhook response was absent");
    assert_eq!(
        refused(json!({"uid": "u", "allowed": true, "patch": "eA==", "patchType": "x"})),
        "webhook of \"c\" returned response.patchType=\"x\", want JSONPatch"
    );
    let other = answer(
        "h",
        "c",
        b"{\"kind\":\"A\",\"apiVersion\":\"b\"}",
        "u",
        &mut Notes::default(),
    );
    assert_eq!(
        other.unwrap_err(),
        "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got b, Kind=A"
    );
}
