//! The authorizer of this server: rules from the caches as they are now, and who needs none.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::authorize::{Attributes, Decision};
use crate::auth::bootstrap_policy::node_rules;
use crate::auth::node::{Kind as NodeKind, NodeAuthorizer, Selected};
use crate::auth::rbac::Policy;
use crate::auth::{MASTERS, NODES, User};
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
    nodes: Mutex<Nodes>,
}

/// Who needs what, for the Node mode.
struct Nodes {
    authorizer: NodeAuthorizer,
    pods: Cursor,
    volumes: Cursor,
    attachments: Cursor,
    slices: Cursor,
}

/// The caches that the Node mode looks at.
struct NodeSources {
    pods: Arc<KindCache>,
    volumes: Arc<KindCache>,
    attachments: Arc<KindCache>,
    slices: Arc<KindCache>,
}

/// An authorizer whose caches are there, so that it decides at once.
pub(crate) struct Loaded<'a> {
    authorizer: &'a Authorizer,
    sources: Option<Sources>,
    nodes: Option<NodeSources>,
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
            nodes: Mutex::new(Nodes {
                authorizer: NodeAuthorizer::new(node_rules()),
                pods: Cursor::default(),
                volumes: Cursor::default(),
                attachments: Cursor::default(),
                slices: Cursor::default(),
            }),
        }
    }

    /// Whether this may be done; fails with the refusal.
    pub(crate) async fn check(&self, registry: &Registry, wanted: &Attributes<'_>) -> Outcome<()> {
        self.check_selected(registry, wanted, None).await
    }

    /// Whether this may be done to those objects that the field selects; fails with the refusal.
    pub(crate) async fn check_selected(
        &self,
        registry: &Registry,
        wanted: &Attributes<'_>,
        selected: Selected<'_>,
    ) -> Outcome<()> {
        if self.allows_everything(wanted.user) {
            return Ok(());
        }
        let loaded = self.load(registry, wanted.user).await?;
        match loaded.decide(wanted, selected) {
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
        let loaded = self.load(registry, wanted.user).await?;
        Ok(loaded.decide(wanted, None))
    }

    fn allows_everything(&self, user: &User) -> bool {
        user.is_in(MASTERS) || self.modes.contains(&Mode::AlwaysAllow)
    }

    /// Loads what decisions about somebody take.
    pub(crate) async fn load(&self, registry: &Registry, user: &User) -> Outcome<Loaded<'_>> {
        let mut loaded = Loaded {
            authorizer: self,
            sources: None,
            nodes: None,
        };
        if self.allows_everything(user) {
            return Ok(loaded);
        }
        if self.modes.contains(&Mode::Node) && user.is_in(NODES) {
            loaded.nodes = Some(NodeSources {
                pods: registry.cache_of("", "pods").await?,
                volumes: registry.cache_of("", "persistentvolumes").await?,
                attachments: registry
                    .cache_of("storage.k8s.io", "volumeattachments")
                    .await?,
                slices: registry
                    .cache_of("resource.k8s.io", "resourceslices")
                    .await?,
            });
        }
        if self.modes.contains(&Mode::Rbac) {
            loaded.sources = Some(Sources::load(registry).await?);
        }
        Ok(loaded)
    }

    /// Looks at the rules as they are now.
    pub(crate) async fn with_policy<T>(
        &self,
        registry: &Registry,
        look: impl FnOnce(&Policy) -> T,
    ) -> Outcome<T> {
        let sources = Sources::load(registry).await?;
        let mut rules = self.rules.lock();
        rules.follow(&sources);
        Ok(look(&rules.policy))
    }
}

impl Sources {
    async fn load(registry: &Registry) -> Outcome<Self> {
        Ok(Self {
            cluster_roles: registry.cache_of(GROUP, "clusterroles").await?,
            roles: registry.cache_of(GROUP, "roles").await?,
            cluster_bindings: registry.cache_of(GROUP, "clusterrolebindings").await?,
            bindings: registry.cache_of(GROUP, "rolebindings").await?,
        })
    }
}

impl Loaded<'_> {
    /// Decides, with the reason: the modes are asked in their order.
    pub(crate) fn decide(&self, wanted: &Attributes<'_>, selected: Selected<'_>) -> Decision {
        if self.authorizer.allows_everything(wanted.user) {
            return Decision::Allow(String::new());
        }
        let mut reasons = Vec::new();
        for mode in &self.authorizer.modes {
            let decision = match mode {
                Mode::Node => self.by_node(wanted, selected),
                Mode::Rbac => self.by_rules(wanted),
                Mode::AlwaysAllow => Decision::Allow(String::new()),
            };
            match decision {
                Decision::NoOpinion(reason) => reasons.push(reason),
                allowed @ Decision::Allow(_) => return allowed,
            }
        }
        reasons.retain(|reason| !reason.is_empty());
        Decision::NoOpinion(reasons.join(", "))
    }

    fn by_node(&self, wanted: &Attributes<'_>, selected: Selected<'_>) -> Decision {
        let Some(sources) = &self.nodes else {
            return Decision::NoOpinion(String::new());
        };
        let mut nodes = self.authorizer.nodes.lock();
        nodes.follow(sources);
        nodes.authorizer.authorize(wanted, selected)
    }

    fn by_rules(&self, wanted: &Attributes<'_>) -> Decision {
        let Some(sources) = &self.sources else {
            return Decision::NoOpinion(String::new());
        };
        let mut rules = self.authorizer.rules.lock();
        rules.follow(sources);
        rules.policy.authorize(wanted)
    }
}

impl Nodes {
    fn follow(&mut self, sources: &NodeSources) {
        let graph = &mut self.authorizer.graph;
        self.pods.follow(&sources.pods, |step| match step {
            Step::Restart => graph.forget_pods(),
            Step::Put(pod) => graph.set_pod(pod.namespace(), pod.name(), parse(pod).as_ref()),
            Step::Remove(pod) => graph.set_pod(pod.namespace(), pod.name(), None),
        });
        self.volumes.follow(&sources.volumes, |step| match step {
            Step::Restart => graph.forget_volumes(),
            Step::Put(volume) => graph.set_volume(volume.name(), parse(volume).as_ref()),
            Step::Remove(volume) => graph.set_volume(volume.name(), None),
        });
        let kinds = [
            (
                NodeKind::Attachment,
                &mut self.attachments,
                &sources.attachments,
            ),
            (NodeKind::ResourceSlice, &mut self.slices, &sources.slices),
        ];
        for (kind, cursor, source) in kinds {
            cursor.follow(source, |step| match step {
                Step::Restart => graph.forget_nodes_of(kind),
                Step::Put(object) => graph.set_node(kind, object.name(), parse(object).as_ref()),
                Step::Remove(object) => graph.set_node(kind, object.name(), None),
            });
        }
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
