//! `DefaultStorageClass` and `DefaultIngressClass`: the class of what does not name one. Pure.

use serde_json::Value;

use super::{Request, View, fields};
use crate::failure::Outcome;

/// Claims.
pub(crate) fn storage_class(
    request: &Request<'_>,
    object: &mut Value,
    view: &dyn View,
) -> Outcome<()> {
    let named = !fields::value(object, "/spec/storageClassName").is_null()
        || fields::annotation(object, "volume.beta.kubernetes.io/storage-class").is_some();
    if !request.is_for("", "persistentvolumeclaims") || named {
        return Ok(());
    }
    let marks = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ];
    let classes = view.list("storage.k8s.io", "storageclasses", "");
    if let Some(class) = chosen(&classes, &marks) {
        fields::put(object, &["spec", "storageClassName"], class);
    }
    Ok(())
}

/// Ingresses.
pub(crate) fn ingress_class(
    request: &Request<'_>,
    object: &mut Value,
    view: &dyn View,
) -> Outcome<()> {
    let named = !fields::value(object, "/spec/ingressClassName").is_null()
        || fields::annotation(object, "kubernetes.io/ingress.class").is_some();
    if !request.is_for("networking.k8s.io", "ingresses") || named {
        return Ok(());
    }
    let classes = view.list("networking.k8s.io", "ingressclasses", "");
    if let Some(class) = chosen(&classes, &["ingressclass.kubernetes.io/is-default-class"]) {
        fields::put(object, &["spec", "ingressClassName"], class);
    }
    Ok(())
}

/// Of those marked, the newest; of equally old ones, the first by name.
fn chosen<'a>(classes: &'a [Value], marks: &[&str]) -> Option<&'a str> {
    let is_default = |class: &&Value| {
        marks
            .iter()
            .any(|mark| fields::annotation(class, mark) == Some("true"))
    };
    let mut found: Vec<&Value> = classes.iter().filter(is_default).collect();
    found.sort_by_key(|class| fields::name(class));
    found
        .sort_by_key(|class| std::cmp::Reverse(fields::text(class, "/metadata/creationTimestamp")));
    found.first().map(|class| fields::name(class))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::Operation;
    use crate::admit::tests::{World, request};
    use crate::auth::User;

    fn class(name: &str, default: &str, made: &str) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": made,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default,
                "ingressclass.kubernetes.io/is-default-class": default}}})
    }

    fn check(claim: Value, expected: &Value) {
        let world = World::default()
            .with(
                "storage.k8s.io",
                "storageclasses",
                class("a", "true", "2026-01-01T00:00:00Z"),
            )
            .with(
                "storage.k8s.io",
                "storageclasses",
                class("c", "true", "2026-01-02T00:00:00Z"),
            )
            .with(
                "storage.k8s.io",
                "storageclasses",
                class("b", "true", "2026-01-02T00:00:00Z"),
            )
            .with(
                "storage.k8s.io",
                "storageclasses",
                class("d", "false", "2026-01-03T00:00:00Z"),
            );
        let user = User::known("jane", []);
        let request = request(
            Operation::Create,
            "",
            "persistentvolumeclaims",
            &user,
            &fields::NULL,
        );
        let mut claim = claim;
        storage_class(&request, &mut claim, &world).unwrap();
        assert_eq!(&claim["spec"]["storageClassName"], expected);
    }

    #[test]
    fn claims_get_the_newest_default() {
        check(json!({"spec": {}}), &json!("b"));
        check(json!({"spec": {"storageClassName": ""}}), &json!(""));
        let old = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}, "spec": {}});
        check(old, &Value::Null);
    }

    #[test]
    fn ingresses_get_the_default() {
        let world = World::default().with(
            "networking.k8s.io",
            "ingressclasses",
            class("a", "true", ""),
        );
        let user = User::known("jane", []);
        let request = request(
            Operation::Create,
            "networking.k8s.io",
            "ingresses",
            &user,
            &fields::NULL,
        );
        let mut ingress = json!({"spec": {}});
        ingress_class(&request, &mut ingress, &world).unwrap();
        assert_eq!(ingress["spec"]["ingressClassName"], "a");
        let mut named =
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}});
        ingress_class(&request, &mut named, &world).unwrap();
        assert_eq!(named["spec"], json!({}));
    }
}
