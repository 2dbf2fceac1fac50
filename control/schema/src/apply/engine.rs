//! Writes and who owns what after them.
//!
//! `update` follows any write but an apply: the writer owns what it changed. `apply` merges a
//! configuration: the applier owns what it says, and what it no longer says goes unless somebody
//! else owns it. Either gives the object with its new `managedFields`; decoding, defaults and
//! validation come after.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::managers::{Entry, Identity, Managers, Operation};
use super::set::Set;
use super::typed::{Comparison, Typed};
use super::{ApplyError, Conflict, path};
use crate::resource_table::Resource;

/// The versions of a kind: their types, and an object in each.
pub trait Versions {
    /// The type in a version; none where the version is no longer served.
    fn typed(&self, api_version: &str) -> Option<Typed<'_>>;

    /// An object in another version.
    fn convert(&self, object: &Value, api_version: &str) -> Option<Value>;
}

impl Versions for Resource {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        let (group, version) = crate::resource_table::split_api_version(api_version);
        let row = crate::resource_table::by_kind(group, version, &self.kind)?;
        let schema = crate::schema::Schema::builtin();
        Some(Typed {
            schema,
            root: schema.named(&row.type_name)?,
        })
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        crate::convert::convert(object, api_version)
    }
}

/// Who writes, in which version, when.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// The parameter `fieldManager`, or what stands for it.
    pub manager: &'a str,
    /// The version of the request's path.
    pub api_version: &'a str,
    /// The subresource of the request's path; else empty.
    pub subresource: &'a str,
    /// Fields that this path does not write, and nobody owns through it.
    pub ignored: &'a Set,
    /// The time.
    pub now: Timestamp,
}

impl Writer<'_> {
    fn identity(&self, operation: Operation) -> Identity {
        Identity::new(operation, self.manager, self.api_version, self.subresource)
    }
}

/// Fields that a path does not write: the status on the object's own path, all but the status and
/// the metadata on that of the status. For [`Writer::ignored`].
#[must_use]
pub fn ignored_fields(row: &Resource, subresource: &str) -> Set {
    match subresource {
        "" if row.has_status() && !row.strategy.keeps_status => Set::of_fields(&[&["status"]]),
        "status" => Set::of_fields(&[&["spec"]]),
        _ => Set::default(),
    }
}

/// Fields that nobody owns: what names the object, and what the server sets.
const OWNERLESS: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// The owners after a write that was no apply, as the object's new `managedFields`.
///
/// `live` is the object before, none for a new one. An object that nobody is known to own, and
/// that is not new, stays that way until it is first applied.
#[must_use]
pub fn update(
    versions: &dyn Versions,
    live: Option<&Value>,
    mut new: Value,
    writer: &Writer<'_>,
) -> Value {
    let given = take_managers(&mut new);
    let known = live.and_then(|live| live.pointer("/metadata/managedFields"));
    let mut managers = owners(given.as_ref(), known, writer);
    let reset = given.as_ref().is_some_and(is_reset);
    if reset || (live.is_some() && managers.is_empty()) {
        return new;
    }
    // That the owners themselves are gone from the new one changes nothing: nobody owns them.
    let nothing = empty();
    let change = Change {
        versions,
        writer,
        before: live.unwrap_or(&nothing),
        new: &new,
    };
    // With force there are no conflicts.
    let Ok(comparison) = change.take_over(&mut managers, None, true) else {
        return new;
    };
    // What is ignored is not in the comparison.
    let changed = strip(&comparison.modified.joined(comparison.added));
    if !changed.is_empty() {
        let id = writer.identity(Operation::Update);
        let entry = managers.0.entry(id).or_insert_with(|| Entry {
            api_version: writer.api_version.to_owned(),
            time: None,
            set: Set::default(),
        });
        entry.set = entry.set.union(&changed);
        entry.time = Some(writer.now);
    }
    managers.cap();
    finish(new, &managers)
}

