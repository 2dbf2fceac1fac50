//! One row of the resource table, and the words to write it with.

use std::fmt;

use keelson_api::validate::field::ErrorList;
use serde_json::Value;

use super::Name;
use crate::columns::Column;
use crate::strategy::Strategy;

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// How soon a write must be on disk before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// On disk first.
    Durable,
    /// Acknowledged at once: what is written again soon anyway (events, leases).
    Relaxed,
}

/// Something that can be done with a resource, as RBAC and discovery name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the API's verbs")]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    /// All of them, sorted by name as discovery shows them.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// The verb as RBAC and discovery write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of verbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verbs(u8);

impl Verbs {
    /// Every verb there is.
    pub const ALL: Self = Self(0xff);
    /// What reviews allow.
    pub const CREATE: Self = Self::of(&[Verb::Create]);
    /// Reading one object.
    pub const GET: Self = Self::of(&[Verb::Get]);
    /// Reading one object or all.
    pub const READ: Self = Self::of(&[Verb::Get, Verb::List]);
    /// What status and scale allow.
    pub const CHANGE: Self = Self::of(&[Verb::Get, Verb::Patch, Verb::Update]);
    /// Replacing an object.
    pub const UPDATE: Self = Self::of(&[Verb::Update]);
    /// What streams allow.
    pub const STREAM: Self = Self::of(&[Verb::Create, Verb::Get]);
    /// What a proxy allows.
    pub const PROXY: Self = Self::of(&[
        Verb::Create,
        Verb::Delete,
        Verb::Get,
        Verb::Patch,
        Verb::Update,
    ]);

    /// The set of these verbs.
    #[must_use]
    pub const fn of(verbs: &[Verb]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < verbs.len() {
            bits |= 1 << verbs[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether the set has this verb.
    #[must_use]
    pub fn has(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }

    /// The verbs of the set, sorted by name.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb))
    }
}

/// A part or an action of a resource with a path of its own: `pods/NAME/log`.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// The last segment of the path.
    pub name: Name,
    /// Group of what is sent and answered; for most, that of the resource.
    pub group: Name,
    /// Version of what is sent and answered.
    pub version: Name,
    /// Kind of what is sent and answered.
    pub kind: Name,
    /// What can be done.
    pub verbs: Verbs,
}

/// A resource: a kind in a version, under its plural name.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Name,
    /// The version.
    pub version: Name,
    /// The kind.
    pub kind: Name,
    /// The kind of a list of these.
    pub list_kind: Name,
    /// The name in paths.
    pub plural: Name,
    /// The name of one.
    pub singular: Name,
    /// Where objects live.
    pub scope: Scope,
    /// What can be done.
    pub verbs: Verbs,
    /// Names that kubectl takes for the plural.
    pub short_names: Vec<Name>,
    /// Groups of kinds that kubectl takes for the plural, `all` first of them.
    pub categories: Vec<Name>,
    /// Parts with paths of their own.
    pub subresources: Vec<Subresource>,
    /// Name of the kind's type in the schema; empty for custom resources.
    pub type_name: Name,
    /// Fields that `fieldSelector` takes beyond `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Name>,
    /// How writes are acknowledged.
    pub durability: Durability,
    /// The columns of `kubectl get`.
    pub columns: std::borrow::Cow<'static, [Column]>,
    /// What happens to an object on its way in.
    pub strategy: Strategy,
    /// Group and version that objects are stored in, where it is another row's.
    pub stored_as: Option<(Name, Name)>,
}

