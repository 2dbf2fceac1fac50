//! The roles of the cluster and who has them. A table.

use super::{
    Binding, EVENTS, READ, READ_WRITE, Role, Rule, WRITE, binding, named, role, rule, urls,
};

const REVIEW_TOKENS: Rule = rule("create", "authentication.k8s.io", "tokenreviews");
const REVIEW_ACCESS: Rule = rule("create", "authorization.k8s.io", "subjectaccessreviews");
const CREATE_LEASES: Rule = rule("create", "coordination.k8s.io", "leases");

pub(super) const ROLES: &[Role] = &[
    role("cluster-admin", &[rule("*", "*", "*"), urls("*", "*")]),
    role(
        "system:discovery",
        &[urls(
            "get",
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role(
        "system:monitoring",
        &[urls(
            "get",
            "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
        )],
    ),
    role(
        "system:basic-user",
        &[
            rule(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            rule("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role(
        "system:public-info-viewer",
        &[urls("get", "/healthz /livez /readyz /version /version/")],
    ),
    Role {
        gathers: "admin",
        ..role("admin", &[])
    },
    Role {
        gathers: "edit",
        part_of: "admin",
        ..role("edit", &[])
    },
    Role {
        gathers: "view",
        part_of: "edit",
        ..role("view", &[])
    },
    Role {
        part_of: "admin",
        ..role("system:aggregate-to-admin", ADMIN)
    },
    Role {
        part_of: "edit",
        ..role("system:aggregate-to-edit", EDIT)
    },
    Role {
        part_of: "view",
        ..role("system:aggregate-to-view", VIEW)
    },
    role(
        "system:heapster",
        &[
            rule(READ, "core", "events namespaces nodes pods"),
            rule(READ, "extensions", "deployments"),
        ],
    ),
    role("system:node", NODE),
    role(
        "system:node-problem-detector",
        &[
            rule("get", "core", "nodes"),
            rule("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "system:node-proxier",
        &[
            rule("list watch", "core", "endpoints services"),
            rule(READ, "core", "nodes"),
            EVENTS,
            rule("list watch", "discovery.k8s.io", "endpointslices"),
            rule("list watch", "networking.k8s.io", "servicecidrs"),
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            rule(READ, "core", "nodes"),
            rule("proxy", "core", "nodes"),
            rule(
                "*",
                "core",
                "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
            ),
        ],
    ),
    role(
        "system:node-bootstrapper",
        &[rule(
            "create get list watch",
            "certificates.k8s.io",
            "certificatesigningrequests",
        )],
    ),
    role("system:auth-delegator", &[REVIEW_TOKENS, REVIEW_ACCESS]),
    role(
        "system:kube-aggregator",
        &[rule(READ, "core", "endpoints services")],
    ),
    role("system:kube-controller-manager", CONTROLLER_MANAGER),
    role(
        "system:kube-dns",
        &[rule("list watch", "core", "endpoints services")],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            rule("create delete get list watch", "core", "persistentvolumes"),
            rule("get list update watch", "core", "persistentvolumeclaims"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule("watch", "core", "events"),
            EVENTS,
        ],
    ),
    role(
        "system:volume-scheduler",
        &[
            rule("get list patch update watch", "core", "persistentvolumes"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule(
                "get list patch update watch",
                "core",
                "persistentvolumeclaims",
            ),
        ],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[urls(
            "get",
            "/.well-known/openid-configuration /openid/v1/jwks",
        )],
    ),
    role("system:kube-scheduler", SCHEDULER),
    approver(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[signer("kubernetes.io/legacy-unknown")],
    ),
    approver(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[signer("kubernetes.io/kubelet-serving")],
    ),
    approver(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[signer("kubernetes.io/kube-apiserver-client")],
    ),
    approver(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[signer("kubernetes.io/kube-apiserver-client-kubelet")],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[rule(
            "create",
            "certificates.k8s.io",
            "certificatesigningrequests/nodeclient",
        )],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[rule(
            "create",
            "certificates.k8s.io",
            "certificatesigningrequests/selfnodeclient",
        )],
    ),
];

const fn approver(name: &'static str, rules: &'static [Rule]) -> Role {
    role(name, rules)
}

const fn signer(name: &'static str) -> Rule {
    named("approve", "certificates.k8s.io", "signers", name)
}

const ADMIN: &[Rule] = &[
    rule(
        "create",
        "authorization.k8s.io",
        "localsubjectaccessreviews",
    ),
    rule(
        READ_WRITE,
        "rbac.authorization.k8s.io",
        "rolebindings roles",
    ),
];

const EDIT: &[Rule] = &[
    rule(
        READ,
        "core",
        "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
    ),
    rule("impersonate", "core", "serviceaccounts"),
    rule(
        WRITE,
        "core",
        "pods pods/attach pods/exec pods/portforward pods/proxy",
    ),
    rule("create", "core", "pods/eviction"),
    rule(
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
    ),
    rule("create", "core", "serviceaccounts/token"),
    rule(
        WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
    ),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
    ),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    rule(READ_WRITE, "coordination.k8s.io", "leases"),
    rule(
        WRITE,
        "resource.k8s.io",
        "resourceclaims resourceclaimtemplates",
    ),
];

const VIEW: &[Rule] = &[
    rule(
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
    ),
    rule(READ, "core", "namespaces"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    rule(
        READ,
        "autoscaling",
        "horizontalpodautoscalers horizontalpodautoscalers/status",
    ),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    rule(
        READ,
        "policy",
        "poddisruptionbudgets poddisruptionbudgets/status",
    ),
    rule(
        READ,
        "networking.k8s.io",
        "ingresses ingresses/status networkpolicies",
    ),
    rule(
        READ,
        "resource.k8s.io",
        "resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
];

/// What a kubelet does. The Node authorizer grants these to nodes, and narrows some of them down.
pub(super) const NODE: &[Rule] = &[
    REVIEW_TOKENS,
    rule(
        "create",
        "authorization.k8s.io",
        "localsubjectaccessreviews subjectaccessreviews",
    ),
    rule(READ, "core", "services"),
    rule("create get list watch", "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("patch update", "core", "nodes"),
    rule("create patch update", "core", "events"),
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(READ, "core", "configmaps secrets"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    rule(
        "create get list watch",
        "certificates.k8s.io",
        "certificatesigningrequests",
    ),
    rule(
        "create delete get patch update",
        "coordination.k8s.io",
        "leases",
    ),
    rule("get", "storage.k8s.io", "volumeattachments"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get patch update", "core", "persistentvolumeclaims/status"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule(
        "create delete get patch update",
        "storage.k8s.io",
        "csinodes",
    ),
    rule(READ, "node.k8s.io", "runtimeclasses"),
    rule("get", "resource.k8s.io", "resourceclaims"),
    rule(READ_WRITE, "resource.k8s.io", "resourceslices"),
    rule(READ, "core", "serviceaccounts"),
];

const CONTROLLER_MANAGER: &[Rule] = &[
    EVENTS,
    CREATE_LEASES,
    named(
        "get update",
        "coordination.k8s.io",
        "leases",
        "kube-controller-manager",
    ),
    rule("create", "core", "secrets serviceaccounts"),
    rule("delete", "core", "secrets"),
    rule(
        "get",
        "core",
        "configmaps namespaces secrets serviceaccounts",
    ),
    rule("update", "core", "secrets serviceaccounts"),
    REVIEW_TOKENS,
    REVIEW_ACCESS,
    rule("list watch", "*", "*"),
    rule("create", "core", "serviceaccounts/token"),
];

const SCHEDULER: &[Rule] = &[
    EVENTS,
    CREATE_LEASES,
    named(
        "get update",
        "coordination.k8s.io",
        "leases",
        "kube-scheduler",
    ),
    rule(READ, "core", "nodes"),
    rule("delete get list watch", "core", "pods"),
    rule("create", "core", "bindings pods/binding"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "core", "replicationcontrollers services"),
    rule(READ, "apps extensions", "replicasets"),
    rule(READ, "apps", "statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
    REVIEW_TOKENS,
    REVIEW_ACCESS,
    rule(READ, "storage.k8s.io", "csinodes"),
    rule(READ, "core", "namespaces"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule(READ, "storage.k8s.io", "csistoragecapacities"),
    rule(READ, "storage.k8s.io", "volumeattachments"),
    rule(READ, "resource.k8s.io", "deviceclasses"),
    rule(
        "get list patch update watch",
        "resource.k8s.io",
        "resourceclaims",
    ),
    rule("patch update", "resource.k8s.io", "resourceclaims/status"),
    rule("patch update", "resource.k8s.io", "resourceclaims/binding"),
    rule("get list patch update watch", "core", "pods/finalizers"),
    rule(READ, "resource.k8s.io", "resourceslices"),
];

const EVERYBODY: &[&str] = &["Group system:authenticated", "Group system:unauthenticated"];

pub(super) const BINDINGS: &[Binding] = &[
    binding("cluster-admin", &["Group system:masters"]),
    binding("system:monitoring", &["Group system:monitoring"]),
    binding("system:discovery", &["Group system:authenticated"]),
    binding("system:basic-user", &["Group system:authenticated"]),
    binding("system:public-info-viewer", EVERYBODY),
    binding("system:node-proxier", &["User system:kube-proxy"]),
    binding(
        "system:kube-controller-manager",
        &["User system:kube-controller-manager"],
    ),
    binding("system:kube-dns", &["ServiceAccount kube-system/kube-dns"]),
    binding("system:kube-scheduler", &["User system:kube-scheduler"]),
    binding("system:volume-scheduler", &["User system:kube-scheduler"]),
    // The Node authorizer does its work.
    binding("system:node", &[]),
    binding(
        "system:service-account-issuer-discovery",
        &["Group system:serviceaccounts"],
    ),
];
