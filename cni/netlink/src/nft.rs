//! nf_tables: transactions of tables, chains, sets, maps, rules and elements. Pure but for
//! [`Firewall`], which carries them.
//!
//! The layers: [`expression`] is what a rule computes, [`object`] what a transaction adds or
//! removes, [`set`] sets and maps among them, [`element`] what those hold (with an owner's note, read
//! back from the kernel) and [`pack`] many elements in few messages.

pub mod element;
pub mod expression;
mod firewall;
pub mod object;
pub mod pack;
pub mod set;

pub use element::{Data, Element};
pub use expression::{Comparison, Expression, Register};
pub use firewall::Firewall;
pub use object::{BaseChain, ChainKind, Family, Hook};
pub use pack::Pack;
pub use set::{SetKind, Traits};
