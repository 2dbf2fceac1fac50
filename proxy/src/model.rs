//! The values everything else speaks of: what comes in ([`service`], [`endpoint`], [`node`]) and
//! the rules that come out ([`rule_set`]). Pure; knows no backend and no JSON.

pub mod endpoint;
pub mod node;
pub mod rule_set;
pub mod service;

pub use endpoint::{EndpointSlice, SliceEndpoint, SlicePort};
pub use node::{LocalDetection, NodePortAddresses, NodeRules, NodeView};
pub use rule_set::{Endpoint, Entrance, Policy, PortRules, ServiceRules, Verdict};
pub use service::{Protocol, Service, ServiceKey, ServicePort};
