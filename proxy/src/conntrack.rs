//! Connection tracking: what UDP flows are stale ([`plan`], pure) and forgetting them.

pub mod apply;
pub mod plan;
