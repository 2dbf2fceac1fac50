//! Networking and policy.

use super::Resource;
use crate::defaults::network;
use crate::strategy::{NameForm, Strategy};

const NETWORKING: (&str, &str) = ("networking.k8s.io", "v1");

const COUNTED: Strategy = Strategy {
    generation: true,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::cluster(NETWORKING, "IngressClass", "ingressclasses")
            .defaults(network::ingress_class)
            .strategy(COUNTED),
        Resource::namespaced(NETWORKING, "Ingress", "ingresses")
            .short(&["ing"])
            .status()
            .strategy(COUNTED),
        Resource::cluster(NETWORKING, "IPAddress", "ipaddresses")
            .short(&["ip"])
            .strategy(Strategy {
                name: NameForm::IpAddress,
                ..Strategy::PLAIN
            }),
        Resource::namespaced(NETWORKING, "NetworkPolicy", "networkpolicies")
            .defaults(network::network_policy)
            .short(&["netpol"])
            .strategy(COUNTED),
        Resource::cluster(NETWORKING, "ServiceCIDR", "servicecidrs").status(),
        Resource::namespaced(
            ("policy", "v1"),
            "PodDisruptionBudget",
            "poddisruptionbudgets",
        )
        .short(&["pdb"])
        .status()
        .strategy(Strategy {
            unconditional_update: false,
            ..COUNTED
        }),
    ]
}