/// The object and its owners after a configuration was applied.
///
/// # Errors
/// The configuration is malformed or of another version, or others own what it changes and
/// `force` is not set.
pub fn apply(
    versions: &dyn Versions,
    live: Option<&Value>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    let typed = check_config(versions, config, writer)?;
    let mut before = live.cloned().unwrap_or_else(empty);
    let mut managers = Managers::read(take_managers(&mut before).as_ref());
    if managers.is_empty() && live.is_some() {
        first_apply(typed, &before, &mut managers, writer);
    }
    let merged = typed.merge(&before, config);
    let id = writer.identity(Operation::Apply);
    let last = managers.0.get(&id).cloned();
    let set = strip(&typed.field_set(config).recursive_difference(writer.ignored));
    let entry = Entry {
        api_version: writer.api_version.to_owned(),
        time: last.as_ref().and_then(|last| last.time),
        set,
    };
    managers.0.insert(id.clone(), entry);
    let new = match &last {
        Some(last) if !last.set.is_empty() => prune(versions, &merged, &managers, last, writer),
        _ => merged,
    };
    let change = Change {
        versions,
        writer,
        before: &before,
        new: &new,
    };
    change.take_over(&mut managers, Some(&id), force)?;
    let same = last.as_ref().map(|last| &last.set) == managers.0.get(&id).map(|entry| &entry.set);
    if let Some(entry) = managers.0.get_mut(&id)
        && !(same && new == before)
    {
        entry.time = Some(writer.now);
    }
    managers.cap();
    Ok(finish(new, &managers))
}

fn check_config<'v>(
    versions: &'v dyn Versions,
    config: &Value,
    writer: &Writer<'_>,
) -> Result<Typed<'v>, ApplyError> {
    let found = config
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wrong = || ApplyError::Version {
        found: found.to_owned(),
        expected: writer.api_version.to_owned(),
    };
    if found != writer.api_version {
        return Err(wrong());
    }
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null() && *m != Value::Array(vec![]))
    {
        return Err(ApplyError::ManagedFields);
    }
    let typed = versions.typed(writer.api_version).ok_or_else(wrong)?;
    typed.validate(config).map_err(ApplyError::Shape)?;
    Ok(typed)
}

/// What was there before anybody applied anything has an owner of its own.
fn first_apply(typed: Typed<'_>, before: &Value, managers: &mut Managers, writer: &Writer<'_>) {
    let id = Identity::new(
        Operation::Update,
        "before-first-apply",
        writer.api_version,
        "",
    );
    let all = typed.compare(&empty(), before).without(writer.ignored);
    let set = strip(&all.modified.union(&all.added));
    let api_version = writer.api_version.to_owned();
    managers.0.insert(
        id,
        Entry {
            api_version,
            time: Some(writer.now),
            set,
        },
    );
}

/// A write: an object before and after it, and who writes.
struct Change<'a> {
    versions: &'a dyn Versions,
    writer: &'a Writer<'a>,
    before: &'a Value,
    new: &'a Value,
}

