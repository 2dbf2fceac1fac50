//! What quotas count, and how much of it an object uses: for those who let writes in, and for those
//! who count afterwards.

use serde_json::Value;

use crate::fields;
use crate::quantity::Quantity;
use crate::resources::Amounts;

mod scope;
mod usage;

pub use scope::matches;
pub use usage::{counts, missing, of, subject_of};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The API group; empty for the core.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
}

/// The amounts in the map at a path. What can't be read is left out.
#[must_use]
pub fn amounts(object: &Value, path: &str) -> Amounts {
    let pairs = fields::text_map(object, path).into_iter();
    pairs
        .filter_map(|(name, text)| Some((name, Quantity::parse(&text).ok()?)))
        .collect()
}
