//! The roles of the controllers, each of which has a service account of the same name. A table.

use super::{EVENTS, READ, Role, named, role, rule};

const TOUCH: &str = "patch update";
const ALL_BUT_COLLECTION: &str = "create delete get list patch update watch";
const NO_PATCH: &str = "create delete get list update watch";
const OWN_PODS: &str = "create delete list patch watch";

pub(super) const ROLES: &[Role] = &[
    role(
        "system:controller:attachdetach-controller",
        &[
            rule(
                "list watch",
                "core",
                "persistentvolumeclaims persistentvolumes",
            ),
            rule(READ, "core", "nodes"),
            rule(TOUCH, "core", "nodes/status"),
            rule("list watch", "core", "pods"),
            EVENTS,
            rule(
                "create delete get list watch",
                "storage.k8s.io",
                "volumeattachments",
            ),
            rule(READ, "storage.k8s.io", "csidrivers"),
            rule(READ, "storage.k8s.io", "csinodes"),
        ],
    ),
    role(
        "system:controller:certificate-controller",
        &[
            rule(
                "delete get list watch",
                "certificates.k8s.io",
                "certificatesigningrequests",
            ),
            rule(
                "update",
                "certificates.k8s.io",
                "certificatesigningrequests/approval certificatesigningrequests/status",
            ),
            named(
                "approve",
                "certificates.k8s.io",
                "signers",
                "kubernetes.io/kube-apiserver-client-kubelet",
            ),
            named(
                "sign",
                "certificates.k8s.io",
                "signers",
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
            ),
            rule("create", "authorization.k8s.io", "subjectaccessreviews"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:clusterrole-aggregation-controller",
        &[rule(
            "escalate get list patch update watch",
            "rbac.authorization.k8s.io",
            "clusterroles",
        )],
    ),
    role(
        "system:controller:cronjob-controller",
        &[
            rule("get list update watch", "batch", "cronjobs"),
            rule(ALL_BUT_COLLECTION, "batch", "jobs"),
            rule("update", "batch", "cronjobs/status"),
            rule("update", "batch", "cronjobs/finalizers"),
            rule("delete list watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:daemon-set-controller",
        &[
            rule(READ, "apps extensions", "daemonsets"),
            rule("update", "apps extensions", "daemonsets/status"),
            rule("update", "apps extensions", "daemonsets/finalizers"),
            rule("list watch", "core", "nodes"),
            rule(OWN_PODS, "core", "pods"),
            rule("create", "core", "pods/binding"),
            rule(ALL_BUT_COLLECTION, "apps", "controllerrevisions"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:deployment-controller",
        &[
            rule("get list update watch", "apps extensions", "deployments"),
            rule("update", "apps extensions", "deployments/status"),
            rule("update", "apps extensions", "deployments/finalizers"),
            rule(ALL_BUT_COLLECTION, "apps extensions", "replicasets"),
            rule("get list update watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:device-taint-eviction-controller",
        &[
            rule("delete get list watch", "core", "pods"),
            rule(TOUCH, "core", "pods/status"),
            rule(READ, "resource.k8s.io", "resourceclaims"),
            rule(READ, "resource.k8s.io", "resourceslices"),
            rule(READ, "resource.k8s.io", "deviceclasses"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:disruption-controller",
        &[
            rule(READ, "apps extensions", "deployments"),
            rule(READ, "apps extensions", "replicasets"),
            rule(READ, "core", "replicationcontrollers"),
            rule(READ, "policy", "poddisruptionbudgets"),
            rule(READ, "apps", "statefulsets"),
            rule("update", "policy", "poddisruptionbudgets/status"),
            rule(TOUCH, "core", "pods/status"),
            rule("get", "*", "*/scale"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpoint-controller",
        &[
            rule(READ, "core", "pods services"),
            rule(NO_PATCH, "core", "endpoints"),
            rule("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslice-controller",
        &[
            rule(READ, "core", "nodes pods services"),
            rule("update", "core", "services/finalizers"),
            rule(NO_PATCH, "discovery.k8s.io", "endpointslices"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslicemirroring-controller",
        &[
            rule(READ, "core", "endpoints services"),
            rule("update", "core", "services/finalizers"),
            rule("update", "core", "endpoints/finalizers"),
            rule(NO_PATCH, "discovery.k8s.io", "endpointslices"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:ephemeral-volume-controller",
        &[
            rule(READ, "core", "pods"),
            rule("update", "core", "pods/finalizers"),
            rule("create get list watch", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:expand-controller",
        &[
            rule("get list patch update watch", "core", "persistentvolumes"),
            rule(TOUCH, "core", "persistentvolumeclaims/status"),
            rule(READ, "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:generic-garbage-collector",
        &[rule("delete get list patch update watch", "*", "*"), EVENTS],
    ),
    role(
        "system:controller:horizontal-pod-autoscaler",
        &[
            rule(READ, "autoscaling", "horizontalpodautoscalers"),
            rule("update", "autoscaling", "horizontalpodautoscalers/status"),
            rule("get update", "*", "*/scale"),
            rule("list watch", "core", "pods"),
            rule("list watch", "metrics.k8s.io", "pods"),
            rule(READ, "custom.metrics.k8s.io", "*"),
            rule(READ, "external.metrics.k8s.io", "*"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:job-controller",
        &[
            rule("get list patch update watch", "batch", "jobs"),
            rule("update", "batch", "jobs/status"),
            rule("update", "batch", "jobs/finalizers"),
            rule(OWN_PODS, "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:legacy-service-account-token-cleaner",
        &[
            named(
                "get",
                "core",
                "configmaps",
                "kube-apiserver-legacy-service-account-token-tracking",
            ),
            rule("delete patch", "core", "secrets"),
        ],
    ),
    role(
        "system:controller:namespace-controller",
        &[
            rule("delete get list watch", "core", "namespaces"),
            rule("update", "core", "namespaces/finalize namespaces/status"),
            rule("delete deletecollection get list watch", "*", "*"),
        ],
    ),
    role(
        "system:controller:node-controller",
        &[
            rule("delete get list patch update watch", "core", "nodes"),
            rule(TOUCH, "core", "nodes/status"),
            rule(TOUCH, "core", "pods/status"),
            rule("delete get list watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:persistent-volume-binder",
        &[
            rule(NO_PATCH, "core", "persistentvolumes"),
            rule("update", "core", "persistentvolumes/status"),
            rule("get list update watch", "core", "persistentvolumeclaims"),
            rule("update", "core", "persistentvolumeclaims/status"),
            rule("create delete get list watch", "core", "pods"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule("list watch", "core", "nodes"),
            EVENTS,
            rule("watch", "core", "events"),
        ],
    ),
    role(
        "system:controller:pod-garbage-collector",
        &[
            rule("delete list watch", "core", "pods"),
            rule(READ, "core", "nodes"),
            rule("patch", "core", "pods/status"),
        ],
    ),
    role(
        "system:controller:pv-protection-controller",
        &[
            rule("get list update watch", "core", "persistentvolumes"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:pvc-protection-controller",
        &[
            rule("get list update watch", "core", "persistentvolumeclaims"),
            rule("update", "core", "persistentvolumeclaims/status"),
            rule(READ, "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:replicaset-controller",
        &[
            rule("get list update watch", "apps extensions", "replicasets"),
            rule("update", "apps extensions", "replicasets/status"),
            rule("update", "apps extensions", "replicasets/finalizers"),
            rule(OWN_PODS, "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:replication-controller",
        &[
            rule("get list update watch", "core", "replicationcontrollers"),
            rule("update", "core", "replicationcontrollers/status"),
            rule("update", "core", "replicationcontrollers/finalizers"),
            rule(OWN_PODS, "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:resource-claim-controller",
        &[
            rule(READ, "core", "pods"),
            rule("update", "core", "pods/finalizers"),
            rule(
                "create delete get list watch",
                "resource.k8s.io",
                "resourceclaims",
            ),
            rule(
                TOUCH,
                "resource.k8s.io",
                "resourceclaims resourceclaims/status",
            ),
            rule(TOUCH, "core", "pods/status"),
            EVENTS,
            rule(TOUCH, "resource.k8s.io", "resourceclaims/binding"),
        ],
    ),
    role(
        "system:controller:resourcequota-controller",
        &[
            rule("list watch", "*", "*"),
            rule("update", "core", "resourcequotas/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:root-ca-cert-publisher",
        &[rule("create update", "core", "configmaps"), EVENTS],
    ),
    role(
        "system:controller:route-controller",
        &[
            rule("list watch", "core", "nodes"),
            rule("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:selinux-warning-controller",
        &[
            EVENTS,
            rule(READ, "core", "persistentvolumes"),
            rule(READ, "core", "persistentvolumeclaims"),
            rule(READ, "core", "pods"),
            rule(READ, "storage.k8s.io", "csidrivers"),
        ],
    ),
    role(
        "system:controller:service-account-controller",
        &[rule("create", "core", "serviceaccounts"), EVENTS],
    ),
    role(
        "system:controller:service-cidrs-controller",
        &[
            rule(
                "get list patch update watch",
                "networking.k8s.io",
                "servicecidrs",
            ),
            rule(TOUCH, "networking.k8s.io", "servicecidrs/finalizers"),
            rule(TOUCH, "networking.k8s.io", "servicecidrs/status"),
            rule(READ, "networking.k8s.io", "ipaddresses"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:service-controller",
        &[
            rule(READ, "core", "services"),
            rule(TOUCH, "core", "services/status"),
            rule("list watch", "core", "nodes"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:statefulset-controller",
        &[
            rule("list watch", "core", "pods"),
            rule(READ, "apps", "statefulsets"),
            rule("update", "apps", "statefulsets/status"),
            rule("update", "apps", "statefulsets/finalizers"),
            rule("create delete get patch update", "core", "pods"),
            rule(ALL_BUT_COLLECTION, "apps", "controllerrevisions"),
            rule("create get list watch", "core", "persistentvolumeclaims"),
            rule("delete update", "core", "persistentvolumeclaims"),
            rule("update", "core", "pods/finalizers"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:ttl-after-finished-controller",
        &[rule("delete get list watch", "batch", "jobs"), EVENTS],
    ),
    role(
        "system:controller:ttl-controller",
        &[rule("list patch update watch", "core", "nodes"), EVENTS],
    ),
    role(
        "system:controller:validatingadmissionpolicy-status-controller",
        &[
            rule(
                READ,
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies",
            ),
            rule(
                "get patch update",
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies/status",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:volumeattributesclass-protection-controller",
        &[
            rule(READ, "core", "persistentvolumeclaims"),
            rule(READ, "core", "persistentvolumes"),
            rule(
                "get list update watch",
                "storage.k8s.io",
                "volumeattributesclasses",
            ),
            EVENTS,
        ],
    ),
];
