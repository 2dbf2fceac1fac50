//! The core group, events and leases' relatives: pods and all that is around them.

use super::{Resource, Scope, Verbs};
use crate::columns;
use crate::defaults::{core, network};
use crate::strategy::{NameForm, Strategy};
use crate::validate;

const V1: (&str, &str) = ("", "v1");

const PLAIN: Strategy = Strategy::PLAIN;

pub(super) fn rows() -> Vec<Resource> {
    let mut rows = vec![pods(), nodes(), namespaces(), services()];
    rows.extend(configuration());
    rows.extend(volumes());
    rows.extend(limits());
    rows.extend(endpoints_and_events());
    rows.extend(oddities());
    rows
}

fn pods() -> Resource {
    Resource::namespaced(V1, "Pod", "pods")
        .validate(validate::core::pod)
        .status_rules(validate::status::pod)
        .prepare(crate::prepare::pod)
        .change(validate::core::pod_change)
        .columns(columns::pods::POD)
        .defaults(core::pod)
        .short(&["po"])
        .categories(&["all"])
        .selectable(&[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ])
        .action("attach", ("", "v1", "PodAttachOptions"), Verbs::STREAM)
        .action("binding", ("", "v1", "Binding"), Verbs::CREATE)
        .part("ephemeralcontainers", Verbs::CHANGE)
        .action("eviction", ("policy", "v1", "Eviction"), Verbs::CREATE)
        .action("exec", ("", "v1", "PodExecOptions"), Verbs::STREAM)
        .part("log", Verbs::GET)
        .action(
            "portforward",
            ("", "v1", "PodPortForwardOptions"),
            Verbs::STREAM,
        )
        .action("proxy", ("", "v1", "PodProxyOptions"), Verbs::PROXY)
        .part("resize", Verbs::CHANGE)
        .status()
        .strategy(Strategy {
            generation: true,
            ..PLAIN
        })
}

fn nodes() -> Resource {
    Resource::cluster(V1, "Node", "nodes")
        .validate(validate::core::node)
        .status_rules(validate::status::node)
        .change(validate::core::node_change)
        .columns(columns::pods::NODE)
        .defaults(core::node)
        .short(&["no"])
        .selectable(&["spec.unschedulable"])
        .action("proxy", ("", "v1", "NodeProxyOptions"), Verbs::PROXY)
        .status()
        .strategy(Strategy {
            keeps_status: true,
            ..PLAIN
        })
}

fn namespaces() -> Resource {
    use super::Verb::{Create, Delete, Get, List, Patch, Update, Watch};
    Resource::cluster(V1, "Namespace", "namespaces")
        .status_rules(validate::status::namespace)
        .columns(columns::pods::NAMESPACE)
        .defaults(core::namespace)
        .prepare_change(crate::prepare::namespace_change)
        .verbs(Verbs::of(&[
            Create, Delete, Get, List, Patch, Update, Watch,
        ]))
        .short(&["ns"])
        .selectable(&["status.phase"])
        .part("finalize", Verbs::UPDATE)
        .status()
        .strategy(Strategy {
            name: NameForm::Label,
            ..PLAIN
        })
}

fn services() -> Resource {
    Resource::namespaced(V1, "Service", "services")
        .validate(validate::services::service)
        .status_rules(validate::status::service)
        .change(validate::services::service_change)
        .columns(columns::network::SERVICE)
        .defaults(core::service)
        .prepare_change(crate::prepare::service_change)
        .short(&["svc"])
        .categories(&["all"])
        .selectable(&["spec.clusterIP", "spec.type"])
        .action("proxy", ("", "v1", "ServiceProxyOptions"), Verbs::PROXY)
        .status()
        .strategy(Strategy {
            name: NameForm::Label1035,
            create_on_update: true,
            ..PLAIN
        })
}

fn configuration() -> Vec<Resource> {
    vec![
        Resource::namespaced(V1, "ConfigMap", "configmaps")
            .validate(validate::core::config_map)
            .change(validate::core::data_change)
            .columns(columns::auth::CONFIG_MAP)
            .short(&["cm"]),
        Resource::namespaced(V1, "Secret", "secrets")
            .validate(validate::core::secret)
            .change(validate::core::secret_change)
            .columns(columns::auth::SECRET)
            .defaults(core::secret)
            .selectable(&["type"]),
        Resource::namespaced(V1, "ServiceAccount", "serviceaccounts")
            .columns(columns::auth::SERVICE_ACCOUNT)
            .short(&["sa"])
            .action(
                "token",
                ("authentication.k8s.io", "v1", "TokenRequest"),
                Verbs::CREATE,
            ),
    ]
}

