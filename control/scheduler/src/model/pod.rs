//! A pod and its class: everything that it asks of a node. Pods of one workload share their class,
//! so that it is kept and compiled once, and equality of classes is equality of addresses.

use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::intern::{Table, Word};
use crate::model::{Amounts, Labels, NodeTerm, Requirement, Selector, Toleration};

/// Namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodKey {
    /// The namespace.
    pub namespace: Word,
    /// The name.
    pub name: Word,
}

impl PodKey {
    /// The key of this namespace and name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: Word::of(namespace),
            name: Word::of(name),
        }
    }
}

impl std::fmt::Display for PodKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`.
    pub version: Box<str>,
    /// Where it is bound to.
    pub node: Option<Word>,
    /// `status.nominatedNodeName`: where room is being made for it.
    pub nominated: Option<Word>,
    /// What it asks for.
    pub class: Arc<Class>,
    /// When it started, in seconds since 1970; `None` before.
    pub started: Option<i64>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether a preemption is what it is being deleted for.
    pub preempted: bool,
    /// Whether it has come to its end.
    pub finished: bool,
    /// The message of a `PodScheduled` condition that is false.
    pub refused: Option<Box<str>>,
}

impl Pod {
    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.class.labels
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Word {
        &self.key.namespace
    }
}

/// A port of the host that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address; empty for all.
    pub ip: Word,
    /// TCP, UDP or SCTP.
    pub protocol: Word,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be taken at once.
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        let any = |ip: &Word| ip.is_empty() || ip.text() == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodTerm {
    /// The label of nodes whose value makes a place.
    pub topology: Word,
    /// Which pods are meant.
    pub selector: Selector,
    /// In which namespaces.
    pub namespaces: Vec<Word>,
    /// In namespaces with these labels, too.
    pub namespace_selector: Selector,
}

/// What happens to a pod that cannot be spread as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Otherwise {
    /// It waits.
    Wait,
    /// It is placed anyway.
    Anyway,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    /// How many more pods a place may have than the one with the fewest.
    pub max_skew: i32,
    /// The label of nodes whose value makes a place.
    pub topology: Word,
    /// What if it cannot be held.
    pub otherwise: Otherwise,
    /// Which pods count.
    pub selector: Selector,
    /// How many places there must be before the fewest counts; 1 by default.
    pub min_domains: i32,
    /// Whether only nodes count that the pod's node affinity and selector allow.
    pub honour_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates.
    pub honour_taints: bool,
}

/// A volume that has to do with placing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VolumeRef {
    /// A claim by name.
    Claim(Word),
    /// A claim that is made for the pod; the volume's name. The claim is called `POD-VOLUME`.
    Ephemeral(Word),
    /// A disk of a kind of which one may be attached once: its identity, and whether read-only
    /// users may share it.
    Disk {
        /// Kind and name.
        identity: Word,
        /// Whether this use is read-only, and such uses may share it.
        shared: bool,
    },
    /// An inline CSI volume of this driver.
    Csi(Word),
}

/// Everything that a pod asks of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Class {
    /// `spec.schedulerName`.
    pub scheduler: Word,
    /// The pod's namespace.
    pub namespace: Word,
    /// Its labels.
    pub labels: Labels,
    /// `spec.priority`.
    pub priority: i32,
    /// Whether `spec.preemptionPolicy` lets it displace others.
    pub preempts: bool,
    /// What it requests.
    pub requests: Amounts,
    /// Thousandths of a core and bytes, with what counts for containers that request none.
    pub scored: (i64, i64),
    /// Ports of the host.
    pub ports: Vec<HostPort>,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    /// `spec.nodeSelector`.
    pub node_selector: Vec<Requirement>,
    /// Terms of required node affinity; `None` where there is none.
    pub node_required: Option<Vec<NodeTerm>>,
    /// Terms of preferred node affinity with their weights.
    pub node_preferred: Vec<(i32, NodeTerm)>,
    /// Required pod affinity.
    pub near: Vec<PodTerm>,
    /// Preferred pod affinity.
    pub near_preferred: Vec<(i32, PodTerm)>,
    /// Required pod anti-affinity.
    pub apart: Vec<PodTerm>,
    /// Preferred pod anti-affinity.
    pub apart_preferred: Vec<(i32, PodTerm)>,
    /// Topology spread constraints.
    pub spread: Vec<Spread>,
    /// Images of its containers, normalized; one for each container.
    pub images: Vec<Word>,
    /// Volumes.
    pub volumes: Vec<VolumeRef>,
    /// Its controller: kind and name.
    pub owner: Option<(Word, Word)>,
    /// `spec.schedulingGates`.
    pub gates: Vec<Word>,
}

static CLASSES: LazyLock<Mutex<Table<Class>>> = LazyLock::new(Mutex::default);

impl Class {
    /// The one copy of a class.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        CLASSES.lock().keep(self)
    }

    /// Whether it has a term of pod affinity or anti-affinity of any kind.
    #[must_use]
    pub fn has_pod_terms(&self) -> bool {
        !(self.near.is_empty()
            && self.apart.is_empty()
            && self.near_preferred.is_empty()
            && self.apart_preferred.is_empty())
    }

    /// Whether the pod's node selector and required node affinity allow a node.
    #[must_use]
    pub fn allows(&self, name: &Word, labels: &Labels) -> bool {
        self.node_selector.iter().all(|r| r.matches(labels))
            && self.node_required.as_ref().is_none_or(|terms| {
                let mut terms = terms.iter();
                terms.any(|term| term.matches(name, labels))
            })
    }
}

impl PodTerm {
    /// Whether a pod is meant. `namespaces` has the labels of namespaces.
    pub fn means<'a>(
        &self,
        pod: &Pod,
        namespaces: impl FnOnce(&Word) -> Option<&'a Labels>,
    ) -> bool {
        self.selector.matches(pod.labels())
            && (self.namespaces.contains(pod.namespace())
                || self.selects_namespace(pod.namespace(), namespaces))
    }

    fn selects_namespace<'a>(
        &self,
        name: &Word,
        namespaces: impl FnOnce(&Word) -> Option<&'a Labels>,
    ) -> bool {
        match &self.namespace_selector {
            Selector::Nothing => false,
            Selector::All(all) if all.is_empty() => true,
            selector => namespaces(name).is_some_and(|labels| selector.matches(labels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_classes_are_one() {
        let class = |priority| Class {
            priority,
            ..Class::default()
        };
        assert!(Arc::ptr_eq(&class(1).shared(), &class(1).shared()));
        assert!(!Arc::ptr_eq(&class(1).shared(), &class(2).shared()));
    }

    #[test]
    fn ports_clash_on_one_address() {
        let port = |ip: &str, protocol: &str, port| HostPort {
            ip: Word::of(ip),
            protocol: Word::of(protocol),
            port,
        };
        let check = |a: HostPort, b: HostPort, expected| {
            assert_eq!(a.clashes(&b), expected, "{a:?} {b:?}");
            assert_eq!(b.clashes(&a), expected, "{b:?} {a:?}");
        };
        check(port("", "TCP", 80), port("10.0.0.1", "TCP", 80), true);
        check(port("0.0.0.0", "TCP", 80), port("", "TCP", 80), true);
        check(
            port("10.0.0.2", "TCP", 80),
            port("10.0.0.1", "TCP", 80),
            false,
        );
        check(port("", "TCP", 80), port("", "UDP", 80), false);
        check(port("", "TCP", 80), port("", "TCP", 81), false);
    }
}
