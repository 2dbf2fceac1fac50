//! What differs in the table where IPVS picks endpoints: packets to Services come in at the node's own
//! addresses, and keep their destination until IPVS has seen them. Pure.

use keelson_netlink::nft::Expression;
use keelson_netlink::nft::expression::Verdict;

use super::layout::Set;
use super::skeleton::{CHECK, Chain, MARK, Rule, from_here, from_the_node, new_flows, rule};
use super::{address, destination, in_set, replaced_by};
use crate::model::NodeRules;

/// Chain that drops what comes from outside.
pub const DROP_OUTSIDE: &str = "drop-outside";

/// Turns chains that rewrite into chains that go beside IPVS.
pub fn adapt(chains: &mut Vec<Chain>, v6: bool, node: &NodeRules) {
    // IPVS takes packets out of this hook and puts them in again: look before that.
    chains.retain(|chain| chain.name != "filter-output-rewritten");
    for chain in chains.iter_mut() {
        match chain.name {
            "filter-output" => chain.rules.push(new_flows(CHECK)),
            "nat-output" => chain.rules.insert(0, held_sources(v6)),
            CHECK => {
                let before_last = chain.rules.len().saturating_sub(1);
                chain.rules.insert(before_last, known_services(v6));
            }
            _ => {}
        }
    }
    let outside = Chain {
        name: DROP_OUTSIDE,
        hook: None,
        rules: drop_outside(v6, node),
    };
    chains.insert(0, outside);
}

/// The node speaks to an address that it holds with that very address, and nobody would answer.
fn held_sources(v6: bool) -> Rule {
    let steps = vec![
        address(v6, true, 0),
        in_set(Set::ClusterIps, 0, false),
        Expression::Verdict(Verdict::Jump(MARK.to_owned())),
    ];
    rule("saddr @cluster-ips jump mark-for-masquerade", steps)
}

/// Ports that a Service has are not refused.
fn known_services(v6: bool) -> Rule {
    let mut steps = destination(v6);
    steps.push(replaced_by(Set::Services));
    steps.push(Expression::Verdict(Verdict::Return));
    rule("daddr . l4proto . dport map @services return", steps)
}

fn drop_outside(v6: bool, node: &NodeRules) -> Vec<Rule> {
    let back = |text: String, mut steps: Vec<Expression>| {
        steps.push(Expression::Verdict(Verdict::Return));
        rule(format!("{text} return"), steps)
    };
    let mut rules: Vec<Rule> = from_here(v6, &node.local)
        .into_iter()
        .map(|(text, steps)| back(text, steps))
        .collect();
    rules.push(back("fib saddr type local".into(), from_the_node()));
    rules.push(rule("drop", vec![Expression::Verdict(Verdict::Drop)]));
    rules
}
