//! A profile: one scheduler by name, with the plugins that make it up. Must not know how they are
//! configured in files.

use std::sync::Arc;

use crate::framework::{Filter, PluginId, PluginSet, PreEnqueue, Reason, Score};
use crate::intern::Word;
use crate::model::Pod;

/// A plugin at the points that it extends.
#[derive(Clone, Debug)]
pub struct Plugged {
    /// Its name.
    pub name: &'static str,
    /// Before queueing.
    pub pre_enqueue: Option<Arc<dyn PreEnqueue>>,
    /// Filtering.
    pub filter: Option<Arc<dyn Filter>>,
    /// Scoring, with its weight.
    pub score: Option<(Arc<dyn Score>, i64)>,
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
