//! What pods get from their accounts, and what they may not use.

use super::*;
use crate::admit::tests::{World, request};
use crate::auth::User;
use crate::failure::Failure;

fn world(account: Value) -> World {
    World::default().with("", "serviceaccounts", account)
}

fn account() -> Value {
    json!({"metadata": {"name": "default", "namespace": "ns"}, "imagePullSecrets": [{"name": "pull"}]})
}

fn admit(world: &World, mut pod: Value) -> Result<Value, String> {
    let user = User::known("jane", []);
    let request = request(Operation::Create, "", "pods", &user, &fields::NULL);
    mutate(&request, &mut pod, world)
        .and_then(|()| validate(&request, &pod, world, &mut Notes::default()))
        .map(|()| pod)
        .map_err(|failure: Failure| failure.message().to_owned())
}

#[test]
fn pods_get_account_token_and_pull_secrets() {
    let pod = admit(&world(account()), json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}})).unwrap();
    let spec = &pod["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    let volume = &spec["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    assert_eq!(
        (name.len(), name.starts_with(VOLUME_PREFIX)),
        (VOLUME_PREFIX.len() + 5, true)
    );
    assert_eq!(
        volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
        3607
    );
    let mount = json!([{"name": name, "readOnly": true, "mountPath": MOUNT_PATH}]);
    for container in ["/containers/0", "/containers/1", "/initContainers/0"] {
        assert_eq!(
            spec.pointer(container).unwrap()["volumeMounts"],
            mount,
            "{container}"
        );
    }
}

fn check_volumes(account: Value, spec: Value, expected: usize) {
    let pod = admit(&world(account), json!({"spec": spec})).unwrap();
    assert_eq!(fields::list(&pod, "/spec/volumes").len(), expected, "{pod}");
}

#[test]
fn tokens_can_be_declined() {
    let containers = json!([{"name": "a"}]);
    let mut declining = account();
    declining["automountServiceAccountToken"] = json!(false);
    check_volumes(declining.clone(), json!({"containers": containers}), 0);
    check_volumes(
        declining,
        json!({"containers": containers, "automountServiceAccountToken": true}),
        1,
    );
    check_volumes(
        account(),
        json!({"containers": containers, "automountServiceAccountToken": false}),
        0,
    );
    let own = json!([{"name": "a", "volumeMounts": [{"name": "v", "mountPath": MOUNT_PATH}]}]);
    check_volumes(
        account(),
        json!({"containers": own, "volumes": [{"name": "v"}]}),
        1,
    );
    let named = json!({"containers": containers, "volumes": [{"name": "kube-api-access-mine"}]});
    check_volumes(account(), named, 1);
}

fn check_refused(world: &World, pod: Value, expected: &str) {
    assert_eq!(
        admit(world, pod).unwrap_err(),
        format!("pods \"x\" is forbidden: {expected}")
    );
}

#[test]
fn accounts_must_be_there() {
    check_refused(
        &World::default(),
        json!({"spec": {"serviceAccountName": "robot"}}),
        "error looking up service account ns/robot: serviceaccount \"robot\" not found",
    );
}

#[test]
fn mirror_pods_depend_on_nothing() {
    let mirror = |spec: Value| json!({"metadata": {"annotations": {MIRROR: "1"}}, "spec": spec});
    let none = World::default();
    assert_eq!(admit(&none, mirror(json!({}))), Ok(mirror(json!({}))));
    check_refused(
        &none,
        mirror(json!({"serviceAccountName": "a"})),
        "a mirror pod may not reference service accounts",
    );
    let secret = json!({"volumes": [{"name": "s", "secret": {"secretName": "a"}}]});
    check_refused(
        &none,
        mirror(secret),
        "a mirror pod may not reference secrets",
    );
    let token = json!({"volumes": [{"name": "s", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]});
    check_refused(
        &none,
        mirror(token),
        "a mirror pod may not use ServiceAccountToken volume projections",
    );
}

#[test]
fn enforcing_accounts_list_their_secrets() {
    let mut strict = account();
    strict["metadata"]["annotations"] = json!({ENFORCE: "true"});
    strict["secrets"] = json!([{"name": "mine"}]);
    let world = world(strict);
    let volume =
        |name: &str| json!({"spec": {"volumes": [{"name": "s", "secret": {"secretName": name}}]}});
    assert!(admit(&world, volume("mine")).is_ok());
    let tail = "is not allowed because service account default does not reference that secret";
    check_refused(
        &world,
        volume("other"),
        &format!("volume with secret.secretName=\"other\" {tail}"),
    );
    let env = json!({"spec": {"containers": [{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other"}}}]}]}});
    check_refused(
        &world,
        env,
        &format!("container c with envVar E referencing secret.secretName=\"other\" {tail}"),
    );
    let pull = json!({"spec": {"imagePullSecrets": [{"name": "other"}]}});
    check_refused(
        &world,
        pull,
        "imagePullSecrets[0].name=\"other\" is not allowed because service account default does not reference that imagePullSecret",
    );
}

#[test]
fn names_what_a_pod_uses() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "imagePullSecrets": [{"name": "a"}],
        "containers": [{"envFrom": [{"secretRef": {"name": "b"}}, {"configMapRef": {"name": "m"}}],
            "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "n"}}}]}],
        "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "c"}}, {"configMap": {"name": "o"}}]}},
            {"name": "w", "csi": {"nodePublishSecretRef": {"name": "d"}}},
            {"name": "x", "persistentVolumeClaim": {"claimName": "k"}}, {"name": "y", "ephemeral": {}}]}});
    assert_eq!(
        secrets::names(&pod["spec"]).into_iter().collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
    assert_eq!(
        secrets::config_maps(&pod["spec"])
            .into_iter()
            .collect::<Vec<_>>(),
        ["m", "n", "o"]
    );
    assert_eq!(
        secrets::claims(&pod).into_iter().collect::<Vec<_>>(),
        ["k", "p-y"]
    );
}
