//! The kinds that are served: the rows of the resource table with what this server derives from
//! them, and the rows that custom resources add.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keelson_schema::apply::Versions;
use keelson_schema::custom::{CustomKind, CustomVersion};
use keelson_schema::resource_table::{self, Resource};
use parking_lot::RwLock;
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::object::Field;
use crate::watch_cache::ROOT;

/// A kind in one version.
#[derive(Debug)]
pub(crate) struct Kind {
    row: Row,
    /// What the keys of its objects begin with.
    pub(crate) prefix: Box<str>,
    /// What field selectors may name, beside name and namespace.
    pub(crate) fields: Box<[Field]>,
}

#[derive(Debug)]
enum Row {
    Builtin(&'static Resource),
    Custom(Custom),
}

/// A version of a custom kind, among all of them.
#[derive(Debug)]
struct Custom {
    kind: Arc<CustomKind>,
    at: usize,
}

impl Custom {
    fn version(&self) -> &CustomVersion {
        &self.kind.versions[self.at]
    }
}

impl Deref for Kind {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        match &self.row {
            Row::Builtin(row) => row,
            Row::Custom(custom) => &custom.version().row,
        }
    }
}

impl Kind {
    fn new(row: Row, prefix: String) -> Self {
        let mut kind = Self {
            row,
            prefix: prefix.into(),
            fields: Box::new([]),
        };
        kind.fields = kind
            .selectable
            .iter()
            .map(|name| Field::new(name))
            .collect();
        kind
    }

    fn builtin(row: &'static Resource) -> Self {
        Self::new(Row::Builtin(row), format!("{ROOT}{}/", row.plural))
    }

    /// A custom resource.
    pub(crate) fn custom(kind: &Arc<CustomKind>, at: usize) -> Self {
        let row = &kind.versions[at].row;
        let prefix = format!("{ROOT}{}/{}/", row.group, row.plural);
        let kind = Arc::clone(kind);
        Self::new(Row::Custom(Custom { kind, at }), prefix)
    }

    /// The definition's version, of a custom kind.
    pub(crate) fn definition(&self) -> Option<&CustomVersion> {
        match &self.row {
            Row::Builtin(_) => None,
            Row::Custom(custom) => Some(custom.version()),
        }
    }

    /// The kind in all its versions.
    pub(crate) fn versions(&self) -> &dyn Versions {
        match &self.row {
            Row::Builtin(row) => *row,
            Row::Custom(custom) => &*custom.kind,
        }
    }

    /// Whether a definition and not this program brings it.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.row, Row::Custom(_))
    }

    /// The key of an object below the prefix.
    pub(crate) fn place(&self, namespace: &str, name: &str) -> String {
        if self.is_namespaced() {
            format!("{namespace}/{name}")
        } else {
            name.to_owned()
        }
    }

    /// Whether objects may be kept in another version than this.
    pub(crate) fn is_converted(&self) -> bool {
        match &self.row {
            Row::Builtin(row) => row.storage_version() != (&*row.group, &*row.version),
            Row::Custom(custom) => custom.kind.versions.len() > 1,
        }
    }
}

/// An object as its store keeps it, in the version of the kind.
pub(crate) fn served<'a>(kind: &Kind, object: &'a Value) -> Outcome<Cow<'a, Value>> {
    if !kind.is_converted() {
        return Ok(Cow::Borrowed(object));
    }
    convert(kind, object, &kind.api_version()).map(Cow::Owned)
}

/// An object of the kind's version as its store keeps it.
pub(crate) fn stored(kind: &Kind, object: Value) -> Outcome<Value> {
    if !kind.is_converted() {
        return Ok(object);
    }
    if let Row::Custom(custom) = &kind.row {
        let stored = custom.kind.stored();
        let version = stored.map_or(&kind.version, |stored| &stored.row.version);
        let version = resource_table::row_api_version(&kind.group, version);
        return convert(kind, &object, &version);
    }
    let (group, version) = kind.storage_version();
    convert(
        kind,
        &object,
        &resource_table::row_api_version(group, version),
    )
}

fn convert(kind: &Kind, object: &Value, version: &str) -> Outcome<Value> {
    let converted = kind.versions().convert(object, version);
    converted.ok_or_else(|| {
        Failure::internal(format!(
            "{} cannot be converted to {version}",
            kind.qualified()
        ))
    })
}

/// Kinds in the order of group, plural and version, so that they are found by what a path names
/// without making anything.
#[derive(Default)]
struct Sorted(Box<[Arc<Kind>]>);

impl Sorted {
    fn new(kinds: impl Iterator<Item = Kind>) -> Self {
        let mut kinds: Vec<Arc<Kind>> = kinds.map(Arc::new).collect();
        kinds.sort_by(|a, b| place_of(a).cmp(&place_of(b)));
        Self(kinds.into())
    }

    fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let wanted = (group, plural, version);
        let at = self.0.binary_search_by(|kind| place_of(kind).cmp(&wanted));
        self.0.get(at.ok()?)
    }

    /// All versions of a kind.
    fn versions(&self, group: &str, plural: &str) -> impl Iterator<Item = &Arc<Kind>> {
        let is_before = |kind: &Arc<Kind>| (&*kind.group, &*kind.plural) < (group, plural);
        let from = self.0.partition_point(is_before);
        let versions = self.0[from..].iter();
        versions.take_while(move |kind| kind.group == group && kind.plural == plural)
    }
}

fn place_of(kind: &Kind) -> (&str, &str, &str) {
    (&kind.group, &kind.plural, &kind.version)
}

/// All kinds, by group, version and plural.
pub(crate) struct Kinds {
    builtin: Sorted,
    custom: RwLock<Sorted>,
    /// Counts the changes of the custom kinds.
    generation: AtomicU64,
}

impl Default for Kinds {
    fn default() -> Self {
        let rows = resource_table::builtin().iter();
        Self {
            builtin: Sorted::new(rows.map(Kind::builtin)),
            custom: RwLock::default(),
            generation: AtomicU64::new(0),
        }
    }
}

impl Kinds {
    /// The kind of a path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let builtin = self.builtin.find(group, version, plural).cloned();
        builtin.or_else(|| self.custom.read().find(group, version, plural).cloned())
    }

    /// A built-in kind in its first version.
    pub(crate) fn builtin(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        let mut versions = self.builtin.versions(group, plural);
        versions.find(|kind| !kind.is_converted())
    }

    /// Every kind, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Kind>> {
        let custom = self.custom.read();
        self.builtin.0.iter().chain(&*custom.0).cloned().collect()
    }

    /// The kind under its other groups and versions.
    pub(crate) fn twins(&self, kind: &Kind) -> Vec<Arc<Kind>> {
        let custom = self.custom.read();
        let all = self.builtin.0.iter().chain(&*custom.0);
        let version = kind.api_version();
        let mut twins: Vec<_> = all
            .filter(|other| other.prefix == kind.prefix && other.api_version() != version)
            .cloned()
            .collect();
        twins.sort_by_key(|twin| twin.api_version());
        twins
    }

    /// Counts the changes of what is served.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The custom kinds.
    pub(crate) fn custom(&self) -> Vec<Arc<Kind>> {
        self.custom.read().0.to_vec()
    }

    /// Puts the custom kinds in place of those there were.
    pub(crate) fn set_custom(&self, kinds: Vec<Kind>) {
        *self.custom.write() = Sorted::new(kinds.into_iter());
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}
