//! Server-side apply: who owns which field, what an applier may change, what goes when nobody
//! owns it any more. The rules are those of upstream's structured merge.
//!
//! Everything works on trees in one version, with the schema of that version; owners that wrote
//! in other versions are compared in theirs, through [`Versions`].

mod engine;
mod fields_v1;
mod last_applied;
mod managers;
mod path;
mod set;
mod typed;

pub use engine::{Versions, Writer, ignored_fields, update};
pub use fields_v1::{from_fields_v1, to_fields_v1};
pub use last_applied::apply;
pub use managers::{Entry, Managers, Operation, same_managers};
pub use path::{Element, Path};
pub use set::Set;
pub use typed::{Comparison, Typed};

/// Two owners want different values of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner, as messages name it: `"kubectl" using apps/v1`.
    pub manager: String,
    /// The field.
    pub path: String,
}

/// Why a configuration could not be applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApplyError {
    /// Others own fields that it changes: status reason `Conflict`.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// It is not of the version it was sent to: status reason `BadRequest`.
    #[error(
        "incorrect version specified in apply patch. Specified patch version: {found}, expected: {expected}"
    )]
    Version {
        /// What it says.
        found: String,
        /// What the request's path says.
        expected: String,
    },
    /// It names owners itself: status reason `BadRequest`.
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
    /// It is not in the shape of its kind.
    #[error("failed to create typed patch object: {0}")]
    Shape(String),
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [Conflict { manager, path }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
    }
    let mut text = format!("Apply failed with {} conflicts:", conflicts.len());
    let mut last = "";
    for Conflict { manager, path } in conflicts {
        if manager != last {
            let gap = if last.is_empty() { ' ' } else { '\n' };
            text.push_str(&format!("{gap}conflicts with {manager}:"));
            last = manager;
        }
        text.push_str(&format!("\n- {path}"));
    }
    text
}

#[cfg(test)]
mod tests;
