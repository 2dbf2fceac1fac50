//! What a profile's plugins do with a pod from its placement to its binding.

use super::Profile;
use crate::cluster::Cluster;
use crate::framework::{Cycle, Errand, Held, PluginId, Reason};
use crate::intern::Word;
use crate::model::Pod;

impl Profile {
    /// Whether any plugin has something to take for a pod, or a say in whether it may be bound.
    #[must_use]
    pub fn is_concerned(&self, pod: &Pod) -> bool {
        self.plugins.iter().any(|plugin| {
            let (reserve, permit) = (plugin.reserve.as_ref(), plugin.permit.as_ref());
            reserve.is_some_and(|plugin| plugin.concerns(pod))
                || permit.is_some_and(|plugin| plugin.concerns(pod))
        })
    }

    /// Takes what a pod will use on its node, and asks whether it may be bound there.
    ///
    /// # Errors
    /// A plugin refuses; nothing is kept then.
    pub fn reserve(
        &self,
        pod: &Pod,
        node: &Word,
        cluster: &mut Cluster,
    ) -> Result<Held, (PluginId, Reason)> {
        let mut held = Held::default();
        let taken = self.take(pod, node, cluster, &mut held);
        if let Err(refusal) = taken {
            self.unreserve(&held, cluster);
            return Err(refusal);
        }
        Ok(held)
    }

    fn take(
        &self,
        pod: &Pod,
        node: &Word,
        cluster: &mut Cluster,
        held: &mut Held,
    ) -> Result<(), (PluginId, Reason)> {
        for (id, plugin) in self.numbered() {
            if let Some(reserve) = plugin.reserve.as_ref().filter(|it| it.concerns(pod)) {
                let taken = reserve.reserve(pod, node, cluster, held);
                taken.map_err(|reason| (id, reason))?;
            }
        }
        for (id, plugin) in self.numbered() {
            if let Some(permit) = plugin.permit.as_ref().filter(|it| it.concerns(pod)) {
                let permitted = permit.permit(Cycle { pod, cluster }, node);
                permitted.map_err(|reason| (id, reason))?;
            }
        }
        Ok(())
    }

    /// Gives back what was taken for a pod.
    pub fn unreserve(&self, held: &Held, cluster: &mut Cluster) {
        let plugins = self.plugins.iter().rev();
        for reserve in plugins.filter_map(|plugin| plugin.reserve.as_ref()) {
            reserve.unreserve(held, cluster);
        }
    }

    /// What is done for a pod, in this order; the last errand binds it.
    #[must_use]
    pub fn errands(&self, pod: &Pod, node: &Word, held: &Held) -> Vec<Errand> {
        let plugins = self.plugins.iter();
        let before = plugins.filter_map(|plugin| plugin.pre_bind.as_ref()?.errand(held));
        let mut plugins = self.plugins.iter();
        let binding = plugins.find_map(|plugin| plugin.bind.as_ref()?.errand(pod, node));
        before.chain([binding.unwrap_or(Errand::Binding)]).collect()
    }

