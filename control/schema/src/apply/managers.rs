//! `metadata.managedFields`: the entries, how they are told apart, in which order they stand.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields_v1::{from_fields_v1, to_fields_v1};
use super::set::Set;

/// How many entries of updates there may be before the oldest become one.
const UPDATERS_AT_MOST: usize = 10;
/// The owner of what those did.
const ANCIENT: &str = "ancient-changes";

/// How an owner wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// By server-side apply: it owns what it last applied.
    Apply,
    /// By any other write: it owns what it changed.
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells owners apart. The version is empty for appliers: they are the same in any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    pub(super) operation: Operation,
    pub(super) manager: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Identity {
    pub(super) fn new(
        operation: Operation,
        manager: &str,
        version: &str,
        subresource: &str,
    ) -> Self {
        let version = match operation {
            Operation::Apply => "",
            Operation::Update => version,
        };
        Self {
            operation,
            manager: manager.to_owned(),
            api_version: version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The owner as conflicts name it.
    pub(super) fn display(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// What an owner owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version that the paths are in.
    pub api_version: String,
    /// When it last changed something.
    pub time: Option<Timestamp>,
    /// The paths.
    pub set: Set,
}

/// All owners of an object's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(pub(super) BTreeMap<Identity, Entry>);

impl Managers {
    /// Reads `managedFields`; malformed ones count as none, as upstream has it.
    #[must_use]
    pub fn read(entries: Option<&Value>) -> Self {
        let entries = entries.and_then(Value::as_array).into_iter().flatten();
        let read: Option<BTreeMap<_, _>> = entries.map(read_entry).collect();
        Self(read.unwrap_or_default())
    }

    /// Whether nobody owns anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The owners by name, with what they own.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Operation, &Entry)> {
        self.0
            .iter()
            .map(|(id, entry)| (id.manager.as_str(), id.operation, entry))
    }

    /// Writes `managedFields`: appliers first, then by time and name.
    #[must_use]
    pub fn write(&self) -> Value {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a.operation, x.time.map(Timestamp::as_second), *a).cmp(&(
                b.operation,
                y.time.map(Timestamp::as_second),
                *b,
            ))
        });
        entries
            .into_iter()
            .map(|(id, entry)| write_entry(id, entry))
            .collect()
    }

    /// Merges the oldest updaters into one where there are too many.
    pub(super) fn cap(&mut self) {
        let is_update = |id: &&Identity| id.operation == Operation::Update;
        let mut updaters: Vec<Identity> = self.0.keys().filter(is_update).cloned().collect();
        if updaters.len() <= UPDATERS_AT_MOST {
            return;
        }
        updaters.sort_by_key(|id| (self.0.get(id).and_then(|entry| entry.time), id.clone()));
        let surplus = updaters.len() - UPDATERS_AT_MOST + 1;
        for id in updaters.into_iter().take(surplus) {
            let Some(entry) = self.0.remove(&id) else {
                continue;
            };
            let ancient = Identity::new(Operation::Update, ANCIENT, &entry.api_version, "");
            match self.0.get_mut(&ancient) {
                Some(old) => {
                    old.set = old.set.union(&entry.set);
                    old.time = old.time.max(entry.time);
                }
                None => {
                    self.0.insert(ancient, entry);
                }
            }
        }
    }
}

fn read_entry(entry: &Value) -> Option<(Identity, Entry)> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let api_version = text("apiVersion");
    let set = match entry.get("fieldsV1") {
        None | Some(Value::Null) => Set::default(),
        Some(fields) => from_fields_v1(fields)?,
    };
    let time = text("time").parse().ok();
    let id = Identity::new(operation, text("manager"), api_version, text("subresource"));
    Some((
        id,
        Entry {
            api_version: api_version.to_owned(),
            time,
            set,
        },
    ))
}

fn write_entry(id: &Identity, entry: &Entry) -> Value {
    let mut value = json!({
        "manager": id.manager,
        "operation": id.operation.as_str(),
        "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(&entry.set),
    });
    if let Some(time) = entry.time {
        value["time"] = json!(crate::decode::format_time(time, false));
    }
    if !id.subresource.is_empty() {
        value["subresource"] = json!(id.subresource);
    }
    value
}

/// Whether two lists of owners say the same, whenever the owners last wrote.
#[must_use]
pub fn same_managers(a: Option<&Value>, b: Option<&Value>) -> bool {
    let timeless = |entries: Option<&Value>| {
        let mut managers = Managers::read(entries);
        managers.0.values_mut().for_each(|entry| entry.time = None);
        managers
    };
    a == b || timeless(a) == timeless(b)
}
