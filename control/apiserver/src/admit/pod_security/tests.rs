//! Levels and their checks, what is refused, and what is only told.

use serde_json::json;

use super::*;
use crate::admit::settings::Settings;
use crate::admit::tests::{World, request};
use crate::auth::User;

fn violations(level: Level, minor: u32, metadata: &Value, spec: &Value) -> Vec<String> {
    let pod = Pod { metadata, spec };
    let mut found = baseline::violations(&pod, minor, level == Level::Restricted);
    if level == Level::Restricted {
        found.extend(restricted::violations(&pod, minor));
    }
    found
        .into_iter()
        .map(|v| format!("{} ({})", v.reason, v.detail))
        .collect()
}

fn check_baseline(spec: Value, expected: &[&str]) {
    assert_eq!(
        violations(Level::Baseline, 36, &json!({}), &spec),
        expected,
        "{spec}"
    );
}

fn context(context: Value) -> Value {
    json!({"containers": [{"name": "a", "securityContext": context}]})
}

#[test]
fn baseline_forbids_known_ways_out() {
    check_baseline(json!({"containers": [{"name": "a"}]}), &[]);
    check_baseline(
        json!({"hostNetwork": true, "hostPID": true}),
        &["host namespaces (hostNetwork=true, hostPID=true)"],
    );
    check_baseline(
        context(json!({"privileged": true})),
        &["privileged (container \"a\" must not set securityContext.privileged=true)"],
    );
    check_baseline(
        context(json!({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "SYS_ADMIN"]}})),
        &[
            "non-default capabilities (container \"a\" must not include \"NET_ADMIN\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ],
    );
    check_baseline(
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]}),
        &["hostPath volumes (volumes \"v\", \"w\")"],
    );
    check_baseline(
        json!({"containers": [{"name": "a", "ports": [{"hostPort": 80}]}, {"name": "b", "ports": [{"hostPort": 81}, {"containerPort": 1}]}]}),
        &["hostPort (containers \"a\", \"b\" use hostPorts 80, 81)"],
    );
    check_baseline(
        json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]}),
        &["probe or lifecycle host (container \"a\" uses probe or lifecycle host \"10.0.0.1\")"],
    );
    check_baseline(
        context(json!({"procMount": "Unmasked"})),
        &["procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")"],
    );
    check_baseline(
        json!({"securityContext": {"seLinuxOptions": {"type": "spc_t", "user": "u"}}}),
        &[
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set)",
        ],
    );
    check_baseline(
        json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
        &[
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ],
    );
    check_baseline(
        json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}),
        &["forbidden sysctls (kernel.msgmax)"],
    );
    check_baseline(
        context(json!({"windowsOptions": {"hostProcess": true}})),
        &[
            "hostProcess (container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
        ],
    );
    check_baseline(
        context(json!({"appArmorProfile": {"type": "Unconfined"}})),
        &[
            "forbidden AppArmor profile (container \"a\" must not set AppArmor profile type to \"Unconfined\")",
        ],
    );
    let annotated =
        json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}});
    assert_eq!(
        violations(Level::Baseline, 36, &annotated, &json!({})),
        [
            "forbidden AppArmor profile (annotation container.apparmor.security.beta.kubernetes.io/a=\"unconfined\" must not set AppArmor profile type to \"unconfined\")"
        ]
    );
}

fn check_restricted(minor: u32, spec: Value, expected: &[&str]) {
    assert_eq!(
        violations(Level::Restricted, minor, &json!({}), &spec),
        expected,
        "{spec}"
    );
}

fn hardened() -> Value {
    json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]})
}

const PLAIN: [&str; 4] = [
    "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
    "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
    "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
    "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
];

#[test]
fn restricted_asks_for_hardened_pods() {
    check_restricted(36, hardened(), &[]);
    check_restricted(36, json!({"containers": [{"name": "a"}]}), &PLAIN);
    check_restricted(
        18,
        json!({"containers": [{"name": "a"}]}),
        &[PLAIN[0], PLAIN[2]],
    );
    let with = |path: &[&str], value: Value| {
        let mut spec = hardened();
        fields::put(&mut spec, path, value);
        spec
    };
    check_restricted(
        36,
        with(
            &["volumes"],
            json!([{"name": "v", "hostPath": {}}, {"name": "c", "configMap": {}}]),
        ),
        &["restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")"],
    );
    check_restricted(
        36,
        with(&["securityContext", "runAsNonRoot"], json!(false)),
        &["runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"],
    );
    check_restricted(
        36,
        with(&["securityContext", "runAsUser"], json!(0)),
        &["runAsUser=0 (pod must not set runAsUser=0)"],
    );
    check_restricted(
        36,
        with(
            &["securityContext", "seccompProfile", "type"],
            json!("Unconfined"),
        ),
        &[
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ],
    );
    let mut adding = hardened();
    adding["containers"][0]["securityContext"]["capabilities"]["add"] =
        json!(["NET_BIND_SERVICE", "KILL"]);
    check_restricted(
        36,
        adding,
        &[
            "unrestricted capabilities (container \"a\" must not include \"KILL\" in securityContext.capabilities.add)",
        ],
    );
    let windows = json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]});
    check_restricted(36, windows, &[]);
}

