//! Many pods at once.

use keelson_tests::assert_eventually;
use keelson_tests::node::{Node, ip, is_ready};
use keelson_tests::scenario::{LAST, pod};
use std::collections::BTreeSet;

#[test]
#[ignore = "needs root: make test"]
fn sixty_pods_start_together_and_go_together() {
    let node = Node::start();
    let names: Vec<_> = (0..60).map(|n| format!("pod{n:02}")).collect();
    for name in &names {
        node.apply(name, &pod(name, LAST));
    }
    let ready = || node.pods().iter().filter(|pod| is_ready(pod)).count();
    assert_eventually!(
        240,
        ready() == names.len(),
        "{} of {} ready{}",
        ready(),
        names.len(),
        node.logs()
    );
    let pods = node.pods();
    let addresses: BTreeSet<_> = pods.iter().map(ip).collect();
    assert_eq!(
        addresses.len(),
        names.len(),
        "each has an address of its own"
    );
    for name in &names {
        node.delete(name);
    }
    assert_eventually!(
        240,
        node.pods().is_empty(),
        "{} pods are left{}",
        node.pods().len(),
        node.logs()
    );
}
