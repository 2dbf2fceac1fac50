//! What the API fills in where an object is silent.
//!
//! Each module holds the defaults of one kind. Applying defaults twice changes nothing.

mod fill;
pub mod pod;
mod volume;
