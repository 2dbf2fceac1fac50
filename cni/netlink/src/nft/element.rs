//! Elements of sets and maps: written with a comment that names their owner, and read back. Pure.

use super::expression::Verdict;
use super::object::{Family, header};
use crate::message::{CREATE, DUMP, EXCL, Message};
use crate::wire::{attributes, find, text};

const SUBSYSTEM: u16 = 10 << 8;
pub(super) const NEWSETELEM: u16 = SUBSYSTEM | 12;
const GETSETELEM: u16 = SUBSYSTEM | 13;
pub(super) const DELSETELEM: u16 = SUBSYSTEM | 14;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEM: u16 = 1;
const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const ELEM_USERDATA: u16 = 6;
pub(super) const ELEM_KEY_END: u16 = 10;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
const COMMENT_KIND: u8 = 0;
const COMMENT_MAX: usize = 127;

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Nothing: an element of a set.
    None,
    /// Bytes, each field padded to four.
    Value(Vec<u8>),
    /// A jump to a chain.
    Jump(String),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key, each field padded to four bytes (a single field is not padded).
    pub key: Vec<u8>,
    /// What the map has for it.
    pub data: Data,
    /// The owner's note, shown by `nft list`; at most 127 bytes are kept.
    pub comment: String,
}

/// Adds elements; with `exclusive` it fails where a key exists.
#[must_use]
pub fn add(
    family: Family,
    table: &str,
    set: &str,
    elements: &[Element],
    exclusive: bool,
) -> Message {
    let flags = if exclusive { CREATE | EXCL } else { CREATE };
    message(NEWSETELEM, flags, family, table, set, elements, true)
}

/// Removes elements by key; fails where one does not exist.
#[must_use]
pub fn delete(family: Family, table: &str, set: &str, elements: &[Element]) -> Message {
    message(DELSETELEM, 0, family, table, set, elements, false)
}

/// Asks for all elements.
#[must_use]
pub fn list(family: Family, table: &str, set: &str) -> Message {
    message(GETSETELEM, DUMP, family, table, set, &[], false)
}

/// An element as the kernel lists it, without a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a> {
    /// The key, each field padded to four bytes.
    pub key: &'a [u8],
    /// The last key of a range.
    pub end: Option<&'a [u8]>,
    /// What a map has for it, unless that is a verdict.
    pub value: Option<&'a [u8]>,
}

/// Looks at the elements of one answer.
pub fn views(message: &Message) -> impl Iterator<Item = View<'_>> {
    let list = message.body.get(4..).and_then(|a| find(a, LIST_ELEMENTS));
    attributes(list.unwrap_or_default()).filter_map(|(_, element)| {
        Some(View {
            key: find(find(element, ELEM_KEY)?, DATA_VALUE)?,
            end: find(element, ELEM_KEY_END).and_then(|end| find(end, DATA_VALUE)),
            value: find(element, ELEM_DATA).and_then(|data| find(data, DATA_VALUE)),
        })
    })
}

/// Reads the elements out of one answer.
#[must_use]
pub fn decode(message: &Message) -> Vec<Element> {
    let list = message.body.get(4..).and_then(|a| find(a, LIST_ELEMENTS));
    attributes(list.unwrap_or_default())
        .filter_map(|(_, element)| decode_one(element))
        .collect()
}

fn decode_one(bytes: &[u8]) -> Option<Element> {
    let key = find(find(bytes, ELEM_KEY)?, DATA_VALUE)?.to_vec();
    let data = match find(bytes, ELEM_DATA) {
        None => Data::None,
        Some(data) => match (find(data, DATA_VALUE), find(data, DATA_VERDICT)) {
            (Some(value), _) => Data::Value(value.to_vec()),
            (None, Some(verdict)) => Data::Jump(find(verdict, VERDICT_CHAIN).map(text)?),
            (None, None) => return None,
        },
    };
    let comment = find(bytes, ELEM_USERDATA).map(decode_comment);
    Some(Element {
        key,
        data,
        comment: comment.unwrap_or_default(),
    })
}

fn decode_comment(mut user: &[u8]) -> String {
    while let [kind, length, rest @ ..] = user {
        let value = rest.get(..usize::from(*length)).unwrap_or_default();
        if *kind == COMMENT_KIND {
            return text(value);
        }
        user = rest.get(usize::from(*length)..).unwrap_or_default();
    }
    String::new()
}

fn message(
    kind: u16,
    flags: u16,
    family: Family,
    table: &str,
    set: &str,
    elements: &[Element],
    full: bool,
) -> Message {
    let mut body = header(family);
    body.text(LIST_TABLE, table).text(LIST_SET, set);
    if !elements.is_empty() {
        body.nested(LIST_ELEMENTS, |list| {
            for element in elements {
                list.nested(LIST_ELEM, |nest| write(element, full, nest));
            }
        });
    }
    Message::new(kind, flags, body)
}

fn write(element: &Element, full: bool, nest: &mut crate::wire::Body) {
    nest.nested(ELEM_KEY, |key| {
        key.attr(DATA_VALUE, &element.key);
    });
    if !full {
        return;
    }
    match &element.data {
        Data::None => {}
        Data::Value(value) => {
            nest.nested(ELEM_DATA, |data| {
                data.attr(DATA_VALUE, value);
            });
        }
        Data::Jump(chain) => {
            nest.nested(ELEM_DATA, |data| Verdict::Jump(chain.clone()).write(data));
        }
    }
    if !element.comment.is_empty() {
        nest.attr(ELEM_USERDATA, &encode_comment(&element.comment));
    }
}

fn encode_comment(comment: &str) -> Vec<u8> {
    let mut end = comment.len().min(COMMENT_MAX);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let length = u8::try_from(end + 1).unwrap_or(u8::MAX);
    let mut bytes = vec![COMMENT_KIND, length];
    bytes.extend_from_slice(&comment.as_bytes()[..end]);
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_round_trip_through_the_encoder() {
        let elements = vec![
            Element {
                key: vec![10, 0, 0, 2],
                data: Data::Jump("masq".into()),
                comment: "a/b".into(),
            },
            Element {
                key: vec![10, 0, 0, 3],
                data: Data::Value(vec![1, 2, 3, 4]),
                comment: String::new(),
            },
            Element {
                key: vec![1],
                data: Data::None,
                comment: "é".repeat(100),
            },
        ];
        let read = decode(&add(Family::Inet, "t", "s", &elements, true));
        assert_eq!(read[..2], elements[..2]);
        assert_eq!(read[2].comment, "é".repeat(63));
    }

    #[test]
    fn an_element_is_encoded_so() {
        let element = Element {
            key: vec![10, 0, 0, 2],
            data: Data::Jump("m".into()),
            comment: "o".into(),
        };
        let message = add(Family::Inet, "t", "s", &[element], true);
        assert_eq!((message.kind, message.flags), (0xa0c, CREATE | EXCL));
        assert_eq!(
            hex::encode(&message.body),
            "01000000\
             0600010074000000\
             0600020073000000\
             34000380\
             30000180\
             0c00018008000100 0a000002\
             18000280\
             14000280\
             08000100fffffffd\
             060002006d000000\
             0800060000026f00"
                .replace(' ', "")
        );
    }
}
