//! The kinds that are served: the rows of the resource table with what this server derives from
//! them, and the rows that custom resources add.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use keelson_schema::resource_table::{self, Resource};
use parking_lot::RwLock;

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
    Custom(Box<Resource>),
}

impl Deref for Kind {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        match &self.row {
            Row::Builtin(row) => row,
            Row::Custom(row) => row,
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
    pub(crate) fn custom(row: Resource) -> Self {
        let prefix = format!("{ROOT}{}/{}/", row.group, row.plural);
        Self::new(Row::Custom(Box::new(row)), prefix)
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

    /// Whether objects are kept in another version than this.
    pub(crate) fn is_converted(&self) -> bool {
        self.storage_version() != (&*self.group, &*self.version)
    }
}

type Name = (Cow<'static, str>, Cow<'static, str>, Cow<'static, str>);

/// All kinds, by group, version and plural.
pub(crate) struct Kinds {
    builtin: HashMap<Name, Arc<Kind>>,
    custom: RwLock<HashMap<Name, Arc<Kind>>>,
}

impl Default for Kinds {
    fn default() -> Self {
        let rows = resource_table::builtin().iter();
        let name = |row: &Resource| (row.group.clone(), row.version.clone(), row.plural.clone());
        Self {
            builtin: rows
                .map(|row| (name(row), Arc::new(Kind::builtin(row))))
                .collect(),
            custom: RwLock::default(),
        }
    }
}

impl Kinds {
    /// The kind of a path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let name = (
            Cow::Owned(group.to_owned()),
            Cow::Owned(version.to_owned()),
            Cow::Owned(plural.to_owned()),
        );
        let builtin = self.builtin.get(&name).cloned();
        builtin.or_else(|| self.custom.read().get(&name).cloned())
    }

    /// A built-in kind in its first version.
    pub(crate) fn builtin(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        let of_group = self.builtin.values().filter(|kind| kind.group == group);
        let mut found = of_group.filter(|kind| kind.plural == plural && !kind.is_converted());
        found.next()
    }

    /// Every kind, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Kind>> {
        let custom = self.custom.read();
        self.builtin
            .values()
            .chain(custom.values())
            .cloned()
            .collect()
    }

    /// The custom kinds.
    pub(crate) fn custom(&self) -> Vec<Arc<Kind>> {
        self.custom.read().values().cloned().collect()
    }

    /// Puts the custom kinds in place of those there were.
    pub(crate) fn set_custom(&self, kinds: Vec<Kind>) {
        let kinds = kinds.into_iter().map(|kind| {
            let name = (
                kind.group.clone(),
                kind.version.clone(),
                kind.plural.clone(),
            );
            (name, Arc::new(kind))
        });
        *self.custom.write() = kinds.collect();
    }
}
