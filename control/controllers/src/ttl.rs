//! Decides how long kubelets may keep Secrets and ConfigMaps without asking again: the more nodes,
//! the longer. It is an annotation of each node. The key is the node.
//!
//! Ours follow what their pods use and don't read it; upstream's kubelets can be told to.

use keelson_client::Store;
use serde_json::json;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::Node;
use crate::wiring::Wiring;
use crate::write::Write;

/// The annotation, in seconds.
const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// Sizes of clusters and their time. They overlap, so that a node which comes and goes changes
/// nothing.
const STEPS: [Step; 5] = [
    Step::new(0, 100, 0),
    Step::new(90, 500, 15),
    Step::new(450, 1000, 30),
    Step::new(900, 2000, 60),
    Step::new(1800, usize::MAX, 300),
];

struct Step {
    fewest: usize,
    most: usize,
    seconds: u32,
}

impl Step {
    const fn new(fewest: usize, most: usize, seconds: u32) -> Self {
        Self {
            fewest,
            most,
            seconds,
        }
    }
}

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "ttl-controller",
    alias: "ttl",
    account: "ttl-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        Some(Work::decide(Keeper {
            nodes: wiring.own::<Node>(),
        }))
    },
};

/// Keeps the annotations.
#[derive(Debug)]
struct Keeper {
    nodes: Store<Node>,
}

impl Reconcile for Keeper {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(node) = self.nodes.find(input.key) else {
            return plan;
        };
        let said = node.metadata.annotations.get(ANNOTATION);
        let said = said.and_then(|text| text.parse().ok());
        let wanted = seconds(self.nodes.len(), said);
        if said != Some(wanted) {
            let annotations = json!({ ANNOTATION: wanted.to_string() });
            let change = json!({"metadata": {"annotations": annotations}});
            plan.write(Write::patch_any_version(&*node, change));
        }
        plan
    }
}

/// The time in a cluster of this size, where a node has been told `said` before.
fn seconds(nodes: usize, said: Option<u32>) -> u32 {
    let told = STEPS.iter().position(|step| Some(step.seconds) == said);
    let mut at = told.unwrap_or(0);
    while nodes > STEPS[at].most {
        at += 1;
    }
    while nodes < STEPS[at].fewest {
        at -= 1;
    }
    STEPS[at].seconds
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ANNOTATION, Keeper, seconds};
    use crate::given;
    use crate::write::Action;

    #[test]
    fn larger_clusters_ask_less_often() {
        let check = |nodes: usize, said: Option<u32>, expected: u32| {
            assert_eq!(seconds(nodes, said), expected, "{nodes} {said:?}");
        };
        check(1, None, 0);
        check(100, None, 0);
        check(101, None, 15);
        check(95, Some(0), 0);
        check(95, Some(15), 15);
        check(89, Some(15), 0);
        check(700, Some(15), 30);
        check(5000, None, 300);
        check(3, Some(300), 0);
        check(3, Some(77), 0);
    }

    #[test]
    fn a_node_is_told_what_it_was_not() {
        let told = |annotations: Value| {
            let nodes = json!([{"metadata": {"name": "n", "annotations": annotations}}]);
            let keeper = Keeper {
                nodes: given::store(nodes),
            };
            let plan = given::plan(&keeper, given::at(0), "", "n");
            plan.writes.first().map(|write| match &write.action {
                Action::Patch { changes, .. } => changes["metadata"]["annotations"].clone(),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(told(json!({})), Some(json!({ ANNOTATION: "0" })));
        assert_eq!(
            told(json!({ ANNOTATION: "x" })),
            Some(json!({ ANNOTATION: "0" }))
        );
        assert_eq!(told(json!({ ANNOTATION: "0" })), None);
    }
}