impl Change<'_> {
    /// Takes changed and removed fields from all owners but one. Without `force`, changed fields
    /// of others are conflicts.
    fn take_over(
        &self,
        managers: &mut Managers,
        me: Option<&Identity>,
        force: bool,
    ) -> Result<Comparison, ApplyError> {
        let mut comparisons: BTreeMap<String, Option<Comparison>> = BTreeMap::new();
        let own = self.writer.api_version;
        comparisons.insert(own.to_owned(), self.compare_in(own));
        let mut conflicts = Vec::new();
        let mut kept = BTreeMap::new();
        for (id, mut entry) in std::mem::take(&mut managers.0) {
            if Some(&id) != me {
                // What was written in a version that is gone has no owner any more.
                let version = &entry.api_version;
                if !comparisons.contains_key(version) {
                    comparisons.insert(version.clone(), self.compare_in(version));
                }
                let Some(Some(comparison)) = comparisons.get(version) else {
                    continue;
                };
                let modified = entry.set.intersection(&comparison.modified);
                let contested = modified.joined(entry.set.intersection(&comparison.added));
                conflicts.extend(conflicts_with(&id, &contested));
                entry.set = entry
                    .set
                    .difference(&contested)
                    .difference(&comparison.removed);
            }
            if !entry.set.is_empty() {
                kept.insert(id, entry);
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        managers.0 = kept;
        Ok(comparisons.remove(own).flatten().unwrap_or_default())
    }

    fn compare_in(&self, version: &str) -> Option<Comparison> {
        let typed = self.versions.typed(version)?;
        let comparison = if version == self.writer.api_version {
            typed.compare(self.before, self.new)
        } else {
            let convert = |object| self.versions.convert(object, version);
            typed.compare(&convert(self.before)?, &convert(self.new)?)
        };
        if self.writer.ignored.is_empty() {
            return Some(comparison);
        }
        Some(comparison.without(self.writer.ignored))
    }
}

fn conflicts_with(id: &Identity, contested: &Set) -> Vec<Conflict> {
    let manager = id.display();
    let conflict = |field: &path::Path| Conflict {
        manager: manager.clone(),
        path: path::display(field),
    };
    contested.paths().iter().map(conflict).collect()
}

/// Takes out what the applier used to say, does not say any more, and nobody else owns.
fn prune(
    versions: &dyn Versions,
    merged: &Value,
    managers: &Managers,
    last: &Entry,
    writer: &Writer<'_>,
) -> Value {
    let version = last.api_version.as_str();
    let Some((typed, here)) = in_version(versions, merged, version, writer) else {
        return merged.clone();
    };
    let parents = |set: &Set| set.with_parents(typed.schema, Some(typed.root));
    let pruned = typed.remove(&here, &parents(&last.set));
    let pruned = add_back_owned(versions, &here, pruned, managers, version);
    let (left, all) = (
        parents(&typed.field_set(&pruned)),
        parents(&typed.field_set(&here)),
    );
    let gone = all.difference(&left).intersection(&parents(&last.set));
    let result = typed.remove(&here, &gone);
    if version == writer.api_version {
        return result;
    }
    versions
        .convert(&result, writer.api_version)
        .unwrap_or_else(|| merged.clone())
}

fn in_version<'v>(
    versions: &'v dyn Versions,
    object: &Value,
    version: &str,
    writer: &Writer<'_>,
) -> Option<(Typed<'v>, Value)> {
    let typed = versions.typed(version)?;
    if version == writer.api_version {
        return Some((typed, object.clone()));
    }
    Some((typed, versions.convert(object, version)?))
}

/// Puts back what others own, version by version.
fn add_back_owned(
    versions: &dyn Versions,
    merged: &Value,
    pruned: Value,
    managers: &Managers,
    version: &str,
) -> Value {
    let mut owned: BTreeMap<&str, Set> = BTreeMap::new();
    for entry in managers.0.values() {
        let set = owned.entry(&entry.api_version).or_default();
        *set = set.union(&entry.set);
    }
    let mut result = pruned;
    for (theirs, set) in owned {
        let convert = |object: &Value, from: &str, to: &str| {
            if from == to {
                Some(object.clone())
            } else {
                versions.convert(object, to)
            }
        };
        let Some(typed) = versions.typed(theirs) else {
            continue;
        };
        let (Some(all), Some(left)) = (
            convert(merged, version, theirs),
            convert(&result, version, theirs),
        ) else {
            continue;
        };
        let parents = |set: &Set| set.with_parents(typed.schema, Some(typed.root));
        let keep = parents(&typed.field_set(&left)).union(&parents(&set));
        let gone = parents(&typed.field_set(&all)).difference(&keep);
        let back = typed.remove(&all, &gone);
        result = convert(&back, theirs, version).unwrap_or(result);
    }
    result
}

/// A set without the fields that nobody owns.
fn strip(set: &Set) -> Set {
    static FIELDS: LazyLock<Set> = LazyLock::new(|| Set::of_fields(OWNERLESS));
    set.difference(&FIELDS)
}

/// The owners to start from: those that the request names, where it may, else the live ones.
fn owners(given: Option<&Value>, live: Option<&Value>, writer: &Writer<'_>) -> Managers {
    if writer.subresource.is_empty() {
        let managers = Managers::read(given);
        if !managers.is_empty() {
            return managers;
        }
    }
    Managers::read(live)
}

/// Whether a request asks to forget all owners: a list of one empty entry.
fn is_reset(entries: &Value) -> bool {
    *entries == serde_json::json!([{}])
}

fn empty() -> Value {
    Value::Object(Map::new())
}

fn take_managers(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")?
        .as_object_mut()?
        .remove("managedFields")
}

fn finish(mut object: Value, managers: &Managers) -> Value {
    if !managers.is_empty()
        && let Some(fields) = object.as_object_mut()
    {
        let metadata = fields.entry("metadata").or_insert_with(empty);
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("managedFields".to_owned(), managers.write());
        }
    }
    object
}
