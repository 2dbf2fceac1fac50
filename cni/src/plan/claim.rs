//! Elements that an owner claims in a table's sets and maps. Pure.
//!
//! A table's base objects are made when the first claim finds them missing. Every element carries
//! its owner in its comment, so that only the owner's DEL, or GC, removes it: not the DEL of an
//! earlier container that had the same address.

use keelson_netlink::Message;
use keelson_netlink::nft::{Data, Element, Family};

/// A table of ours: where it is, what it is made of.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Family.
    pub family: Family,
    /// Name.
    pub name: &'static str,
    /// Its sets and maps.
    pub sets: &'static [&'static str],
    /// Makes all base objects; does no harm where they exist.
    pub skeleton: fn() -> Vec<Message>,
}

/// One element to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Set or map.
    pub set: &'static str,
    /// Key and value; the comment names the owner.
    pub element: Element,
    /// What must exist before it.
    pub needs: Vec<Message>,
}

impl Claim {
    /// An element that needs nothing else.
    #[must_use]
    pub fn new(set: &'static str, key: Vec<u8>, data: Data, comment: &str) -> Self {
        Self {
            set,
            element: Element {
                key,
                data,
                comment: comment.to_owned(),
            },
            needs: Vec::new(),
        }
    }
}

/// Fields of a key or value, each padded to four bytes.
#[must_use]
pub fn concatenate(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(field);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// The first claim that is not held: its set and key are not there, or have another value or owner.
#[must_use]
pub fn first_missing<'a>(claims: &'a [Claim], held: &[(&str, Vec<Element>)]) -> Option<&'a Claim> {
    claims.iter().find(|claim| {
        let elements = held.iter().find(|(set, _)| *set == claim.set);
        !elements.is_some_and(|(_, elements)| elements.contains(&claim.element))
    })
}