fn volumes() -> Vec<Resource> {
    vec![
        Resource::cluster(V1, "PersistentVolume", "persistentvolumes")
            .validate(validate::volumes::volume)
            .change(validate::volumes::volume_change)
            .columns(columns::storage::VOLUME)
            .defaults(core::persistent_volume)
            .short(&["pv"])
            .status(),
        Resource::namespaced(V1, "PersistentVolumeClaim", "persistentvolumeclaims")
            .validate(validate::volumes::claim)
            .change(validate::volumes::claim_change)
            .status_rules(validate::volumes::claim_status)
            .columns(columns::storage::CLAIM)
            .defaults(core::persistent_volume_claim)
            .short(&["pvc"])
            .status(),
    ]
}

fn limits() -> Vec<Resource> {
    vec![
        Resource::namespaced(V1, "LimitRange", "limitranges")
            .validate(validate::quota::limit_range)
            .columns(columns::GENERIC)
            .defaults(core::limit_range)
            .short(&["limits"])
            .strategy(Strategy {
                create_on_update: true,
                ..PLAIN
            }),
        Resource::namespaced(V1, "ResourceQuota", "resourcequotas")
            .validate(validate::quota::resource_quota)
            .change(validate::quota::resource_quota_change)
            .status_rules(validate::quota::status)
            .columns(columns::pods::RESOURCE_QUOTA)
            .short(&["quota"])
            .status(),
    ]
}

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const NEW_EVENT_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

fn endpoints_and_events() -> Vec<Resource> {
    vec![
        Resource::namespaced(V1, "Endpoints", "endpoints")
            .validate(validate::services::endpoints)
            .columns(columns::network::ENDPOINTS)
            .defaults(core::endpoints)
            .short(&["ep"])
            .strategy(Strategy {
                create_on_update: true,
                ..PLAIN
            }),
        Resource::namespaced(V1, "Event", "events")
            .validate(validate::events::event)
            .columns(columns::pods::EVENT)
            .short(&["ev"])
            .selectable(EVENT_FIELDS)
            .relaxed()
            .strategy(Strategy {
                create_on_update: true,
                ..PLAIN
            }),
        Resource::namespaced(("events.k8s.io", "v1"), "Event", "events")
            .validate(validate::events::new_event)
            .change(validate::events::new_event_change)
            .columns(columns::pods::EVENT)
            .short(&["ev"])
            .selectable(NEW_EVENT_FIELDS)
            .relaxed()
            .stored_as("", "v1")
            .strategy(Strategy {
                create_on_update: true,
                ..PLAIN
            }),
        Resource::namespaced(
            ("discovery.k8s.io", "v1"),
            "EndpointSlice",
            "endpointslices",
        )
        .validate(validate::services::endpoint_slice)
        .change(validate::services::endpoint_slice_change)
        .columns(columns::network::ENDPOINT_SLICE)
        .defaults(network::endpoint_slice)
        .strategy(Strategy {
            generation: true,
            ..PLAIN
        }),
    ]
}

fn oddities() -> Vec<Resource> {
    vec![
        Resource::namespaced(V1, "PodTemplate", "podtemplates")
            .validate(validate::core::pod_template)
            .columns(columns::pods::POD_TEMPLATE)
            .defaults(core::pod_template)
            .strategy(Strategy {
                generation: true,
                ..PLAIN
            }),
        Resource::namespaced(V1, "ReplicationController", "replicationcontrollers")
            .validate(validate::workloads::replication_controller)
            .status_rules(validate::status::replica_set)
            .columns(columns::workloads::REPLICATION_CONTROLLER)
            .defaults(core::replication_controller)
            .short(&["rc"])
            .categories(&["all"])
            .selectable(&["status.replicas"])
            .scale()
            .status()
            .strategy(Strategy {
                generation: true,
                ..PLAIN
            }),
        Resource::review(Scope::Namespaced, V1, "Binding", "bindings"),
        Resource::cluster(V1, "ComponentStatus", "componentstatuses")
            .columns(columns::pods::COMPONENT_STATUS)
            .verbs(Verbs::READ)
            .short(&["cs"]),
    ]
}
