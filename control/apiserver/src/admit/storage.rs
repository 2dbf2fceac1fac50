//! `StorageObjectInUseProtection`: finalizers that keep volumes while they are used. And
//! `PersistentVolumeClaimResize`: which claims may grow. Pure.

use keelson_api::quantity::Quantity;
use serde_json::Value;

use super::{Notes, Request, View, fields};
use crate::failure::Outcome;

/// Adds the finalizer of the kind.
pub(crate) fn protect(request: &Request<'_>, object: &mut Value, _: &dyn View) -> Outcome<()> {
    let finalizer = match (request.group, request.resource, request.subresource) {
        ("", "persistentvolumes", "") => "kubernetes.io/pv-protection",
        ("", "persistentvolumeclaims", "") => "kubernetes.io/pvc-protection",
        ("storage.k8s.io", "volumeattributesclasses", "") => "kubernetes.io/vac-protection",
        _ => return Ok(()),
    };
    let finalizers = fields::list_mut(object, &["metadata", "finalizers"]);
    if !finalizers.iter().any(|own| own == finalizer) {
        finalizers.push(finalizer.into());
    }
    Ok(())
}

/// Decides whether a claim may grow.
pub(crate) fn resize(
    request: &Request<'_>,
    object: &Value,
    view: &dyn View,
    _: &mut Notes,
) -> Outcome<()> {
    if !request.is_for("", "persistentvolumeclaims") || size(object) <= size(request.old) {
        return Ok(());
    }
    if fields::text(request.old, "/status/phase") != "Bound" {
        return Err(request.forbid(
            object,
            "Only bound persistent volume claims can be expanded",
        ));
    }
    if !may_grow(object, request.old, view) {
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        return Err(request.forbid(object, why));
    }
    Ok(())
}

fn size(claim: &Value) -> Quantity {
    let text = fields::text(claim, "/spec/resources/requests/storage");
    Quantity::parse(text).unwrap_or(Quantity::ZERO)
}

fn may_grow(claim: &Value, old: &Value, view: &dyn View) -> bool {
    let (class, before) = (class(claim), class(old));
    if class.is_empty() || class != before {
        return false;
    }
    let found = view.find("storage.k8s.io", "storageclasses", "", class);
    found.is_some_and(|class| fields::flag(&class, "/allowVolumeExpansion") == Some(true))
}

fn class(claim: &Value) -> &str {
    fields::annotation(claim, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| fields::text(claim, "/spec/storageClassName"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::Operation;
    use crate::admit::tests::{World, request};
    use crate::auth::User;
    use crate::failure::Failure;

    #[test]
    fn what_is_used_stays() {
        let user = User::known("jane", []);
        let request = request(
            Operation::Create,
            "",
            "persistentvolumeclaims",
            &user,
            &fields::NULL,
        );
        let mut claim = json!({"metadata": {"finalizers": ["a"]}});
        protect(&request, &mut claim, &World::default()).unwrap();
        protect(&request, &mut claim, &World::default()).unwrap();
        assert_eq!(
            claim["metadata"]["finalizers"],
            json!(["a", "kubernetes.io/pvc-protection"])
        );
    }

    fn check(size: &str, class: &str, phase: &str, expected: Result<(), &str>) {
        let claim = |size: &str, phase: &str| json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        let world = World::default()
            .with(
                "storage.k8s.io",
                "storageclasses",
                json!({"metadata": {"name": "grows"}, "allowVolumeExpansion": true}),
            )
            .with(
                "storage.k8s.io",
                "storageclasses",
                json!({"metadata": {"name": "stays"}}),
            );
        let (user, old) = (User::known("jane", []), claim("1Gi", phase));
        let request = request(Operation::Update, "", "persistentvolumeclaims", &user, &old);
        let found = resize(&request, &claim(size, phase), &world, &mut Notes::default());
        assert_eq!(found.as_ref().copied().map_err(Failure::message), expected);
    }

    #[test]
    fn claims_grow_where_their_class_allows_it() {
        check("2Gi", "grows", "Bound", Ok(()));
        check("1Gi", "stays", "Bound", Ok(()));
        let pending = "persistentvolumeclaims \"x\" is forbidden: Only bound persistent volume claims can be expanded";
        check("2Gi", "grows", "Pending", Err(pending));
        let fixed = "persistentvolumeclaims \"x\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        check("2Gi", "stays", "Bound", Err(fixed));
        check("2Gi", "", "Bound", Err(fixed));
    }
}
