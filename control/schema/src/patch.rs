//! Patches: JSON patches, merge patches, strategic merge patches.
//!
//! A patch changes a tree. Whether the result is an object of the kind is for decoding and
//! validation to say.

pub mod json;
pub mod merge;
pub mod strategic;

/// Why a patch could not be applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// The patch is no patch: status reason `BadRequest`.
    #[error("{0}")]
    Malformed(String),
    /// The patch does not apply to this object: status reason `Invalid`.
    #[error("{0}")]
    Inapplicable(String),
    /// The patch has too many parts: status reason `RequestEntityTooLarge`.
    #[error("the allowed maximum operations in a JSON patch is {limit}, got {count}")]
    TooLarge {
        /// How many parts there may be.
        limit: usize,
        /// How many there are.
        count: usize,
    },
}

impl PatchError {
    fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    fn inapplicable(text: impl Into<String>) -> Self {
        Self::Inapplicable(text.into())
    }
}
