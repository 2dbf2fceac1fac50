//! Services through every backend in real namespaces with real traffic: pods, the node, somebody outside.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

mod traffic;
mod traffic_cases;

use keelson_proxy::backend::Mode;
use keelson_proxy::backend::iptables::Variant;

use traffic_cases::in_backend;

in_backend!(nftables, Mode::Nftables, "needs root: make test");
in_backend!(
    iptables_nft,
    Mode::Iptables(Variant::NfTables),
    "needs root: make test"
);
in_backend!(
    iptables_legacy,
    Mode::Iptables(Variant::Legacy),
    "needs root: make test"
);