impl Resource {
    fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group: Name::Borrowed(group),
            version: Name::Borrowed(version),
            kind: Name::Borrowed(kind),
            list_kind: Name::Owned(format!("{kind}List")),
            plural: Name::Borrowed(plural),
            singular: Name::Owned(kind.to_lowercase()),
            scope: Scope::Namespaced,
            verbs: Verbs::ALL,
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: Vec::new(),
            type_name: Name::Owned(format!("{}.{version}.{kind}", package(group))),
            selectable: Vec::new(),
            durability: Durability::Durable,
            columns: std::borrow::Cow::Borrowed(crate::columns::AGED),
            strategy: Strategy::default(),
            stored_as: None,
        }
    }

    /// A row for a kind that lives in namespaces.
    pub(super) fn namespaced(
        (group, version): (&'static str, &'static str),
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self::new(group, version, kind, plural)
    }

    /// A row for a kind that lives in the cluster.
    pub(super) fn cluster(
        group_version: (&'static str, &'static str),
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            scope: Scope::Cluster,
            ..Self::namespaced(group_version, kind, plural)
        }
    }

    /// A row for a question that is asked by creating it, and never stored.
    pub(super) fn review(
        scope: Scope,
        group_version: (&'static str, &'static str),
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        let row = Self::namespaced(group_version, kind, plural).verbs(Verbs::CREATE);
        Self { scope, ..row }
    }

    pub(super) fn verbs(self, verbs: Verbs) -> Self {
        Self { verbs, ..self }
    }

    pub(super) fn short(mut self, names: &[&'static str]) -> Self {
        self.short_names = names.iter().copied().map(Name::Borrowed).collect();
        self
    }

    pub(super) fn categories(mut self, names: &[&'static str]) -> Self {
        self.categories = names.iter().copied().map(Name::Borrowed).collect();
        self
    }

    pub(super) fn selectable(mut self, fields: &[&'static str]) -> Self {
        self.selectable = fields.iter().copied().map(Name::Borrowed).collect();
        self
    }

    /// Sets names and counting; hooks are set by functions of their own.
    pub(super) fn strategy(self, strategy: Strategy) -> Self {
        let hooks = self.strategy;
        Self {
            strategy: Strategy {
                defaults: hooks.defaults,
                validate: hooks.validate,
                validate_update: hooks.validate_update,
                validate_status: hooks.validate_status,
                prepare_create: hooks.prepare_create,
                prepare_update: hooks.prepare_update,
                ..strategy
            },
            ..self
        }
    }

    pub(super) fn validate(mut self, validate: fn(&Value, &mut ErrorList)) -> Self {
        self.strategy.validate = validate;
        self
    }

    pub(super) fn prepare(mut self, prepare: fn(&mut Value)) -> Self {
        self.strategy.prepare_create = prepare;
        self
    }

    pub(super) fn prepare_change(mut self, prepare: fn(&mut Value, &Value)) -> Self {
        self.strategy.prepare_update = prepare;
        self
    }

    pub(super) fn change(mut self, change: fn(&Value, &Value, &mut ErrorList)) -> Self {
        self.strategy.validate_update = change;
        self
    }

    pub(super) fn status_rules(mut self, judge: fn(&Value, &Value, &mut ErrorList)) -> Self {
        self.strategy.validate_status = judge;
        self
    }

    pub(super) fn defaults(mut self, defaults: fn(&mut Value)) -> Self {
        self.strategy.defaults = defaults;
        self
    }

    pub(super) fn columns(self, columns: &'static [Column]) -> Self {
        Self {
            columns: std::borrow::Cow::Borrowed(columns),
            ..self
        }
    }

    pub(super) fn relaxed(self) -> Self {
        Self {
            durability: Durability::Relaxed,
            ..self
        }
    }

    pub(super) fn stored_as(self, group: &'static str, version: &'static str) -> Self {
        Self {
            stored_as: Some((Name::Borrowed(group), Name::Borrowed(version))),
            ..self
        }
    }

    /// Adds a subresource that takes and gives the resource's own kind.
    pub(super) fn part(self, name: &'static str, verbs: Verbs) -> Self {
        let (group, version, kind) = (self.group.clone(), self.version.clone(), self.kind.clone());
        self.with(Subresource {
            name: Name::Borrowed(name),
            group,
            version,
            kind,
            verbs,
        })
    }

    /// Adds a subresource that takes and gives another kind.
    pub(super) fn action(
        self,
        name: &'static str,
        (group, version, kind): (&'static str, &'static str, &'static str),
        verbs: Verbs,
    ) -> Self {
        self.with(Subresource {
            name: Name::Borrowed(name),
            group: Name::Borrowed(group),
            version: Name::Borrowed(version),
            kind: Name::Borrowed(kind),
            verbs,
        })
    }

    fn with(mut self, subresource: Subresource) -> Self {
        self.subresources.push(subresource);
        self
    }

    /// Adds the status subresource.
    pub(super) fn status(self) -> Self {
        self.part("status", Verbs::CHANGE)
    }

    /// Adds the scale subresource.
    pub(super) fn scale(self) -> Self {
        self.action("scale", ("autoscaling", "v1", "Scale"), Verbs::CHANGE)
    }

    /// `apiVersion` of objects in this resource: `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        row_api_version(&self.group, &self.version)
    }

    /// The plural with its group, as errors name it: `deployments.apps`, `pods`.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether objects live in namespaces.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The subresource of this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether `status` is written through a path of its own only.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Group and version of the stored form.
    #[must_use]
    pub fn storage_version(&self) -> (&str, &str) {
        match &self.stored_as {
            Some((group, version)) => (group, version),
            None => (&self.group, &self.version),
        }
    }
}

/// `apiVersion` for a group and a version.
#[must_use]
pub fn row_api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// The package that upstream keeps a group's types in, which names them in OpenAPI.
fn package(group: &str) -> String {
    match group {
        "" => "io.k8s.api.core".to_owned(),
        "apiextensions.k8s.io" => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions".to_owned()
        }
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration".to_owned(),
        "flowcontrol.apiserver.k8s.io" => "io.k8s.api.flowcontrol".to_owned(),
        "rbac.authorization.k8s.io" => "io.k8s.api.rbac".to_owned(),
        other => format!("io.k8s.api.{}", other.trim_end_matches(".k8s.io")),
    }
}
