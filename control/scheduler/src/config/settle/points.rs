//! Which plugins are asked at which points (`plugins`).

use super::{Problem, problem};
use crate::config::fields::{PluginList, Plugins};
use crate::profile::{Plugged, Profile};
use crate::registry;

/// Plugins that are part of the scheduler and extend no point of a profile's list.
const BUILT_IN: &[&str] = &["PrioritySort", "DefaultBinder"];
const PREEMPTION: &str = "DefaultPreemption";

/// One point of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    PreEnqueue,
    Filter,
    Score,
}

impl Point {
    fn clear(self, plugin: &mut Plugged) {
        match self {
            Self::PreEnqueue => plugin.pre_enqueue = None,
            Self::Filter => plugin.filter = None,
            Self::Score => plugin.score = None,
        }
    }

    fn restore(self, plugin: &mut Plugged, from: &Plugged) {
        match self {
            Self::PreEnqueue => plugin.pre_enqueue.clone_from(&from.pre_enqueue),
            Self::Filter => plugin.filter.clone_from(&from.filter),
            Self::Score => plugin.score.clone_from(&from.score),
        }
    }
}

/// Changes the plugins of a profile.
pub fn apply(profile: &mut Profile, plugins: &Plugins, path: &str, problems: &mut Vec<Problem>) {
    let all = profile.plugins.clone();
    let mut change = Change {
        preemption: profile.preemption,
        profile,
        all,
        problems,
    };
    let every = [Point::PreEnqueue, Point::Filter, Point::Score];
    change.list(
        &plugins.multi_point,
        &every,
        true,
        &format!("{path}.multiPoint"),
    );
    for (name, list, points, preempts) in [
        (
            "preEnqueue",
            &plugins.pre_enqueue,
            &[Point::PreEnqueue][..],
            false,
        ),
        ("preFilter", &plugins.pre_filter, &[Point::Filter], false),
        ("filter", &plugins.filter, &[Point::Filter], false),
        ("postFilter", &plugins.post_filter, &[], true),
        ("preScore", &plugins.pre_score, &[Point::Score], false),
        ("score", &plugins.score, &[Point::Score], false),
        ("queueSort", &plugins.queue_sort, &[], false),
        ("reserve", &plugins.reserve, &[], false),
        ("permit", &plugins.permit, &[], false),
        ("preBind", &plugins.pre_bind, &[], false),
        ("bind", &plugins.bind, &[], false),
        ("postBind", &plugins.post_bind, &[], false),
    ] {
        change.list(list, points, preempts, &format!("{path}.{name}"));
    }
    let used = |plugin: &Plugged| {
        plugin.pre_enqueue.is_some() || plugin.filter.is_some() || plugin.score.is_some()
    };
    profile.plugins.retain(used);
}

struct Change<'a> {
    profile: &'a mut Profile,
    preemption: Option<crate::profile::Preemption>,
    all: Vec<Plugged>,
    problems: &'a mut Vec<Problem>,
}

impl Change<'_> {
    fn list(&mut self, list: &PluginList, points: &[Point], preempts: bool, path: &str) {
        for disabled in &list.disabled {
            self.disable(&disabled.name, points, preempts, path);
        }
        for enabled in &list.enabled {
            self.enable(&enabled.name, enabled.weight, points, preempts, path);
        }
    }

    fn disable(&mut self, name: &str, points: &[Point], preempts: bool, path: &str) {
        let everyone = name == "*";
        if BUILT_IN.contains(&name) {
            let message = format!("{name} cannot be disabled: nothing could take its place");
            self.problems.push(problem(path, message));
        } else if !everyone && !self.is_known(name) {
            self.unknown(name, path);
        }
        if preempts && (everyone || name == PREEMPTION) {
            self.profile.preemption = None;
        }
        let meant = |plugin: &&mut Plugged| everyone || plugin.name == name;
        for plugin in self.profile.plugins.iter_mut().filter(meant) {
            for point in points {
                point.clear(plugin);
            }
        }
    }

    fn enable(&mut self, name: &str, weight: i64, points: &[Point], preempts: bool, path: &str) {
        if !self.is_known(name) {
            return self.unknown(name, path);
        }
        if preempts && name == PREEMPTION {
            self.profile.preemption = self.preemption;
        }
        let mut plugins = self.profile.plugins.iter_mut();
        let plugin = plugins.find(|plugin| plugin.name == name);
        let from = self.all.iter().find(|plugin| plugin.name == name);
        let (Some(plugin), Some(from)) = (plugin, from) else {
            return;
        };
        for point in points {
            point.restore(plugin, from);
        }
        if let Some((_, own)) = &mut plugin.score
            && weight > 0
            && points.contains(&Point::Score)
        {
            *own = weight;
        }
    }

    fn is_known(&self, name: &str) -> bool {
        name == PREEMPTION
            || BUILT_IN.contains(&name)
            || self.all.iter().any(|plugin| plugin.name == name)
    }

    fn unknown(&mut self, name: &str, path: &str) {
        let names = registry::plugins(registry::Settings::default());
        let names: Vec<_> = names.iter().map(|plugin| plugin.name).collect();
        let message = format!("there is no plugin {name:?} here: {}", names.join(", "));
        self.problems.push(problem(path, message));
    }
}
