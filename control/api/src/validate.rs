//! What the API refuses, and what it says then.
//!
//! Each module judges one kind or one part of it. Objects come in decoded and with defaults; all
//! problems are reported, each with the path of its field.

pub mod field;
pub mod meta;
pub mod names;
pub mod pod;
