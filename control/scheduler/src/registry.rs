//! The plugins there are, in upstream's order and with its weights: the default profile.

use std::sync::Arc;

use crate::framework::{Filter, PreEnqueue, Score};
use crate::intern::Word;
use crate::plugins::{
    default_binder::DefaultBinder,
    image_locality::ImageLocality,
    node_affinity::NodeAffinity,
    node_name::NodeName,
    node_ports::NodePorts,
    node_unschedulable::NodeUnschedulable,
    pod_affinity::PodAffinity,
    resources,
    scheduling_gates::SchedulingGates,
    taint_toleration::TaintToleration,
    topology_spread::TopologySpread,
    volume_binding::VolumeBinding,
    volume_limits::{Limits, Restrictions, Zone},
};
use crate::profile::{Plugged, Preemption, Profile};

/// What plugins are made with.
#[derive(Debug, Default)]
pub struct Settings {
    /// `NodeAffinity`.
    pub node_affinity: NodeAffinity,
    /// `NodeResourcesFit`.
    pub fit: resources::Fit,
    /// `NodeResourcesBalancedAllocation`.
    pub balanced: resources::Balanced,
    /// `PodTopologySpread`.
    pub spread: TopologySpread,
    /// `InterPodAffinity`.
    pub pod_affinity: PodAffinity,
    /// `DefaultPreemption`.
    pub preemption: Preemption,
}

/// A plugin at all points that it can extend.
fn plugged(name: &'static str) -> Plugged {
    Plugged {
        name,
        ..Plugged::default()
    }
}

fn filtering(name: &'static str, filter: impl Filter + 'static) -> Plugged {
    Plugged {
        filter: Some(Arc::new(filter)),
        ..plugged(name)
    }
}

fn scoring(name: &'static str, weight: i64, score: impl Score + 'static) -> Plugged {
    Plugged {
        score: Some((Arc::new(score), weight)),
        ..plugged(name)
    }
}

fn both<P: Filter + Score + 'static>(name: &'static str, weight: i64, plugin: P) -> Plugged {
    let plugin = Arc::new(plugin);
    Plugged {
        filter: Some(plugin.clone()),
        score: Some((plugin, weight)),
        ..plugged(name)
    }
}

fn holding(name: &'static str, plugin: impl PreEnqueue + 'static) -> Plugged {
    Plugged {
        pre_enqueue: Some(Arc::new(plugin)),
        ..plugged(name)
    }
}

/// The one that binds volumes with pods.
fn volume_binding() -> Plugged {
    let plugin = Arc::new(VolumeBinding);
    Plugged {
        reserve: Some(plugin.clone()),
        pre_bind: Some(plugin),
        ..filtering("VolumeBinding", VolumeBinding)
    }
}

/// The default plugins.
#[must_use]
pub fn plugins(settings: Settings) -> Vec<Plugged> {
    vec![
        holding("SchedulingGates", SchedulingGates),
        filtering("NodeUnschedulable", NodeUnschedulable),
        filtering("NodeName", NodeName),
        both("TaintToleration", 3, TaintToleration),
        both("NodeAffinity", 2, settings.node_affinity),
        filtering("NodePorts", NodePorts),
        both("NodeResourcesFit", 1, settings.fit),
        filtering("VolumeRestrictions", Restrictions),
        filtering("NodeVolumeLimits", Limits),
        volume_binding(),
        filtering("VolumeZone", Zone),
        both("PodTopologySpread", 2, settings.spread),
        both("InterPodAffinity", 2, settings.pod_affinity),
        scoring("NodeResourcesBalancedAllocation", 1, settings.balanced),
        scoring("ImageLocality", 1, ImageLocality),
        Plugged {
            bind: Some(Arc::new(DefaultBinder)),
            ..plugged("DefaultBinder")
        },
    ]
}

/// A profile with the default plugins.
#[must_use]
pub fn profile(name: &str, settings: Settings) -> Profile {
    Profile {
        name: Word::of(name),
        percentage: None,
        preemption: Some(settings.preemption),
        plugins: plugins(settings),
    }
}
