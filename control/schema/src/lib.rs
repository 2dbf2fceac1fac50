//! What the API serves, and how it treats what it is sent: resources, types, defaults,
//! validation, patches, ownership of fields, printing.
//!
//! Everything here is pure: a request's object comes in as a `serde_json::Value`, an object or a
//! list of problems goes out. Nothing in this crate reads a clock, a file or a socket; time comes
//! in as a value. Built-in kinds and custom ones go through the same engine.

pub mod apply;
pub mod columns;
pub mod convert;
pub mod custom;
pub mod decode;
pub mod defaults;
pub mod discovery;
pub mod openapi;
pub mod patch;
mod prepare;
pub mod resource_table;
pub mod scale;
pub mod schema;
pub mod strategy;
pub mod table;
pub mod validate;
pub mod write;
