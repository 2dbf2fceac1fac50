//! The authorizer of this server: rules from the caches as they are now, and who needs none.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::MASTERS;
use crate::auth::authorize::{Attributes, Decision};
use crate::auth::rbac::Policy;
use crate::failure::Outcome;
use crate::object::Version;
use crate::registry::Registry;
use crate::watch_cache::KindCache;
use crate::watch_cache::informer::{Cursor, Step};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What `--authorization-mode` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Node,
    Rbac,
    AlwaysAllow,
}

/// Decides who may do what.
pub(crate) struct Authorizer {
    modes: Vec<Mode>,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    policy: Policy,
    cluster_roles: Cursor,
    roles: Cursor,
    cluster_bindings: Cursor,
    bindings: Cursor,
}

/// The caches that rules come from.
struct Sources {
    cluster_roles: Arc<KindCache>,
    roles: Arc<KindCache>,
    cluster_bindings: Arc<KindCache>,
    bindings: Arc<KindCache>,
}

impl Authorizer {
    pub(crate) fn new(modes: Vec<Mode>) -> Self {
        Self {
            modes,
            rules: Mutex::default(),
        }
    }

    /// Whether this may be done; fails with the refusal.
    pub(crate) async fn check(&self, registry: &Registry, wanted: &Attributes<'_>) -> Outcome<()> {
        match self.decide(registry, wanted).await? {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(wanted.refusal(&reason)),
        }
    }

    /// Decides, with the reason.
    pub(crate) async fn decide(
        &self,
        registry: &Registry,
        wanted: &Attributes<'_>,
    ) -> Outcome<Decision> {
        if wanted.user.is_in(MASTERS) || self.modes.contains(&Mode::AlwaysAllow) {
            return Ok(Decision::Allow(String::new()));
        }
        if self.modes.contains(&Mode::Rbac) {
            let decision = self.with_policy(registry, |policy| policy.authorize(wanted));
            return decision.await;
        }
        Ok(Decision::NoOpinion(String::new()))
    }

    /// Looks at the rules as they are now.
    pub(crate) async fn with_policy<T>(
        &self,
        registry: &Registry,
        look: impl FnOnce(&Policy) -> T,
    ) -> Outcome<T> {
        let sources = Sources {
            cluster_roles: registry.cache_of(GROUP, "clusterroles").await?,
            roles: registry.cache_of(GROUP, "roles").await?,
            cluster_bindings: registry.cache_of(GROUP, "clusterrolebindings").await?,
            bindings: registry.cache_of(GROUP, "rolebindings").await?,
        };
        let mut rules = self.rules.lock();
        rules.follow(&sources);
        Ok(look(&rules.policy))
    }
}

impl Rules {
    fn follow(&mut self, sources: &Sources) {
        let policy = &mut self.policy;
        self.cluster_roles
            .follow(&sources.cluster_roles, |step| role(policy, true, &step));
        self.roles
            .follow(&sources.roles, |step| role(policy, false, &step));
        self.cluster_bindings
            .follow(&sources.cluster_bindings, |step| {
                binding(policy, true, &step)
            });
        self.bindings
            .follow(&sources.bindings, |step| binding(policy, false, &step));
    }
}

fn role(policy: &mut Policy, of_cluster: bool, step: &Step<'_>) {
    match step {
        Step::Restart => policy.forget_roles(of_cluster),
        Step::Put(version) => policy.set_role(version.namespace(), version.name(), parse(version)),
        Step::Remove(version) => policy.set_role(version.namespace(), version.name(), None),
    }
}

fn binding(policy: &mut Policy, of_cluster: bool, step: &Step<'_>) {
    match step {
        Step::Restart => policy.forget_bindings(of_cluster),
        Step::Put(version) => {
            policy.set_binding(version.namespace(), version.name(), parse(version));
        }
        Step::Remove(version) => policy.set_binding(version.namespace(), version.name(), None),
    }
}

/// An object that cannot be read grants nothing.
fn parse<T: serde::de::DeserializeOwned>(version: &Version) -> Option<T> {
    serde_json::from_slice(&version.body).ok()
}
