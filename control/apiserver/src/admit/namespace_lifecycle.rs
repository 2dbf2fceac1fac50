//! `NamespaceLifecycle`: nothing is made in a namespace that is not there or is going away, and
//! some namespaces stay. Pure.

use serde_json::Value;

use super::{Operation, Request, View, fields};
use crate::failure::{Failure, Outcome};
use keelson_api::meta::StatusCause;

/// The namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Decides.
pub(crate) fn decide(request: &Request<'_>, object: &Value, view: &dyn View) -> Outcome<()> {
    let of_namespaces = request.group.is_empty() && request.resource == "namespaces";
    let deletes = request.operation == Operation::Delete;
    if of_namespaces {
        let protected =
            deletes && request.subresource.is_empty() && IMMORTAL.contains(&request.name);
        return match protected {
            true => Err(request.forbid(object, "this namespace may not be deleted")),
            false => Ok(()),
        };
    }
    let review =
        request.group == "authorization.k8s.io" && request.resource == "localsubjectaccessreviews";
    if request.namespace.is_empty() || deletes || review {
        return Ok(());
    }
    let Some(ends) = view.namespace_ends(request.namespace) else {
        return Err(Failure::not_found("", "namespaces", request.namespace));
    };
    if request.operation == Operation::Create && ends {
        return Err(being_terminated(request, object));
    }
    Ok(())
}

/// Whether a namespace is on its way out.
pub(crate) fn ends(namespace: &Value) -> bool {
    fields::text(namespace, "/status/phase") == "Terminating"
        || fields::optional_text(namespace, "/metadata/deletionTimestamp").is_some()
}

fn being_terminated(request: &Request<'_>, object: &Value) -> Failure {
    let namespace = request.namespace;
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut status = request.forbid(object, &why).status().clone();
    let cause = StatusCause {
        field: Some("metadata.namespace".to_owned()),
        message: Some(format!("namespace {namespace} is being terminated")),
        reason: Some("NamespaceTerminating".to_owned()),
    };
    status.details.get_or_insert_default().causes = Some(vec![cause]);
    Failure::of(status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admit::tests::{World, request};
    use crate::auth::User;

    fn check(
        operation: Operation,
        resource: &str,
        namespace: &str,
        name: &str,
        expected: Result<(), &str>,
    ) {
        let world = World::default()
            .with("", "namespaces", json!({"metadata": {"name": "ns"}}))
            .with(
                "",
                "namespaces",
                json!({"metadata": {"name": "old"}, "status": {"phase": "Terminating"}}),
            );
        let user = User::known("jane", []);
        let request = Request {
            namespace,
            name,
            ..request(operation, "", resource, &user, &fields::NULL)
        };
        let found = decide(&request, &Value::Null, &world);
        let found = found.as_ref().copied().map_err(Failure::message);
        assert_eq!(found, expected, "{operation} {resource} {namespace}/{name}");
    }

    #[test]
    fn namespaces_guard_what_is_in_them() {
        use Operation::{Create, Delete, Update};
        check(Create, "pods", "ns", "x", Ok(()));
        check(Create, "nodes", "", "x", Ok(()));
        check(
            Create,
            "pods",
            "none",
            "x",
            Err("namespaces \"none\" not found"),
        );
        check(
            Create,
            "pods",
            "old",
            "x",
            Err(
                "pods \"x\" is forbidden: unable to create new content in namespace old because it is being terminated",
            ),
        );
        check(Update, "pods", "old", "x", Ok(()));
        check(Delete, "pods", "none", "x", Ok(()));
        check(Create, "namespaces", "new", "new", Ok(()));
        check(Delete, "namespaces", "ns", "ns", Ok(()));
        check(
            Delete,
            "namespaces",
            "kube-system",
            "kube-system",
            Err("namespaces \"kube-system\" is forbidden: this namespace may not be deleted"),
        );
    }

    #[test]
    fn a_refusal_says_that_the_namespace_ends() {
        let world = World::default().with(
            "",
            "namespaces",
            json!({"metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        );
        let user = User::known("jane", []);
        let request = request(Operation::Create, "", "pods", &user, &fields::NULL);
        let failure = decide(&request, &Value::Null, &world).unwrap_err();
        let causes = failure.status().details.clone().unwrap().causes.unwrap();
        assert_eq!(causes[0].reason.as_deref(), Some("NamespaceTerminating"));
        assert_eq!(causes[0].field.as_deref(), Some("metadata.namespace"));
    }
}
