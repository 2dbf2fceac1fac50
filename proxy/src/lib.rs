//! kube-proxy: makes Services reachable through the kernel's packet filter.
//!
//! [`wire`] decodes what the API says of Services and EndpointSlices into [`model`]; [`compile`]
//! turns one Service with its endpoints into rules that no backend is named in; [`diff`] keeps the
//! rules of all Services and says what a change costs; a [`backend`] renders (pure) and applies.
//! A changed Service costs one Service at every step, whatever their number.

pub mod backend;
pub mod compile;
pub mod conntrack;
pub mod diff;
pub mod model;
pub mod wire;
