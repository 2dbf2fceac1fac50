//! The cluster's DNS, on every node: answers for Services out of what the proxy knows anyway, asks
//! others about the rest and keeps what they say.
//!
//! [`zone`] is kept up to date by who watches; [`resolve`] takes one question to its answer; both are
//! pure, as are [`wire`], [`answer`] and [`cache`]. [`serve`] has the sockets and [`forward`] asks
//! other servers, on a thread of their own. [`link`] holds the address at which pods ask.

pub mod answer;
pub mod cache;
pub mod flags;
pub mod forward;
pub mod host;
pub mod link;
pub mod metrics;
pub mod name;
pub mod resolve;
pub mod serve;
pub mod settings;
pub mod wire;
pub mod zone;

pub use name::Name;
pub use settings::Settings;
pub use zone::{Named, Zone};
