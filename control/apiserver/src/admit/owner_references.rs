//! `OwnerReferencesPermissionEnforcement`: who may say that an object belongs to another one. Pure.

use serde_json::Value;

use super::{Notes, Operation, Request, View, fields};
use crate::auth::authorize::What;
use crate::failure::Outcome;

/// Decides.
pub(crate) fn validate(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    if is_unchanged(request, object) || is_namespace(request) {
        return Ok(());
    }
    let own = What::Resource {
        group: request.group,
        resource: request.resource,
        subresource: request.subresource,
        namespace: request.namespace,
        name: request.name,
    };
    if !view.allows(request.user, "delete", own) {
        let why = "cannot set an ownerRef on a resource you can't delete: ";
        return Err(request.forbid(object, why));
    }
    for owner in newly_blocking(request.old, object) {
        if !may_finalize(request, owner, view) {
            let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ";
            return Err(request.forbid(object, why));
        }
    }
    Ok(())
}

fn is_namespace(request: &Request<'_>) -> bool {
    request.group.is_empty() && request.resource == "namespaces"
}

fn is_unchanged(request: &Request<'_>, object: &Value) -> bool {
    let path = "/metadata/ownerReferences";
    match request.operation {
        Operation::Create => fields::list(object, path).is_empty(),
        _ => fields::list(object, path) == fields::list(request.old, path),
    }
}

/// The owners that the object now keeps from going, and did not before.
fn newly_blocking<'a>(old: &'a Value, new: &'a Value) -> impl Iterator<Item = &'a Value> {
    let blocks = |owner: &&Value| fields::flag(owner, "/blockOwnerDeletion") == Some(true);
    let path = "/metadata/ownerReferences";
    let before: Vec<_> = fields::list(old, path)
        .iter()
        .filter(blocks)
        .map(|o| fields::text(o, "/uid"))
        .collect();
    let now = fields::list(new, path).iter().filter(blocks);
    now.filter(move |owner| !before.contains(&fields::text(owner, "/uid")))
}

fn may_finalize(request: &Request<'_>, owner: &Value, view: &dyn View) -> bool {
    let kind = view.plural(
        fields::text(owner, "/apiVersion"),
        fields::text(owner, "/kind"),
    );
    let Some((group, resource, namespaced)) = kind else {
        return false;
    };
    let what = What::Resource {
        group: &group,
        resource: &resource,
        subresource: "finalizers",
        namespace: if namespaced { request.namespace } else { "" },
        name: fields::text(owner, "/name"),
    };
    view.allows(request.user, "update", what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::tests::{World, request};
    use crate::auth::User;

    fn check(allowed: &[&str], block: bool, expected: bool) {
        let world = World::default().kind("ReplicaSet", "apps", "replicasets", true);
        let world = allowed.iter().fold(world, |world, what| world.allow(what));
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1", "blockOwnerDeletion": block});
        let pod = json!({"metadata": {"name": "x", "ownerReferences": [owner]}});
        let user = User::known("jane", []);
        let request = request(Operation::Create, "", "pods", &user, &fields::NULL);
        let found = validate(&request, &pod, &world, &mut Notes::default());
        assert_eq!(found.is_ok(), expected, "{allowed:?} {block}");
    }

    #[test]
    fn owners_are_set_by_those_who_may_delete() {
        check(&[], false, false);
        check(&["delete pods x"], false, true);
        check(&["delete pods x"], true, false);
        check(
            &["delete pods x", "update replicasets/finalizers r"],
            true,
            true,
        );
    }
}
