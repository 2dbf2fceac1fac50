//! Decides the ranges of addresses that nodes give to their pods. There is one key, all nodes: a
//! range that was given out and not seen yet must not be given out again.

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use serde_json::json;
use tracing::error;

use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::Node;
use crate::wiring::Wiring;
use crate::write::Write;

pub mod range;

use range::Range;

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "node-ipam-controller",
    alias: "nodeipam",
    account: "node-controller",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let options = wiring.options;
        if !options.allocate_node_cidrs {
            return None;
        }
        let sizes = range::Sizes {
            any: options.node_cidr_mask_size,
            v4: options.node_cidr_mask_size_ipv4,
            v6: options.node_cidr_mask_size_ipv6,
        };
        let pools = range::pools(&options.cluster_cidr, sizes);
        let services = range::read_all(&options.service_cluster_ip_range);
        let (pools, services) = match pools.and_then(|pools| Ok((pools, services?))) {
            Ok(ranges) => ranges,
            Err(error) => {
                error!(%error, "nodes are given no ranges for their pods");
                return None;
            }
        };
        let nodes = wiring.watch(|change: &Change<Node>, keys| {
            let needs = change
                .current()
                .is_some_and(|node| node.spec.pod_cidrs.is_empty());
            if needs || change.current().is_none() {
                keys.push(Key::default());
            }
        });
        Some(Work::decide(Allocator {
            nodes,
            pools,
            services,
        }))
    },
};

/// Gives out ranges.
#[derive(Debug)]
struct Allocator {
    nodes: Store<Node>,
    /// One per family.
    pools: Vec<range::Pool>,
    /// Ranges that Services use.
    services: Vec<Range>,
}

impl Reconcile for Allocator {
    fn reconcile(&self, _: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let mut nodes = self.nodes.all();
        nodes.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        let given = nodes.iter().flat_map(|node| &node.spec.pod_cidrs);
        let given = given.filter_map(|text| Range::read(text).ok());
        let used: Vec<Range> = given.chain(self.services.iter().copied()).collect();
        let mut free: Vec<_> = self.pools.iter().map(|pool| pool.free(&used)).collect();
        for node in nodes.iter().filter(|node| node.spec.pod_cidrs.is_empty()) {
            if node.metadata.is_leaving() {
                continue;
            }
            let ranges: Option<Vec<_>> = free.iter_mut().map(Iterator::next).collect();
            let Some(ranges) = ranges else {
                let name = &node.metadata.name;
                let message = format!("Node {name} status is now: CIDRNotAvailable");
                plan.warn(About::of(&**node), "CIDRNotAvailable", message);
                continue;
            };
            let texts: Vec<_> = ranges.iter().map(Range::to_string).collect();
            let spec = json!({"podCIDR": texts.first(), "podCIDRs": texts});
            plan.write(Write::patch_any_version(&**node, json!({ "spec": spec })));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Allocator, range};
    use crate::given;
    use crate::write::Action;

    fn given_out(cluster: &[&str], size: u8, nodes: Value) -> (Vec<Value>, usize) {
        let texts: Vec<_> = cluster.iter().map(|text| (*text).to_owned()).collect();
        let sizes = range::Sizes {
            any: 0,
            v4: size,
            v6: 0,
        };
        let allocator = Allocator {
            nodes: given::store(nodes),
            pools: range::pools(&texts, sizes).unwrap(),
            services: range::read_all(&["10.1.1.0/24".to_owned()]).unwrap(),
        };
        let plan = given::plan(&allocator, given::at(0), "", "");
        let ranges = plan.writes.iter().map(|write| match &write.action {
            Action::Patch { changes, .. } => changes["spec"]["podCIDRs"].clone(),
            other => panic!("{other:?}"),
        });
        (ranges.collect(), plan.events.len())
    }

    #[test]
    fn each_node_has_ranges_of_its_own() {
        let nodes = json!([
            {"metadata": {"name": "a"}, "spec": {"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}},
            {"metadata": {"name": "b"}},
            {"metadata": {"name": "c"}},
        ]);
        // 10.1.1.0/24 belongs to Services.
        let (ranges, complaints) = given_out(&["10.1.0.0/16", "fd00::/48"], 0, nodes.clone());
        assert_eq!(
            ranges,
            [
                json!(["10.1.2.0/24", "fd00:0:0:1::/64"]),
                json!(["10.1.3.0/24", "fd00:0:0:2::/64"]),
            ]
        );
        assert_eq!(complaints, 0);
        let (ranges, complaints) = given_out(&["10.1.0.0/23"], 24, nodes);
        assert_eq!((ranges.len(), complaints), (0, 2));
    }
}
