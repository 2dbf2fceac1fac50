//! Roles and bindings in `kube-system` and `kube-public`. A table.

use super::{Binding, EVENTS, READ, Role, binding, named, role, rule};

const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";

pub(super) const ROLES: &[(&str, Role)] = &[
    (
        SYSTEM,
        role(
            "extension-apiserver-authentication-reader",
            &[named(
                READ,
                "core",
                "configmaps",
                "extension-apiserver-authentication",
            )],
        ),
    ),
    (
        SYSTEM,
        role(
            "system:controller:bootstrap-signer",
            &[rule(READ, "core", "secrets")],
        ),
    ),
    (
        SYSTEM,
        role(
            "system:controller:cloud-provider",
            &[rule("create get list watch", "core", "configmaps")],
        ),
    ),
    (
        SYSTEM,
        role(
            "system:controller:token-cleaner",
            &[rule("delete get list watch", "core", "secrets"), EVENTS],
        ),
    ),
    (
        SYSTEM,
        role(
            "system::leader-locking-kube-controller-manager",
            &[
                rule("watch", "core", "configmaps"),
                named(
                    "get update",
                    "core",
                    "configmaps",
                    "kube-controller-manager",
                ),
            ],
        ),
    ),
    (
        SYSTEM,
        role(
            "system::leader-locking-kube-scheduler",
            &[
                rule("watch", "core", "configmaps"),
                named("get update", "core", "configmaps", "kube-scheduler"),
            ],
        ),
    ),
    (
        PUBLIC,
        role(
            "system:controller:bootstrap-signer",
            &[
                rule(READ, "core", "configmaps"),
                named("update", "core", "configmaps", "cluster-info"),
                EVENTS,
            ],
        ),
    ),
];

pub(super) const BINDINGS: &[(&str, Binding)] = &[
    (
        SYSTEM,
        Binding {
            role: "extension-apiserver-authentication-reader",
            ..binding(
                "system::extension-apiserver-authentication-reader",
                &[
                    "User system:kube-controller-manager",
                    "User system:kube-scheduler",
                ],
            )
        },
    ),
    (
        SYSTEM,
        binding(
            "system::leader-locking-kube-controller-manager",
            &[
                "User system:kube-controller-manager",
                "ServiceAccount kube-system/kube-controller-manager",
            ],
        ),
    ),
    (
        SYSTEM,
        binding(
            "system::leader-locking-kube-scheduler",
            &[
                "User system:kube-scheduler",
                "ServiceAccount kube-system/kube-scheduler",
            ],
        ),
    ),
    (
        SYSTEM,
        binding(
            "system:controller:bootstrap-signer",
            &["ServiceAccount kube-system/bootstrap-signer"],
        ),
    ),
    (
        SYSTEM,
        binding(
            "system:controller:cloud-provider",
            &["ServiceAccount kube-system/cloud-provider"],
        ),
    ),
    (
        SYSTEM,
        binding(
            "system:controller:token-cleaner",
            &["ServiceAccount kube-system/token-cleaner"],
        ),
    ),
    (
        PUBLIC,
        binding(
            "system:controller:bootstrap-signer",
            &["ServiceAccount kube-system/bootstrap-signer"],
        ),
    ),
];
