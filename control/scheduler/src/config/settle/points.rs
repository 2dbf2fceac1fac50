//! Which plugins are asked at which points (`plugins`).

use super::{Problem, problem};
use crate::config::fields::{PluginList, Plugins};
use crate::profile::{Plugged, Profile};
use crate::registry;

/// Plugins that are part of the scheduler and extend no point of a profile's list.
const BUILT_IN: &[&str] = &["PrioritySort"];
/// Plugins without which no pod would be bound.
const NEEDED: &[&str] = &["DefaultBinder"];
const PREEMPTION: &str = "DefaultPreemption";

/// One point of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    PreEnqueue,
    Filter,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl Point {
    fn clear(self, plugin: &mut Plugged) {
        match self {
            Self::PreEnqueue => plugin.pre_enqueue = None,
            Self::Filter => plugin.filter = None,
            Self::Score => plugin.score = None,
            Self::Reserve => plugin.reserve = None,
            Self::Permit => plugin.permit = None,
            Self::PreBind => plugin.pre_bind = None,
            Self::Bind => plugin.bind = None,
            Self::PostBind => plugin.post_bind = None,
        }
    }

    fn restore(self, plugin: &mut Plugged, from: &Plugged) {
        match self {
            Self::PreEnqueue => plugin.pre_enqueue.clone_from(&from.pre_enqueue),
            Self::Filter => plugin.filter.clone_from(&from.filter),
            Self::Score => plugin.score.clone_from(&from.score),
            Self::Reserve => plugin.reserve.clone_from(&from.reserve),
            Self::Permit => plugin.permit.clone_from(&from.permit),
            Self::PreBind => plugin.pre_bind.clone_from(&from.pre_bind),
            Self::Bind => plugin.bind.clone_from(&from.bind),
            Self::PostBind => plugin.post_bind.clone_from(&from.post_bind),
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
    let every = [
        Point::PreEnqueue,
        Point::Filter,
        Point::Score,
        Point::Reserve,
        Point::Permit,
        Point::PreBind,
        Point::Bind,
        Point::PostBind,
    ];
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
        ("reserve", &plugins.reserve, &[Point::Reserve], false),
        ("permit", &plugins.permit, &[Point::Permit], false),
        ("preBind", &plugins.pre_bind, &[Point::PreBind], false),
        ("bind", &plugins.bind, &[Point::Bind], false),
        ("postBind", &plugins.post_bind, &[Point::PostBind], false),
    ] {
        change.list(list, points, preempts, &format!("{path}.{name}"));
    }
    let used = |plugin: &Plugged| {
        let looks = plugin.filter.is_some() || plugin.score.is_some();
        let binds = plugin.pre_bind.is_some() || plugin.bind.is_some();
        let tells = plugin.reserve.is_some() || plugin.permit.is_some();
        looks || binds || tells || plugin.pre_enqueue.is_some() || plugin.post_bind.is_some()
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
        if BUILT_IN.contains(&name) || NEEDED.contains(&name) {
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
