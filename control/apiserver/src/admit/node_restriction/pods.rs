//! Pods that a kubelet writes: mirrors of what it runs by itself, their status, evictions. Pure.

use serde_json::Value;

use super::Ask;
use crate::admit::service_account::{MIRROR, secrets};
use crate::admit::{Operation, fields};
use crate::failure::{Failure, Outcome};

pub(super) fn decide(ask: &Ask<'_>) -> Outcome<()> {
    match ask.request.subresource {
        "" => match ask.operation() {
            Operation::Create => create(ask),
            Operation::Delete => delete(ask),
            _ => Err(ask.unexpected()),
        },
        "status" => status(ask),
        "eviction" => eviction(ask),
        other => Err(ask.no(&format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        ))),
    }
}

fn is_own(ask: &Ask<'_>, pod: &Value) -> bool {
    fields::text(pod, "/spec/nodeName") == ask.node
}

fn create(ask: &Ask<'_>) -> Outcome<()> {
    let (node, pod) = (ask.node, ask.object);
    ask.need(fields::annotation(pod, MIRROR).is_some(), || {
        format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        )
    })?;
    ask.need(is_own(ask, pod), || {
        format!("node {node:?} can only create pods with spec.nodeName set to itself")
    })?;
    owner(ask)?;
    refers_to_nothing(ask)
}

/// A mirror pod belongs to its node.
fn owner(ask: &Ask<'_>) -> Outcome<()> {
    let (node, owners) = (
        ask.node,
        fields::list(ask.object, "/metadata/ownerReferences"),
    );
    ask.need(owners.len() <= 1, || {
        format!("node {node:?} can only create pods with a single owner reference set to itself")
    })?;
    let not_itself =
        || format!("node {node:?} can only create pods with an owner reference set to itself");
    let Some(owner) = owners.first() else {
        return Err(ask.no(&not_itself()));
    };
    let parts = ["/apiVersion", "/kind", "/name"].map(|path| fields::text(owner, path));
    ask.need(parts == ["v1", "Node", node], not_itself)?;
    ask.need(fields::flag(owner, "/controller") == Some(true), || {
        format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        )
    })?;
    ask.need(
        fields::flag(owner, "/blockOwnerDeletion") != Some(true),
        || format!("node {node:?} must not set blockOwnerDeletion on an owner reference"),
    )?;
    let Some(known) = ask.view.find("", "nodes", "", node) else {
        return Err(Failure::not_found("", "nodes", node));
    };
    let (uid, said) = (
        fields::text(&known, "/metadata/uid"),
        fields::text(owner, "/uid"),
    );
    ask.need(uid == said, || {
        format!("node {node} UID mismatch: expected {said} got {uid}")
    })
}

fn refers_to_nothing(ask: &Ask<'_>) -> Outcome<()> {
    let (node, spec) = (ask.node, fields::value(ask.object, "/spec"));
    let no = |what: &str| format!("node {node:?} can not create pods that reference {what}");
    ask.need(fields::text(spec, "/serviceAccountName").is_empty(), || {
        no("a service account")
    })?;
    ask.need(secrets::names(spec).is_empty(), || no("secrets"))?;
    ask.need(secrets::config_maps(spec).is_empty(), || no("configmaps"))?;
    ask.need(secrets::claims(ask.object).is_empty(), || {
        no("persistentvolumeclaims")
    })?;
    ask.need(fields::list(spec, "/resourceClaims").is_empty(), || {
        no("resourceclaims")
    })?;
    let mut sources = fields::list(spec, "/volumes")
        .iter()
        .flat_map(|volume| fields::list(volume, "/projected/sources"));
    let bundles = sources.any(|source| !fields::value(source, "/clusterTrustBundle").is_null());
    ask.need(!bundles, || no("clustertrustbundles"))
}

fn delete(ask: &Ask<'_>) -> Outcome<()> {
    let node = ask.node;
    ask.need(is_own(ask, ask.request.old), || {
        format!("node {node:?} can only delete pods with spec.nodeName set to itself")
    })
}

fn status(ask: &Ask<'_>) -> Outcome<()> {
    let (node, old) = (ask.node, ask.request.old);
    if ask.operation() != Operation::Update {
        return Err(ask.unexpected());
    }
    ask.need(is_own(ask, old), || {
        format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        )
    })?;
    ask.need(fields::labels(old) == fields::labels(ask.object), || {
        format!("node {node:?} cannot update labels through pod status")
    })?;
    let path = "/status/resourceClaimStatuses";
    ask.need(
        fields::list(old, path) == fields::list(ask.object, path),
        || format!("node {node:?} cannot update resource claim statuses"),
    )
}

fn eviction(ask: &Ask<'_>) -> Outcome<()> {
    if ask.operation() != Operation::Create {
        return Err(ask.unexpected());
    }
    let request = ask.request;
    let names = [request.name, fields::name(ask.object)];
    let name = names
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default();
    let Some(pod) = ask.view.find("", "pods", request.namespace, name) else {
        return Err(Failure::not_found("", "pods", name));
    };
    ask.need(is_own(ask, &pod), || {
        format!(
            "node {} can only evict pods with spec.nodeName set to itself",
            ask.node
        )
    })
}