    /// Tells who wants to know that a pod is bound.
    pub fn bound(&self, pod: &Pod, node: &Word) {
        let plugins = self.plugins.iter();
        for post in plugins.filter_map(|plugin| plugin.post_bind.as_ref()) {
            post.bound(pod, node);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use crate::cluster::Cluster;
    use crate::framework::{Bind, Cycle, Errand, Held, Permit, PostBind, PreBind, Reason, Reserve};
    use crate::intern::Word;
    use crate::model::storage::Choice;
    use crate::model::{Pod, PodKey};
    use crate::profile::{Plugged, Profile};
    use crate::registry::{Settings, profile};

    /// Extends all points, and notes what it is asked.
    #[derive(Debug, Default)]
    struct Probe {
        asked: Mutex<Vec<&'static str>>,
        refuses: Option<&'static str>,
    }

    impl Probe {
        fn ask(&self, what: &'static str) -> Result<(), Reason> {
            self.asked.lock().push(what);
            match self.refuses == Some(what) {
                true => Err(Reason::Text("refused")),
                false => Ok(()),
            }
        }
    }

    impl Reserve for Probe {
        fn concerns(&self, _: &Pod) -> bool {
            true
        }

        fn reserve(
            &self,
            _: &Pod,
            _: &Word,
            _: &mut Cluster,
            held: &mut Held,
        ) -> Result<(), Reason> {
            held.claims.push(Choice {
                claim: PodKey::new("ns", "c"),
                volume: None,
            });
            self.ask("reserve")
        }

        fn unreserve(&self, held: &Held, _: &mut Cluster) {
            assert_eq!(held.claims.len(), 1);
            self.asked.lock().push("unreserve");
        }
    }

    impl Permit for Probe {
        fn concerns(&self, _: &Pod) -> bool {
            true
        }

        fn permit(&self, _: Cycle<'_>, _: &Word) -> Result<(), Reason> {
            self.ask("permit")
        }
    }

    impl PreBind for Probe {
        fn errand(&self, held: &Held) -> Option<Errand> {
            Some(Errand::Claims(held.claims.clone()))
        }
    }

    impl Bind for Probe {
        fn errand(&self, _: &Pod, _: &Word) -> Option<Errand> {
            self.asked.lock().push("bind");
            None
        }
    }

    impl PostBind for Probe {
        fn bound(&self, _: &Pod, _: &Word) {
            self.asked.lock().push("bound");
        }
    }

    /// The default profile, and before all others a plugin that may refuse at a point.
    fn probed(refuses: Option<&'static str>) -> (Profile, Arc<Probe>) {
        let probe = Arc::new(Probe {
            refuses,
            ..Probe::default()
        });
        let mut profile = profile("p", Settings::default());
        let plugged = Plugged {
            name: "Probe",
            reserve: Some(probe.clone()),
            permit: Some(probe.clone()),
            pre_bind: Some(probe.clone()),
            bind: Some(probe.clone()),
            post_bind: Some(probe.clone()),
            ..Plugged::default()
        };
        profile.plugins.insert(0, plugged);
        (profile, probe)
    }

    #[test]
    fn points_are_asked_in_their_order() {
        let (profile, probe) = probed(None);
        let (pod, node, mut cluster) = (Pod::default(), Word::of("n"), Cluster::default());
        assert!(profile.is_concerned(&pod));
        let held = profile.reserve(&pod, &node, &mut cluster).unwrap();
        let errands = profile.errands(&pod, &node, &held);
        // The volumes' plugin has the same errand, and the default one binds what is left to it.
        let claims = || Errand::Claims(held.claims.clone());
        assert_eq!(errands, [claims(), claims(), Errand::Binding]);
        profile.bound(&pod, &node);
        let asked = probe.asked.lock().clone();
        assert_eq!(asked, ["reserve", "permit", "bind", "bound"]);
    }

    #[test]
    fn what_was_taken_is_given_back_when_one_refuses() {
        for (refuses, expected) in [
            ("reserve", &["reserve", "unreserve"][..]),
            ("permit", &["reserve", "permit", "unreserve"]),
        ] {
            let (profile, probe) = probed(Some(refuses));
            let mut cluster = Cluster::default();
            let refused = profile.reserve(&Pod::default(), &Word::of("n"), &mut cluster);
            assert_eq!(refused, Err((0, Reason::Text("refused"))));
            assert_eq!(*probe.asked.lock(), expected);
        }
    }

    #[test]
    fn plain_pods_concern_nobody() {
        let profile = profile("p", Settings::default());
        assert!(!profile.is_concerned(&Pod::default()));
        let errands = profile.errands(&Pod::default(), &Word::of("n"), &Held::default());
        assert_eq!(errands, [Errand::Binding]);
    }
}
