//! Networking and policy.

use super::Resource;
use crate::columns;
use crate::defaults::network;
use crate::strategy::{NameForm, Strategy};
use crate::validate;

const NETWORKING: (&str, &str) = ("networking.k8s.io", "v1");

const COUNTED: Strategy = Strategy {
    generation: true,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::cluster(NETWORKING, "IngressClass", "ingressclasses")
            .validate(validate::network::ingress_class)
            .change(validate::network::ingress_class_change)
            .columns(columns::network::INGRESS_CLASS)
            .defaults(network::ingress_class)
            .strategy(COUNTED),
        Resource::namespaced(NETWORKING, "Ingress", "ingresses")
            .validate(validate::network::ingress)
            .status_rules(validate::status::balanced)
            .columns(columns::network::INGRESS)
            .short(&["ing"])
            .status()
            .strategy(COUNTED),
        Resource::cluster(NETWORKING, "IPAddress", "ipaddresses")
            .validate(validate::network::ip_address)
            .change(validate::network::ip_address_change)
            .columns(columns::network::IP_ADDRESS)
            .short(&["ip"])
            .strategy(Strategy {
                name: NameForm::IpAddress,
                ..Strategy::PLAIN
            }),
        Resource::namespaced(NETWORKING, "NetworkPolicy", "networkpolicies")
            .validate(validate::network::network_policy)
            .columns(columns::network::NETWORK_POLICY)
            .defaults(network::network_policy)
            .short(&["netpol"])
            .strategy(COUNTED),
        Resource::cluster(NETWORKING, "ServiceCIDR", "servicecidrs")
            .validate(validate::network::service_cidr)
            .change(validate::network::service_cidr_change)
            .columns(columns::network::SERVICE_CIDR)
            .status(),
        Resource::namespaced(
            ("policy", "v1"),
            "PodDisruptionBudget",
            "poddisruptionbudgets",
        )
        .validate(validate::workloads::disruption_budget)
        .status_rules(validate::status::disruption_budget)
        .columns(columns::workloads::DISRUPTION_BUDGET)
        .short(&["pdb"])
        .status()
        .strategy(Strategy {
            unconditional_update: false,
            ..COUNTED
        }),
    ]
}
