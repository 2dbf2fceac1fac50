//! What crosses the process boundary: environment, configuration, results and error codes.

pub mod config;
pub mod env;
pub mod error_code;
pub mod result;
mod text;
pub mod version;
