//! A profile: one scheduler by name, with the plugins that make it up. Must not know how they are
//! configured in files.

use std::sync::Arc;

use crate::framework::{
    Bind, Filter, Permit, PluginId, PluginSet, PostBind, PreBind, PreEnqueue, Reason, Reserve,
    Score,
};
use crate::intern::Word;
use crate::model::Pod;

pub mod commit;

/// A plugin at the points that it extends.
#[derive(Clone, Debug, Default)]
pub struct Plugged {
    /// Its name.
    pub name: &'static str,
    /// Before queueing.
    pub pre_enqueue: Option<Arc<dyn PreEnqueue>>,
    /// Filtering.
    pub filter: Option<Arc<dyn Filter>>,
    /// Scoring, with its weight.
    pub score: Option<(Arc<dyn Score>, i64)>,
    /// Taking what a placed pod will use.
    pub reserve: Option<Arc<dyn Reserve>>,
    /// Letting it be bound.
    pub permit: Option<Arc<dyn Permit>>,
    /// Before binding.
    pub pre_bind: Option<Arc<dyn PreBind>>,
    /// Binding.
    pub bind: Option<Arc<dyn Bind>>,
    /// After binding.
    pub post_bind: Option<Arc<dyn PostBind>>,
}

/// One scheduler.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What pods name in `spec.schedulerName`.
    pub name: Word,
    /// Its plugins, in the order in which they are asked.
    pub plugins: Vec<Plugged>,
    /// How many of all nodes are looked at, in percent; `None` for what suits their number.
    pub percentage: Option<u32>,
    /// How preemption goes about it; `None` where nothing is preempted.
    pub preemption: Option<Preemption>,
}

/// How many nodes preemption tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// At least this percentage of the nodes.
    pub percentage: usize,
    /// At least this many.
    pub least: usize,
}

impl Default for Preemption {
    fn default() -> Self {
        Self {
            percentage: 10,
            least: 100,
        }
    }
}

impl Profile {
    /// The plugin that holds a pod back, and why.
    #[must_use]
    pub fn hold(&self, pod: &Pod) -> Option<(PluginId, Reason)> {
        let mut all = self.numbered();
        all.find_map(|(id, plugin)| Some((id, plugin.pre_enqueue.as_ref()?.hold(pod)?)))
    }

    /// The plugins with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (PluginId, &Plugged)> {
        (0..=u8::MAX).zip(&self.plugins)
    }

    /// The name of a plugin.
    #[must_use]
    pub fn plugin(&self, id: PluginId) -> &'static str {
        self.plugins.get(usize::from(id)).map_or("", |p| p.name)
    }

    /// The names of a set of plugins.
    pub fn names(&self, set: PluginSet) -> impl Iterator<Item = &'static str> {
        set.iter().map(|id| self.plugin(id))
    }
}
