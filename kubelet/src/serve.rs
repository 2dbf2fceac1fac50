//! The HTTP servers of the kubelet: who may ask what, and who answers.
//!
//! Everything that a server may know of the node comes through [`view::NodeView`]; nothing here
//! decides about pods.

pub mod body;
pub mod query;
pub mod route;
pub mod view;
