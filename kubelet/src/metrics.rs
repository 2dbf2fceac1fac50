//! Counters, gauges and histograms under upstream's names, and their Prometheus text.
//!
//! Every family is a static of [`names`]; recording costs a short read lock and atomic adds, and
//! nothing is allocated until a label set is seen for the first time. Usage of containers is not
//! kept here: it is read when asked for, see the `stats` module.

pub mod family;
pub mod names;
pub mod process;
pub mod record;
pub mod render;

pub use family::{Counter, Gauge, Histogram, Page};
