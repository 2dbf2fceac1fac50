//! `ServiceAccount`: the account a pod runs as, the token that its containers get, and the secrets
//! it may use. Pure.

use serde_json::{Value, json};

use super::{Notes, Operation, Request, View, fields};
use crate::failure::Outcome;

pub(crate) mod secrets;

/// Marks a pod that mirrors one which a node runs by itself.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
/// Seconds that the token of a pod is asked for; the odd number tells it from others.
const TOKEN_SECONDS: i64 = 3607;

/// Gives a new pod its account, token volume and pull secrets.
pub(crate) fn mutate(request: &Request<'_>, object: &mut Value, view: &dyn View) -> Outcome<()> {
    let create = request.operation == Operation::Create;
    if !create || !request.is_for("", "pods") || fields::annotation(object, MIRROR).is_some() {
        return Ok(());
    }
    if fields::text(object, "/spec/serviceAccountName").is_empty() {
        fields::put(object, &["spec", "serviceAccountName"], "default");
    }
    let name = fields::text(object, "/spec/serviceAccountName").to_owned();
    fields::put(object, &["spec", "serviceAccount"], name.as_str());
    let account = account(request, object, view)?;
    let own = fields::flag(object, "/spec/automountServiceAccountToken");
    let wanted = own.or(fields::flag(&account, "/automountServiceAccountToken"));
    if wanted.unwrap_or(true) {
        mount_token(object);
    }
    let secrets = fields::list(&account, "/imagePullSecrets");
    if fields::list(object, "/spec/imagePullSecrets").is_empty() && !secrets.is_empty() {
        fields::put(object, &["spec", "imagePullSecrets"], secrets.to_vec());
    }
    Ok(())
}

fn account(request: &Request<'_>, pod: &Value, view: &dyn View) -> Outcome<Value> {
    let (namespace, name) = (
        request.namespace,
        fields::text(pod, "/spec/serviceAccountName"),
    );
    view.find("", "serviceaccounts", namespace, name).ok_or_else(|| {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        );
        request.forbid(pod, &why)
    })
}

fn mount_token(pod: &mut Value) {
    let mut volumes = fields::list(pod, "/spec/volumes").iter();
    let there = volumes.find_map(|volume| {
        let name = fields::text(volume, "/name");
        name.starts_with(VOLUME_PREFIX).then(|| name.to_owned())
    });
    let name = there.clone().unwrap_or_else(|| volume_name(pod));
    let mut used = false;
    for field in ["initContainers", "containers"] {
        if fields::value(pod, &format!("/spec/{field}")).is_null() {
            continue;
        }
        for container in fields::list_mut(pod, &["spec", field]) {
            used |= mount_into(container, &name);
        }
    }
    if used && there.is_none() {
        fields::list_mut(pod, &["spec", "volumes"]).push(token_volume(&name));
    }
}

/// Mounts the volume, unless something is mounted in its place.
fn mount_into(container: &mut Value, volume: &str) -> bool {
    let mounts = fields::list_mut(container, &["volumeMounts"]);
    if mounts
        .iter()
        .any(|mount| fields::text(mount, "/mountPath") == MOUNT_PATH)
    {
        return false;
    }
    mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}

/// A name that no other volume of the pod has: a hash of the pod, in letters that spell nothing.
fn volume_name(pod: &Value) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let seed = pod
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut left = seed ^ (seed >> 32);
    let mut name = VOLUME_PREFIX.to_owned();
    for _ in 0..5 {
        let at = usize::try_from(left % 27).unwrap_or_default();
        name.push(char::from(LETTERS[at]));
        left /= 27;
    }
    name
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

/// Decides whether a pod may use what it names.
pub(crate) fn validate(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    let create = request.operation == Operation::Create && request.is_for("", "pods");
    let debug = request.is_for_part("", "pods", "ephemeralcontainers");
    if !create && !debug {
        return Ok(());
    }
    if create && fields::annotation(object, MIRROR).is_some() {
        return mirror(request, object);
    }
    if fields::text(object, "/spec/serviceAccountName").is_empty() {
        let why = format!(
            "no service account specified for pod {}/{}",
            request.namespace, request.name
        );
        return if create {
            Err(request.forbid(object, &why))
        } else {
            Ok(())
        };
    }
    let account = account(request, object, view)?;
    if fields::annotation(&account, ENFORCE) != Some("true") {
        return Ok(());
    }
    match secrets::beyond(&account, object) {
        Some(why) => Err(request.forbid(object, &why)),
        None => Ok(()),
    }
}

/// A pod that mirrors one of a node depends on nothing in the API.
fn mirror(request: &Request<'_>, pod: &Value) -> Outcome<()> {
    if !fields::text(pod, "/spec/serviceAccountName").is_empty() {
        return Err(request.forbid(pod, "a mirror pod may not reference service accounts"));
    }
    if !secrets::names(&pod["spec"]).is_empty() {
        return Err(request.forbid(pod, "a mirror pod may not reference secrets"));
    }
    let mut sources = fields::list(pod, "/spec/volumes")
        .iter()
        .flat_map(|volume| fields::list(volume, "/projected/sources"));
    if sources.any(|source| !fields::value(source, "/serviceAccountToken").is_null()) {
        let why = "a mirror pod may not use ServiceAccountToken volume projections";
        return Err(request.forbid(pod, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
