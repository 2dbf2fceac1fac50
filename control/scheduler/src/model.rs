//! Plain values that scheduling decides on: pods and nodes with only what counts, texts interned,
//! amounts as whole numbers. Must not know how they come over the wire.

pub mod amounts;
pub mod labels;
pub mod node;
pub mod pod;
pub mod storage;
pub mod taint;

pub use amounts::{Amounts, Kind};
pub use labels::{Labels, NodeTerm, Requirement, Selector, Test};
pub use node::Node;
pub use pod::{Class, HostPort, Pod, PodKey, PodTerm, Spread, VolumeRef};
pub use taint::{Effect, Taint, Toleration};
