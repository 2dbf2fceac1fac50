//! The API's own kinds, and those of nodes and scheduling: extensions, admission, flow control,
//! leases, runtime and priority classes, devices.

use super::Resource;
use crate::columns;
use crate::defaults::{admission, devices, storage};
use crate::strategy::Strategy;
use crate::validate;

const ADMISSION: (&str, &str) = ("admissionregistration.k8s.io", "v1");
const FLOW: (&str, &str) = ("flowcontrol.apiserver.k8s.io", "v1");
const DEVICES: (&str, &str) = ("resource.k8s.io", "v1");

const GUARDED: Strategy = Strategy {
    unconditional_update: false,
    ..Strategy::PLAIN
};
const COUNTED: Strategy = Strategy {
    generation: true,
    ..GUARDED
};

pub(super) fn rows() -> Vec<Resource> {
    let mut rows = extensions();
    rows.extend(admission());
    rows.extend(flow());
    rows.extend(devices());
    rows.extend([
        Resource::namespaced(("coordination.k8s.io", "v1"), "Lease", "leases")
            .validate(validate::core::lease)
            .columns(columns::pods::LEASE)
            .relaxed()
            .strategy(Strategy {
                create_on_update: true,
                ..GUARDED
            }),
        Resource::cluster(("node.k8s.io", "v1"), "RuntimeClass", "runtimeclasses")
            .validate(validate::core::runtime_class)
            .change(validate::core::runtime_class_change)
            .columns(columns::cluster::RUNTIME_CLASS)
            .strategy(GUARDED),
        Resource::cluster(
            ("scheduling.k8s.io", "v1"),
            "PriorityClass",
            "priorityclasses",
        )
        .validate(validate::core::priority_class)
        .change(validate::core::priority_class_change)
        .columns(columns::cluster::PRIORITY_CLASS)
        .defaults(storage::priority_class)
        .short(&["pc"])
        .strategy(Strategy {
            generation: true,
            ..Strategy::PLAIN
        }),
    ]);
    rows
}

fn extensions() -> Vec<Resource> {
    vec![
        Resource::cluster(
            ("apiextensions.k8s.io", "v1"),
            "CustomResourceDefinition",
            "customresourcedefinitions",
        )
        .validate(validate::definitions::definition)
        .change(validate::definitions::definition_change)
        .columns(columns::GENERIC)
        .defaults(admission::custom_resource_definition)
        .prepare_change(crate::prepare::definition_change)
        .short(&["crd", "crds"])
        .categories(&["api-extensions"])
        .status()
        .strategy(COUNTED),
        Resource::cluster(
            ("apiregistration.k8s.io", "v1"),
            "APIService",
            "apiservices",
        )
        .validate(validate::admission::api_service)
        .change(validate::admission::api_service_change)
        .columns(columns::network::API_SERVICE)
        .defaults(admission::api_service)
        .categories(&["api-extensions"])
        .status()
        .strategy(GUARDED),
    ]
}

fn admission() -> Vec<Resource> {
    let row = |kind, plural| {
        Resource::cluster(ADMISSION, kind, plural)
            .categories(&["api-extensions"])
            .strategy(COUNTED)
    };
    vec![
        row("MutatingAdmissionPolicy", "mutatingadmissionpolicies")
            .validate(validate::admission::policy)
            .columns(columns::cluster::MUTATING_POLICY)
            .defaults(admission::admission_policy),
        row(
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
        )
        .validate(validate::admission::policy_binding)
        .columns(columns::cluster::POLICY_BINDING)
        .defaults(admission::admission_policy_binding),
        row(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        )
        .validate(validate::admission::webhooks)
        .columns(columns::cluster::WEBHOOKS)
        .defaults(admission::mutating_webhooks),
        row("ValidatingAdmissionPolicy", "validatingadmissionpolicies")
            .validate(validate::admission::policy)
            .columns(columns::cluster::VALIDATING_POLICY)
            .defaults(admission::admission_policy)
            .status(),
        row(
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
        )
        .validate(validate::admission::policy_binding)
        .columns(columns::cluster::POLICY_BINDING)
        .defaults(admission::admission_policy_binding),
        row(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        )
        .validate(validate::admission::webhooks)
        .columns(columns::cluster::WEBHOOKS)
        .defaults(admission::validating_webhooks),
    ]
}

fn flow() -> Vec<Resource> {
    vec![
        Resource::cluster(FLOW, "FlowSchema", "flowschemas")
            .validate(validate::policy::flow_schema)
            .columns(columns::cluster::FLOW_SCHEMA)
            .defaults(admission::flow_schema)
            .status()
            .strategy(COUNTED),
        Resource::cluster(
            FLOW,
            "PriorityLevelConfiguration",
            "prioritylevelconfigurations",
        )
        .validate(validate::policy::priority_level)
        .columns(columns::cluster::PRIORITY_LEVEL)
        .defaults(admission::priority_level)
        .status()
        .strategy(COUNTED),
    ]
}

fn devices() -> Vec<Resource> {
    let counted = Strategy {
        generation: true,
        ..Strategy::PLAIN
    };
    vec![
        Resource::cluster(DEVICES, "DeviceClass", "deviceclasses")
            .validate(validate::devices::device_class)
            .strategy(counted),
        Resource::namespaced(DEVICES, "ResourceClaim", "resourceclaims")
            .validate(validate::devices::resource_claim)
            .change(validate::devices::claim_change)
            .status_rules(validate::devices::claim_status)
            .columns(columns::pods::RESOURCE_CLAIM)
            .defaults(devices::resource_claim)
            .status(),
        Resource::namespaced(DEVICES, "ResourceClaimTemplate", "resourceclaimtemplates")
            .validate(validate::devices::resource_claim_template)
            .change(validate::devices::claim_change)
            .defaults(devices::resource_claim_template),
        Resource::cluster(DEVICES, "ResourceSlice", "resourceslices")
            .validate(validate::devices::resource_slice)
            .change(validate::devices::resource_slice_change)
            .columns(columns::pods::RESOURCE_SLICE)
            .selectable(&["spec.nodeName", "spec.driver"])
            .strategy(counted),
    ]
}
