//! Who may do what: authentication, authorization, RBAC, certificates.

use super::{Resource, Scope, Verbs};
use crate::columns;
use crate::defaults::network;
use crate::strategy::{NameForm, Strategy};
use crate::validate;

const AUTHENTICATION: (&str, &str) = ("authentication.k8s.io", "v1");
const AUTHORIZATION: (&str, &str) = ("authorization.k8s.io", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");
const CERTIFICATES: (&str, &str) = ("certificates.k8s.io", "v1");

const ROLES: Strategy = Strategy {
    name: NameForm::PathSegment,
    create_on_update: true,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    let mut rows = reviews();
    rows.extend([
        Resource::cluster(RBAC, "ClusterRole", "clusterroles")
            .validate(validate::rbac::cluster_role)
            .columns(columns::auth::ROLE)
            .strategy(ROLES),
        Resource::cluster(RBAC, "ClusterRoleBinding", "clusterrolebindings")
            .validate(validate::rbac::cluster_role_binding)
            .change(validate::rbac::binding_change)
            .columns(columns::auth::BINDING)
            .defaults(network::role_binding)
            .strategy(ROLES),
        Resource::namespaced(RBAC, "Role", "roles")
            .validate(validate::rbac::role)
            .columns(columns::auth::ROLE)
            .strategy(ROLES),
        Resource::namespaced(RBAC, "RoleBinding", "rolebindings")
            .validate(validate::rbac::role_binding)
            .change(validate::rbac::binding_change)
            .columns(columns::auth::BINDING)
            .defaults(network::role_binding)
            .strategy(ROLES),
        Resource::cluster(
            CERTIFICATES,
            "CertificateSigningRequest",
            "certificatesigningrequests",
        )
        .validate(validate::signing::signing_request)
        .change(validate::signing::signing_request_change)
        .status_rules(validate::signing::status)
        .columns(columns::auth::SIGNING_REQUEST)
        .short(&["csr"])
        .selectable(&["spec.signerName"])
        .part("approval", Verbs::CHANGE)
        .status(),
    ]);
    rows
}

fn reviews() -> Vec<Resource> {
    let cluster = |group, kind, plural| Resource::review(Scope::Cluster, group, kind, plural);
    vec![
        cluster(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews"),
        cluster(AUTHENTICATION, "TokenReview", "tokenreviews"),
        Resource::review(
            Scope::Namespaced,
            AUTHORIZATION,
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
        ),
        cluster(
            AUTHORIZATION,
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
        ),
        cluster(
            AUTHORIZATION,
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
        ),
        cluster(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews"),
    ]
}