fn admit(
    labels: Value,
    operation: Operation,
    resource: &str,
    old: &Value,
    object: &Value,
) -> (Result<(), String>, Notes) {
    let world = World::default().with(
        "",
        "namespaces",
        json!({"metadata": {"name": "ns", "labels": labels}}),
    );
    let (group, resource) = resource.split_once(' ').unwrap_or(("", resource));
    let user = User::known("jane", []);
    let request = request(operation, group, resource, &user, old);
    let mut notes = Notes::default();
    let found = validate(&request, object, &world, &mut notes);
    (found.map_err(|failure| failure.message().to_owned()), notes)
}

#[test]
fn namespaces_name_their_levels() {
    let pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}]}});
    let create = |labels, pod: &Value| admit(labels, Operation::Create, "pods", &Value::Null, pod);
    assert_eq!(create(json!({}), &pod).0, Ok(()));
    let enforce = json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.36"});
    let (found, notes) = create(enforce, &pod);
    let why = PLAIN.join(", ");
    assert_eq!(
        found,
        Err(format!(
            "pods \"x\" is forbidden: violates PodSecurity \"restricted:v1.36\": {why}"
        ))
    );
    assert!(notes.warnings.is_empty());
    let warn = json!({"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/audit": "restricted"});
    let (found, notes) = create(warn.clone(), &pod);
    let told = format!("would violate PodSecurity \"restricted:latest\": {why}");
    assert_eq!((found, notes.warnings), (Ok(()), vec![told.clone()]));
    assert_eq!(
        notes.audit["pod-security.kubernetes.io/audit-violations"],
        told
    );
    let deployment = json!({"spec": {"template": pod}});
    let (found, notes) = admit(
        warn,
        Operation::Create,
        "apps deployments",
        &Value::Null,
        &deployment,
    );
    assert_eq!((found, notes.warnings), (Ok(()), vec![told]));
}

#[test]
fn a_cluster_says_what_holds_by_default_and_for_whom_not() {
    let document = json!({"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline", "enforce-version": "latest"},
        "exemptions": {"usernames": ["root"], "runtimeClasses": ["vm"], "namespaces": ["sys"]}});
    let settings = Settings {
        pod_security: exempt::Configuration::read(&document).unwrap(),
    };
    let world = ["ns", "sys"]
        .into_iter()
        .fold(World::default(), |world, name| {
            world.with("", "namespaces", json!({"metadata": {"name": name}}))
        });
    let check = |user: &str, namespace: &str, class: &str, expected: Option<&str>| {
        let pod =
            json!({"spec": {"hostNetwork": true, "runtimeClassName": class, "containers": []}});
        let user = User::known(user, []);
        let request = Request {
            settings: &settings,
            namespace,
            ..request(Operation::Create, "", "pods", &user, &Value::Null)
        };
        let mut notes = Notes::default();
        let found = validate(&request, &pod, &world, &mut notes);
        let exempt = notes.audit.get("pod-security.kubernetes.io/exempt");
        assert_eq!(
            (found.is_ok(), exempt.map(String::as_str)),
            (expected.is_some(), expected)
        );
    };
    check("jane", "ns", "", None);
    check("jane", "sys", "", Some("namespace"));
    check("root", "ns", "", Some("user"));
    check("jane", "ns", "vm", Some("runtimeClass"));
    let wrong = json!({"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "defaults": {"warn": "strict"}});
    let wrong = exempt::Configuration::read(&wrong).unwrap_err();
    assert!(
        wrong.contains("must be one of privileged, baseline, restricted"),
        "{wrong}"
    );
}

#[test]
fn only_updates_that_matter_are_looked_at() {
    let labels = || json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let pod = |image: &str| json!({"metadata": {"labels": {"a": image}}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
    assert_eq!(
        admit(labels(), Operation::Update, "pods", &pod("1"), &pod("2")).0,
        Ok(())
    );
    let mut other = pod("1");
    other["spec"]["containers"][0]["image"] = json!("j");
    assert!(
        admit(labels(), Operation::Update, "pods", &pod("1"), &other)
            .0
            .is_err()
    );
    assert_eq!(
        admit(
            labels(),
            Operation::Update,
            "pods/status",
            &pod("1"),
            &other
        )
        .0,
        Ok(())
    );
}

#[test]
fn labels_of_namespaces_are_checked() {
    let namespace = |labels: Value| json!({"metadata": {"name": "ns", "labels": labels}});
    let bad = namespace(
        json!({"pod-security.kubernetes.io/enforce": "no", "pod-security.kubernetes.io/warn-version": "1"}),
    );
    let (found, _) = admit(
        json!({}),
        Operation::Create,
        "namespaces",
        &Value::Null,
        &bad,
    );
    assert_eq!(
        found,
        Err("Namespace \"ns\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"no\": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1\": must be \"latest\" or \"v1.x\"]".to_owned())
    );
    assert_eq!(
        admit(json!({}), Operation::Update, "namespaces", &bad, &bad).0,
        Ok(())
    );
}

#[test]
fn pods_that_a_stricter_level_refuses_are_named() {
    let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "ns"}, "spec": {"hostNetwork": true}});
    let world = World::default()
        .with("", "pods", pod("b"))
        .with("", "pods", pod("a"));
    let old = json!({"metadata": {"name": "ns"}});
    let new = json!({"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    let user = User::known("jane", []);
    let request = request(Operation::Update, "", "namespaces", &user, &old);
    let mut notes = Notes::default();
    validate(&request, &new, &world, &mut notes).unwrap();
    assert_eq!(
        notes.warnings,
        [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 1 other pod): host namespaces"
        ]
    );
}
