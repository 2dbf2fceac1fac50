//! Objects are judged, in upstream's order and words: metadata first, then the kind's own rules.
//!
//! An object comes in decoded and with defaults. Rules that need other objects are not here.

pub mod admission;
mod at;
pub mod core;
pub mod definitions;
pub mod devices;
pub mod events;
pub mod jobs;
mod metadata;
pub mod network;
pub mod policy;
pub mod quota;
pub mod rbac;
mod rules;
mod selector;
pub mod services;
pub mod signing;
pub mod status;
pub mod storage;
pub mod volumes;
pub mod workloads;

use keelson_api::validate::field::ErrorList;
use serde_json::Value;

use crate::resource_table::Resource;
use at::At;

/// Judges a new object.
#[must_use]
pub fn create(row: &Resource, object: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    metadata::check(row, object, &mut errors);
    (row.strategy.validate)(object, &mut errors);
    errors
}

/// Judges a change: the new version on its own, and what may not change.
#[must_use]
pub fn update(row: &Resource, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    metadata::check_change(new, old, &mut errors);
    metadata::check(row, new, &mut errors);
    (row.strategy.validate)(new, &mut errors);
    (row.strategy.validate_update)(new, old, &mut errors);
    errors
}

/// Judges a change of status.
#[must_use]
pub fn status(row: &Resource, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    metadata::check_change(new, old, &mut errors);
    (row.strategy.validate_status)(new, old, &mut errors);
    errors
}

/// Judges a change through a path of the object, by the kind's rules alone: `subresource` is empty
/// for the object's own path. What may change differs from path to path.
pub fn change_rules(
    row: &Resource,
    subresource: &str,
    new: &Value,
    old: &Value,
    errors: &mut ErrorList,
) {
    let pods = row.group.is_empty() && row.plural == "pods";
    match subresource {
        "status" => (row.strategy.validate_status)(new, old, errors),
        "ephemeralcontainers" if pods => core::ephemeral_change(new, old, errors),
        "resize" if pods => core::resize_change(new, old, errors),
        "approval" => signing::approval(new, old, errors),
        _ => {
            (row.strategy.validate)(new, errors);
            (row.strategy.validate_update)(new, old, errors);
        }
    }
}

/// Says that fields may not change.
fn immutable(new: &Value, old: &Value, paths: &[&str], errors: &mut ErrorList) {
    for path in paths {
        let (new, old) = (At::root(new).at(path), At::root(old).at(path));
        if new.value != old.value {
            errors.invalid(&new.path, new.value.clone(), "field is immutable");
        }
    }
}

#[cfg(test)]
mod tests;
