//! The secrets, config maps and claims that a pod names. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::admit::fields;

/// Volume sources whose secret is in the pod's own namespace, and where its name is.
const VOLUME_SECRETS: [&str; 8] = [
    "/secret/secretName",
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/flexVolume/secretRef/name",
    "/rbd/secretRef/name",
    "/scaleIO/secretRef/name",
    "/storageos/secretRef/name",
];
const MORE_VOLUME_SECRETS: [&str; 2] = ["/iscsi/secretRef/name", "/csi/nodePublishSecretRef/name"];

/// All secrets that a pod's specification names.
pub(crate) fn names(spec: &Value) -> BTreeSet<&str> {
    let mut found: BTreeSet<&str> = fields::list(spec, "/imagePullSecrets")
        .iter()
        .map(fields::name_of_reference)
        .collect();
    for (_, _, container) in fields::containers(spec) {
        found.extend(environment(container, "secretRef", "secretKeyRef").map(|(_, name)| name));
    }
    for volume in fields::list(spec, "/volumes") {
        let all = VOLUME_SECRETS.iter().chain(&MORE_VOLUME_SECRETS);
        found.extend(all.map(|path| fields::text(volume, path)));
        let sources = fields::list(volume, "/projected/sources").iter();
        found.extend(sources.map(|source| fields::text(source, "/secret/name")));
    }
    found.remove("");
    found
}

/// All config maps that a pod's specification names.
pub(crate) fn config_maps(spec: &Value) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (_, _, container) in fields::containers(spec) {
        found.extend(
            environment(container, "configMapRef", "configMapKeyRef").map(|(_, name)| name),
        );
    }
    for volume in fields::list(spec, "/volumes") {
        found.insert(fields::text(volume, "/configMap/name"));
        let sources = fields::list(volume, "/projected/sources").iter();
        found.extend(sources.map(|source| fields::text(source, "/configMap/name")));
    }
    found.remove("");
    found
}

/// All claims for volumes that a pod has, by their own names: those of ephemeral volumes too.
pub(crate) fn claims(pod: &Value) -> BTreeSet<String> {
    let volumes = fields::list(pod, "/spec/volumes").iter();
    let named = volumes.filter_map(|volume| {
        if volume
            .get("ephemeral")
            .is_some_and(|source| !source.is_null())
        {
            return Some(format!(
                "{}-{}",
                fields::name(pod),
                fields::text(volume, "/name")
            ));
        }
        fields::optional_text(volume, "/persistentVolumeClaim/claimName").map(str::to_owned)
    });
    named.filter(|name| !name.is_empty()).collect()
}

/// The references in a container's environment: the variable (empty for whole sources) and the name.
fn environment<'a>(
    container: &'a Value,
    whole: &'a str,
    key: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let variables = fields::list(container, "/env").iter().map(move |variable| {
        let name = variable
            .get("valueFrom")
            .and_then(|from| from.get(key)?.get("name")?.as_str());
        (fields::text(variable, "/name"), name.unwrap_or_default())
    });
    let sources = fields::list(container, "/envFrom")
        .iter()
        .map(move |source| {
            (
                "",
                source
                    .get(whole)
                    .and_then(|from| from.get("name")?.as_str())
                    .unwrap_or_default(),
            )
        });
    variables
        .chain(sources)
        .filter(|(_, name)| !name.is_empty())
}

/// Why a pod uses a secret that its account does not list, if it does.
pub(crate) fn beyond(account: &Value, pod: &Value) -> Option<String> {
    let account_name = fields::name(account);
    let listed = |path| -> BTreeSet<&str> {
        fields::list(account, path)
            .iter()
            .map(fields::name_of_reference)
            .collect()
    };
    let (mountable, pull) = (listed("/secrets"), listed("/imagePullSecrets"));
    let tail = format!(
        "is not allowed because service account {account_name} does not reference that secret"
    );
    for volume in fields::list(pod, "/spec/volumes") {
        let secret = fields::text(volume, "/secret/secretName");
        if !secret.is_empty() && !mountable.contains(secret) {
            return Some(format!("volume with secret.secretName=\"{secret}\" {tail}"));
        }
    }
    let spec = &pod["spec"];
    for (field, _, container) in fields::containers(spec) {
        let found = environment(container, "secretRef", "secretKeyRef")
            .find(|(_, name)| !mountable.contains(name));
        if let Some((variable, secret)) = found {
            let kind = match field {
                "initContainers" => "init container",
                "ephemeralContainers" => "ephemeral container",
                _ => "container",
            };
            let name = fields::text(container, "/name");
            let what = if variable.is_empty() {
                "envFrom".to_owned()
            } else {
                format!("envVar {variable}")
            };
            return Some(format!(
                "{kind} {name} with {what} referencing secret.secretName=\"{secret}\" {tail}"
            ));
        }
    }
    let used = fields::list(spec, "/imagePullSecrets")
        .iter()
        .map(fields::name_of_reference)
        .enumerate();
    let mut unlisted = used.filter(|(_, name)| !pull.contains(name));
    unlisted.next().map(|(at, name)| {
        format!(
            "imagePullSecrets[{at}].name=\"{name}\" is not allowed because service account {account_name} does not reference that imagePullSecret"
        )
    })
}
