//! Server-side apply.
use serde_json::Value;

/// x
pub fn same_managers(a: Option<&Value>, b: Option<&Value>) -> bool {
    a == b
}
