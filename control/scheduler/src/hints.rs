//! Which change may help which refused pod: each plugin knows what could make it change its mind.
//! Saying yes too often costs a vain attempt; saying no too often costs five minutes of waiting.

use crate::intern::Word;
use crate::model::taint::{Effect, Taint, tolerated};
use crate::model::{Node, Pod, PodTerm};

/// Something changed in the cluster.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// A node is there, new or changed.
    Node {
        /// As it was; `None` for a new one.
        old: Option<&'e Node>,
        /// As it is.
        new: &'e Node,
    },
    /// A node is gone.
    NodeGone,
    /// A pod is on a node now.
    Placed(&'e Pod),
    /// A pod on a node changed.
    Changed {
        /// As it was.
        old: &'e Pod,
        /// As it is.
        new: &'e Pod,
    },
    /// A pod is no longer on its node.
    Gone(&'e Pod),
    /// Labels of a namespace changed.
    Namespace,
    /// Claims, volumes, classes or drivers changed.
    Storage,
}

/// Whether the event may change the mind of a plugin that refused this pod.
#[must_use]
pub fn helps(plugin: &str, event: Event<'_>, pod: &Pod) -> bool {
    match event {
        Event::Node { old, new } => node_helps(plugin, old, new, pod),
        Event::NodeGone => plugin == "PodTopologySpread",
        Event::Placed(other) => match plugin {
            "InterPodAffinity" => means_any(&pod.class.near, other),
            "PodTopologySpread" => is_counted(pod, other),
            _ => false,
        },
        Event::Changed { old, new } => change_helps(plugin, old, new, pod),
        Event::Gone(other) => leaving_helps(plugin, other, pod),
        Event::Namespace => plugin == "InterPodAffinity",
        Event::Storage => is_about_volumes(plugin),
    }
}

fn is_about_volumes(plugin: &str) -> bool {
    matches!(
        plugin,
        "VolumeBinding" | "VolumeZone" | "VolumeRestrictions" | "NodeVolumeLimits"
    )
}

fn node_helps(plugin: &str, old: Option<&Node>, new: &Node, pod: &Pod) -> bool {
    if old.is_some_and(|old| old.is_same(new)) {
        return false;
    }
    // Other nodes count, too, for what looks at several.
    matches!(plugin, "InterPodAffinity" | "PodTopologySpread") || may_take(new, pod)
}

/// Whether the node would take the pod if nothing else were on it.
fn may_take(node: &Node, pod: &Pod) -> bool {
    let class = &pod.class;
    let cordon = Taint {
        key: Word::of("node.kubernetes.io/unschedulable"),
        value: Word::empty(),
        effect: Effect::NoSchedule,
    };
    let hard = |taint: &Taint| taint.effect != Effect::PreferNoSchedule;
    let mut taints = node.taints.iter().filter(|taint| hard(taint));
    (!node.unschedulable || tolerated(&cordon, &class.tolerations))
        && taints.all(|taint| tolerated(taint, &class.tolerations))
        && class.allows(&node.name, &node.labels)
        && {
            let mut requests = class.requests.iter();
            requests.all(|(kind, amount)| amount <= node.allocatable.amount(&kind))
        }
}

fn change_helps(plugin: &str, old: &Pod, new: &Pod, pod: &Pod) -> bool {
    let relabelled = old.labels() != new.labels() || old.deleting != new.deleting;
    match plugin {
        "NodeResourcesFit" => {
            let mut requests = old.class.requests.iter();
            requests.any(|(kind, amount)| new.class.requests.amount(&kind) < amount)
        }
        "InterPodAffinity" => relabelled,
        "PodTopologySpread" => relabelled && (is_counted(pod, old) || is_counted(pod, new)),
        _ => false,
    }
}

fn leaving_helps(plugin: &str, other: &Pod, pod: &Pod) -> bool {
    let (class, gone) = (&pod.class, &other.class);
    match plugin {
        "NodeResourcesFit" => true,
        "NodePorts" => {
            let mut ports = class.ports.iter();
            ports.any(|port| gone.ports.iter().any(|taken| taken.clashes(port)))
        }
        "InterPodAffinity" => means_any(&class.apart, other) || means_any(&gone.apart, pod),
        "PodTopologySpread" => is_counted(pod, other),
        "VolumeRestrictions" | "NodeVolumeLimits" => !gone.volumes.is_empty(),
        _ => false,
    }
}

/// Whether a term may mean the pod; labels of namespaces are not looked at.
fn means_any(terms: &[PodTerm], pod: &Pod) -> bool {
    terms.iter().any(|term| term.selector.matches(pod.labels()))
}

fn is_counted(pod: &Pod, other: &Pod) -> bool {
    let mut spreads = pod.class.spread.iter();
    pod.namespace() == other.namespace()
        && spreads.any(|spread| spread.selector.matches(other.labels()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Amounts, Class};

    fn pod(cpu: i64) -> Pod {
        let requests = Amounts {
            cpu,
            ..Amounts::default()
        };
        let class = Class {
            requests,
            ..Class::default()
        };
        Pod {
            class: class.shared(),
            ..Pod::default()
        }
    }

    fn node(cpu: i64) -> Node {
        Node {
            allocatable: Amounts {
                cpu,
                ..Amounts::default()
            },
            ..Node::default()
        }
    }

    #[test]
    fn room_helps_who_fits() {
        let check = |event, cpu, expected| {
            assert_eq!(
                helps("NodeResourcesFit", event, &pod(cpu)),
                expected,
                "{event:?}"
            );
        };
        let (small, large) = (node(1000), node(4000));
        check(
            Event::Node {
                old: None,
                new: &small,
            },
            2000,
            false,
        );
        check(
            Event::Node {
                old: None,
                new: &large,
            },
            2000,
            true,
        );
        check(
            Event::Node {
                old: Some(&large),
                new: &large,
            },
            2000,
            false,
        );
        let other = pod(1);
        check(Event::Gone(&other), 2000, true);
        check(Event::Placed(&other), 2000, false);
        let (old, new) = (pod(500), pod(100));
        check(
            Event::Changed {
                old: &old,
                new: &new,
            },
            2000,
            true,
        );
        check(
            Event::Changed {
                old: &new,
                new: &old,
            },
            2000,
            false,
        );
    }

    #[test]
    fn a_pod_that_goes_does_not_change_taints() {
        assert!(!helps("TaintToleration", Event::Gone(&pod(1)), &pod(1)));
        assert!(!helps("NodeAffinity", Event::Gone(&pod(1)), &pod(1)));
    }
}
