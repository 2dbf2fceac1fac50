//! The points between a pod's placement and its binding: what is taken for it, whether it may go on,
//! what is written before it is bound, and how it is bound. Plugins answer with values
//! ([`Errand`]); carrying them out is not theirs. Must not know which plugins there are.

use std::fmt;

use super::{Cycle, Reason};
use crate::cluster::Cluster;
use crate::intern::Word;
use crate::model::Pod;
use crate::model::storage::Choice;

/// What was taken for a pod that has a node, until it is bound or has to let go of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What its claims that wait will have.
    pub claims: Vec<Choice>,
}

/// Something to be done for a pod that has a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The claims get what was chosen for them; it is done when all of them are bound.
    Claims(Vec<Choice>),
    /// The API server is told which node the pod is bound to.
    Binding,
}

/// Takes what a pod will use, before the next pod is thought about.
pub trait Reserve: fmt::Debug + Send + Sync {
    /// Whether there is anything to take for this pod. Pods of no concern may be placed many at
    /// once.
    fn concerns(&self, pod: &Pod) -> bool;

    /// Takes it in the cluster, and notes it.
    ///
    /// # Errors
    /// The pod can't have it after all.
    fn reserve(
        &self,
        pod: &Pod,
        node: &Word,
        cluster: &mut Cluster,
        held: &mut Held,
    ) -> Result<(), Reason>;

    /// Gives back what was noted. It may have been called for a pod for which nothing was taken.
    fn unreserve(&self, held: &Held, cluster: &mut Cluster);
}

/// Whether a pod that has a node may be bound.
pub trait Permit: fmt::Debug + Send + Sync {
    /// Whether this pod is asked about at all.
    fn concerns(&self, pod: &Pod) -> bool;

    /// Lets it go on.
    ///
    /// # Errors
    /// It may not: it gives back its node, and is told why.
    fn permit(&self, cycle: Cycle<'_>, node: &Word) -> Result<(), Reason>;
}

/// What has to be done before a pod is bound.
pub trait PreBind: fmt::Debug + Send + Sync {
    /// The errand, if there is one.
    fn errand(&self, held: &Held) -> Option<Errand>;
}

/// How a pod is bound.
pub trait Bind: fmt::Debug + Send + Sync {
    /// The errand; nothing if this pod is left to the next plugin.
    fn errand(&self, pod: &Pod, node: &Word) -> Option<Errand>;
}

/// Hears of pods that are bound.
pub trait PostBind: fmt::Debug + Send + Sync {
    /// The pod is bound.
    fn bound(&self, pod: &Pod, node: &Word);
}
