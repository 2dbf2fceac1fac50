//! The shared vocabulary of the API: quantities, defaults, validation, QoS.
//!
//! Everything here is pure: values in, values out. Nothing in this crate reads a clock, a file
//! or a socket, so that the node, the control plane and the tools decide the same way.

pub mod certificate_subject;
pub mod decode;
pub mod defaults;
pub mod duration;
pub mod expand;
pub mod field_path;
pub mod fields;
pub mod go_quote;
pub mod image_reference;
pub mod qos;
pub mod quantity;
pub mod quota;
pub mod resources;
pub mod selector;
pub mod status_error;
pub mod validate;
pub mod yaml;

/// The types of the API group `""`, version `v1`.
pub use k8s_openapi::api::core::v1 as core;
/// The types every API object shares: metadata, selectors, times, status.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

/// A number or a name, as ports are written.
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A quantity as it travels in an object: text that has not been understood yet.
pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
