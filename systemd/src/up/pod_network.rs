//! The pods' network of a cluster's node: the addresses that the cluster gave the node become the
//! configuration of the plugins.

use super::{Options, Outcome, UpError};
use crate::api;
use crate::cluster::Cluster;
use crate::configuration::{Network, network_list};
use crate::files::put;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the node may have to wait for its addresses: on the first start, an API server and
/// its controllers start in the meantime.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the API server is asked.
const STEP: Duration = Duration::from_millis(200);

/// Waits until the node has its part of the pods' addresses, and tells the plugins.
pub(super) async fn configure(options: &Options, cluster: &Cluster) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    let start = Instant::now();
    let network = loop {
        let observer = cluster.observer(layout);
        let why = match api::client(&observer) {
            // On a node that only just joins, it comes with the kubelet's first certificate.
            Err(_) if !observer.exists() => format!(
                "the node has no certificate yet: `kubectl get csr` at {} shows its requests, and {} what the kubelet says",
                cluster.server(),
                layout.log_of("kubelet").display()
            ),
            Ok(client) => match api::node(&client, &cluster.node).await {
                Ok(node) => match network(&node.spec.pod_ranges()) {
                    Some(network) => break network,
                    None => format!("node {} was given no addresses yet", cluster.node),
                },
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if start.elapsed() > PATIENCE {
            return Err(UpError::NoControlPlane {
                seconds: PATIENCE.as_secs(),
                why: match observer.exists() {
                    true => super::control_plane::what_waits(layout, cluster)
                        .await
                        .unwrap_or(why),
                    false => why,
                },
            });
        }
        sleep(STEP).await;
    };
    let list = network_list(layout, &network);
    let changed = put(&layout.network_list(), list.as_bytes(), 0o644)?;
    Ok(Outcome::changed(changed))
}

/// The network of these ranges, of which one is IPv4.
fn network(ranges: &[&str]) -> Option<Network> {
    let of_family = |six: bool| ranges.iter().find(|range| range.contains(':') == six);
    Some(Network {
        subnet: (*of_family(false)?).to_owned(),
        subnet6: of_family(true).map(|range| (*range).to_owned()),
        masquerade: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_apart_by_family() {
        assert_eq!(network(&[]), None);
        assert_eq!(network(&["fd00::/64"]), None);
        let both = network(&["fd00::/64", "10.244.1.0/24"]).unwrap();
        assert_eq!(both.subnet, "10.244.1.0/24");
        assert_eq!(both.subnet6.as_deref(), Some("fd00::/64"));
        assert_eq!(network(&["10.244.1.0/24"]).unwrap().subnet6, None);
    }
}
