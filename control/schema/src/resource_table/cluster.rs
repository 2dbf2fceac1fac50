//! The API's own kinds, and those of nodes and scheduling: extensions, admission, flow control,
//! leases, runtime and priority classes, devices.

use super::Resource;
use crate::strategy::Strategy;

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
            .relaxed()
            .strategy(Strategy {
                create_on_update: true,
                ..GUARDED
            }),
        Resource::cluster(("node.k8s.io", "v1"), "RuntimeClass", "runtimeclasses")
            .strategy(GUARDED),
        Resource::cluster(
            ("scheduling.k8s.io", "v1"),
            "PriorityClass",
            "priorityclasses",
        )
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
        .short(&["crd", "crds"])
        .categories(&["api-extensions"])
        .status()
        .strategy(COUNTED),
        Resource::cluster(
            ("apiregistration.k8s.io", "v1"),
            "APIService",
            "apiservices",
        )
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
        row("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
        row(
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
        ),
        row(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        ),
        row("ValidatingAdmissionPolicy", "validatingadmissionpolicies").status(),
        row(
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
        ),
        row(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ),
    ]
}

fn flow() -> Vec<Resource> {
    vec![
        Resource::cluster(FLOW, "FlowSchema", "flowschemas")
            .status()
            .strategy(COUNTED),
        Resource::cluster(
            FLOW,
            "PriorityLevelConfiguration",
            "prioritylevelconfigurations",
        )
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
        Resource::cluster(DEVICES, "DeviceClass", "deviceclasses").strategy(counted),
        Resource::namespaced(DEVICES, "ResourceClaim", "resourceclaims").status(),
        Resource::namespaced(DEVICES, "ResourceClaimTemplate", "resourceclaimtemplates"),
        Resource::cluster(DEVICES, "ResourceSlice", "resourceslices")
            .selectable(&["spec.nodeName", "spec.driver"])
            .strategy(counted),
    ]
}
