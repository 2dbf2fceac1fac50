//! Sets and maps as objects of a transaction: their key, what they hold and how. Pure.

use super::object::{Family, Type, header};
use crate::message::{CREATE, Message};

const NEWSET: u16 = (10 << 8) | 9;

const FLAG_INTERVAL: u32 = 0x4;
const FLAG_MAP: u32 = 0x8;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_DYNAMIC: u32 = 0x20;
const FLAG_CONCATENATION: u32 = 0x80;
const TYPE_VERDICT: u32 = 0xffff_ff00;

/// What the elements of a set carry beside their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetKind {
    /// Nothing.
    Set,
    /// A value of these types, concatenated.
    Map(Vec<Type>),
    /// A verdict.
    VerdictMap,
}

/// What else a set can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Traits {
    /// Exact keys, changed by transactions alone.
    #[default]
    Plain,
    /// Ranges of concatenated keys; the last one of each element is given too.
    Ranges,
    /// Rules add elements, which time out; at most so many.
    Dynamic(u32),
}

/// Adds a set or map; nothing happens where it exists. `id` is unique within the transaction.
#[must_use]
pub fn add_set(
    family: Family,
    table: &str,
    set: &str,
    id: u32,
    key: &[Type],
    kind: &SetKind,
) -> Message {
    add_set_with((family, table, set), id, key, kind, Traits::Plain)
}

/// Adds a set or map with traits to the table; nothing happens where it exists.
#[must_use]
pub fn add_set_with(
    (family, table, set): (Family, &str, &str),
    id: u32,
    key: &[Type],
    kind: &SetKind,
    traits: Traits,
) -> Message {
    let mut body = header(family);
    body.text(1, table)
        .text(2, set)
        .be32(3, flags(kind, traits))
        .be32(4, type_number(key))
        .be32(5, padded_length(key));
    match kind {
        SetKind::Set => {}
        SetKind::Map(value) => {
            body.be32(6, type_number(value))
                .be32(7, padded_length(value));
        }
        SetKind::VerdictMap => {
            body.be32(6, TYPE_VERDICT);
        }
    }
    match traits {
        Traits::Plain => {}
        Traits::Ranges => {
            body.nested(9, |description| {
                description.nested(2, |fields| {
                    for part in key {
                        fields.nested(1, |field| {
                            field.be32(1, part.length());
                        });
                    }
                });
            });
        }
        Traits::Dynamic(size) => {
            body.nested(9, |description| {
                description.be32(1, size);
            });
        }
    }
    body.be32(10, id).attr(13, &byte_orders(key, kind));
    Message::new(NEWSET, CREATE, body)
}

fn flags(kind: &SetKind, traits: Traits) -> u32 {
    let map = if *kind == SetKind::Set { 0 } else { FLAG_MAP };
    map | match traits {
        Traits::Plain => 0,
        Traits::Ranges => FLAG_INTERVAL | FLAG_CONCATENATION,
        Traits::Dynamic(_) => FLAG_TIMEOUT | FLAG_DYNAMIC,
    }
}

/// Notes for `nft list`, which shows names and numbers rightly only where it knows the byte order.
fn byte_orders(key: &[Type], kind: &SetKind) -> Vec<u8> {
    let mut note = byte_order(0, key);
    if let SetKind::Map(value) = kind {
        note.extend(byte_order(1, value));
    }
    note
}

fn byte_order(of: u8, types: &[Type]) -> Vec<u8> {
    let hosts = matches!(types, [Type::InterfaceName] | [Type::Mark]);
    let order: u32 = if hosts { 1 } else { 2 };
    let mut note = vec![of, 4];
    note.extend_from_slice(&order.to_ne_bytes());
    note
}

fn type_number(types: &[Type]) -> u32 {
    types.iter().fold(0, |sum, t| (sum << 6) | t.number())
}

fn padded_length(types: &[Type]) -> u32 {
    match types {
        [one] => one.length(),
        many => many.iter().map(|t| t.length().next_multiple_of(4)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_map_is_encoded_so() {
        let message = add_set_with(
            (Family::Ip, "t", "s"),
            3,
            &[Type::Ipv4, Type::Port],
            &SetKind::Map(vec![Type::Mark]),
            Traits::Dynamic(16),
        );
        assert_eq!(
            hex::encode(&message.body),
            "02000000\
             0600010074000000\
             0600020073000000\
             0800030000000038\
             08000400000001cd\
             0800050000000008\
             0800060000000013\
             0800070000000004\
             0c000980\
             0800010000000010\
             08000a0000000003\
             10000d00000402000000010401000000"
        );
    }

    #[test]
    fn ranges_name_the_length_of_each_field() {
        let key = [Type::Ipv4, Type::Port];
        let message = add_set_with(
            (Family::Ip, "t", "s"),
            1,
            &key,
            &SetKind::Set,
            Traits::Ranges,
        );
        let text = hex::encode(&message.body);
        assert!(text.contains(
            "20000980\
             1c000280\
             0c000180\
             0800010000000004\
             0c000180\
             0800010000000002"
        ));
        assert!(text.contains("0800030000000084"));
    }
}
