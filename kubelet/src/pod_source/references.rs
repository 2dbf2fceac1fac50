//! References to objects that only an apiserver has, which static pods may not make.
//!
//! Pure. Finds them all, with what to do instead.

use keelson_api::core::{Container, Pod, PodSpec, Volume};

const SECRET: &str = "use a hostPath volume, or create the pod through the API";
const CONFIG: &str = "write the values into the manifest, or use a hostPath volume";
const ACCOUNT: &str = "remove it: static pods have no identity in the API";
const STORAGE: &str = "use a hostPath or emptyDir volume";

/// The path of each reference and its cure.
pub(super) fn of(pod: &Pod) -> Vec<(String, &'static str)> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut add = |set: bool, path: String, cure: &'static str| {
        if set {
            found.push((path, cure));
        }
    };
    let account = spec.service_account_name.as_deref().unwrap_or_default();
    add(
        !account.is_empty(),
        "spec.serviceAccountName".to_owned(),
        ACCOUNT,
    );
    for index in 0..spec.image_pull_secrets.as_ref().map_or(0, Vec::len) {
        add(true, format!("spec.imagePullSecrets[{index}]"), SECRET);
    }
    let claims = spec.resource_claims.as_ref().is_some_and(|c| !c.is_empty());
    add(
        claims,
        "spec.resourceClaims".to_owned(),
        "remove it: claims are objects of the API",
    );
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        in_volume(volume, &format!("spec.volumes[{index}]"), &mut add);
    }
    for (path, container) in containers(spec) {
        in_container(container, &path, &mut add);
    }
    found
}

fn containers(spec: &PodSpec) -> Vec<(String, &Container)> {
    let path = |list: &str, index: usize| format!("spec.{list}[{index}]");
    let main = spec
        .containers
        .iter()
        .enumerate()
        .map(|(i, c)| (path("containers", i), c));
    let init = spec.init_containers.iter().flatten().enumerate();
    main.chain(init.map(|(i, c)| (path("initContainers", i), c)))
        .collect()
}

fn in_volume(v: &Volume, path: &str, add: &mut impl FnMut(bool, String, &'static str)) {
    let at = |field: &str| format!("{path}.{field}");
    add(v.secret.is_some(), at("secret"), SECRET);
    add(v.config_map.is_some(), at("configMap"), CONFIG);
    add(
        v.persistent_volume_claim.is_some(),
        at("persistentVolumeClaim"),
        STORAGE,
    );
    add(v.ephemeral.is_some(), at("ephemeral"), STORAGE);
    let csi = v
        .csi
        .as_ref()
        .is_some_and(|c| c.node_publish_secret_ref.is_some());
    add(csi, at("csi.nodePublishSecretRef"), SECRET);
    let iscsi = v.iscsi.as_ref().is_some_and(|i| i.secret_ref.is_some());
    add(iscsi, at("iscsi.secretRef"), SECRET);
    let sources = v
        .projected
        .iter()
        .flat_map(|p| p.sources.iter().flatten())
        .enumerate();
    for (index, source) in sources {
        let at = |field: &str| format!("{path}.projected.sources[{index}].{field}");
        add(source.secret.is_some(), at("secret"), SECRET);
        add(source.config_map.is_some(), at("configMap"), CONFIG);
        add(
            source.service_account_token.is_some(),
            at("serviceAccountToken"),
            ACCOUNT,
        );
        add(
            source.cluster_trust_bundle.is_some(),
            at("clusterTrustBundle"),
            SECRET,
        );
        add(
            source.pod_certificate.is_some(),
            at("podCertificate"),
            ACCOUNT,
        );
    }
}

fn in_container(c: &Container, path: &str, add: &mut impl FnMut(bool, String, &'static str)) {
    for (index, variable) in c.env.iter().flatten().enumerate() {
        let Some(from) = &variable.value_from else {
            continue;
        };
        let at = |field: &str| format!("{path}.env[{index}].valueFrom.{field}");
        add(from.secret_key_ref.is_some(), at("secretKeyRef"), SECRET);
        add(
            from.config_map_key_ref.is_some(),
            at("configMapKeyRef"),
            CONFIG,
        );
    }
    for (index, from) in c.env_from.iter().flatten().enumerate() {
        let at = |field: &str| format!("{path}.envFrom[{index}].{field}");
        add(from.secret_ref.is_some(), at("secretRef"), SECRET);
        add(from.config_map_ref.is_some(), at("configMapRef"), CONFIG);
    }
}
