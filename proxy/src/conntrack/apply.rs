//! Lists flows and makes the kernel forget the stale ones, by netlink.

use keelson_netlink::conntrack::{self, Flow, UDP};
use keelson_netlink::{Protocol, Socket};

use super::plan::Plan;
use crate::model::NodeRules;

const AT_ONCE: usize = 128;

/// Forgets what is stale by `plan`; how many flows that were.
///
/// # Errors
/// When the kernel has no connection tracking over netlink, or refuses. A flow that is gone by
/// itself is no error.
pub fn forget_stale(plan: &Plan, node: &NodeRules) -> keelson_netlink::Result<usize> {
    if plan.is_empty() {
        return Ok(0);
    }
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let requests = match plan.ports() {
        Some(ports) => ports
            .into_iter()
            .map(|(v6, port)| conntrack::list_to_port(v6, UDP, port))
            .collect(),
        None => vec![conntrack::list(false), conntrack::list(true)],
    };
    let mut stale: Vec<Flow> = Vec::new();
    for request in requests {
        socket.stream("list UDP flows", &request, |object| {
            stale.extend(conntrack::decode(object).filter(|flow| plan.is_stale(flow, node)));
        })?;
    }
    for chunk in stale.chunks(AT_ONCE) {
        let messages: Vec<_> = chunk.iter().map(conntrack::delete).collect();
        for outcome in socket.request(&messages)? {
            match outcome.or_error("forget a UDP flow") {
                Err(error) if !error.is_gone() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(stale.len())
}
