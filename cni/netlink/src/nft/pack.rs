//! Many elements in few messages: no allocation for an element, messages below netlink's 64 KiB
//! limit of an attribute. Pure.

use super::element::{DELSETELEM, ELEM_KEY_END, NEWSETELEM};
use super::expression::Verdict;
use super::object::{Family, header};
use crate::message::{CREATE, Message};
use crate::wire::Body;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEM: u16 = 1;
const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const FULL: usize = 32 * 1024;

/// Elements of one set, to be added or to be removed.
#[derive(Debug)]
pub struct Pack {
    family: Family,
    table: String,
    set: String,
    adds: bool,
    list: Body,
    done: Vec<Message>,
}

impl Pack {
    /// Elements to add to the set; adding one that exists changes nothing, but is an error where a
    /// map has another value for it.
    #[must_use]
    pub fn adding(family: Family, table: &str, set: &str) -> Self {
        Self::new(family, table, set, true)
    }

    /// Elements to remove from the set; removing one that does not exist is an error.
    #[must_use]
    pub fn removing(family: Family, table: &str, set: &str) -> Self {
        Self::new(family, table, set, false)
    }

    fn new(family: Family, table: &str, set: &str, adds: bool) -> Self {
        Self {
            family,
            table: table.to_owned(),
            set: set.to_owned(),
            adds,
            list: Body::default(),
            done: Vec::new(),
        }
    }

    /// An element with what the map has for it; `end` is the last key of a range.
    pub fn element(&mut self, key: &[u8], end: Option<&[u8]>, value: Option<&[u8]>) {
        let value = value.filter(|_| self.adds);
        self.push(key, end, |nest| {
            if let Some(value) = value {
                nest.nested(ELEM_DATA, |data| {
                    data.attr(DATA_VALUE, value);
                });
            }
        });
    }

    /// An element of a verdict map.
    pub fn verdict(&mut self, key: &[u8], verdict: &Verdict) {
        let adds = self.adds;
        self.push(key, None, |nest| {
            if adds {
                nest.nested(ELEM_DATA, |data| verdict.write(data));
            }
        });
    }

    fn push(&mut self, key: &[u8], end: Option<&[u8]>, data: impl FnOnce(&mut Body)) {
        self.list.nested(LIST_ELEM, |nest| {
            nest.nested(ELEM_KEY, |nest| {
                nest.attr(DATA_VALUE, key);
            });
            if let Some(end) = end {
                nest.nested(ELEM_KEY_END, |nest| {
                    nest.attr(DATA_VALUE, end);
                });
            }
            data(nest);
        });
        if self.list.as_bytes().len() >= FULL {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let list = std::mem::take(&mut self.list).into_bytes();
        if list.is_empty() {
            return;
        }
        let mut body = header(self.family);
        body.text(LIST_TABLE, &self.table)
            .text(LIST_SET, &self.set)
            .attr(LIST_ELEMENTS | crate::wire::NESTED, &list);
        let (kind, flags) = if self.adds {
            (NEWSETELEM, CREATE)
        } else {
            (DELSETELEM, 0)
        };
        self.done.push(Message::new(kind, flags, body));
    }

    /// The messages; none where there was no element.
    #[must_use]
    pub fn into_messages(mut self) -> Vec<Message> {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::super::element::{Data, Element, add, decode};
    use super::*;

    #[test]
    fn a_pack_says_what_single_elements_say() {
        let element = Element {
            key: vec![1, 2, 3, 4],
            data: Data::Value(vec![5, 6]),
            comment: String::new(),
        };
        let mut pack = Pack::adding(Family::Ip, "t", "s");
        pack.element(&element.key, None, Some(&[5, 6]));
        let one = add(Family::Ip, "t", "s", std::slice::from_ref(&element), false);
        assert_eq!(pack.into_messages(), vec![one]);
    }

    #[test]
    fn a_full_message_is_followed_by_another() {
        let mut pack = Pack::adding(Family::Ip, "t", "s");
        for number in 0..5000_u32 {
            pack.element(&number.to_be_bytes(), None, Some(&[0; 8]));
        }
        let messages = pack.into_messages();
        assert!(messages.len() > 3);
        assert!(messages.iter().all(|m| m.body.len() < 40_000));
        let all: usize = messages.iter().map(|m| decode(m).len()).sum();
        assert_eq!(all, 5000);
    }

    #[test]
    fn removing_names_keys_only_and_nothing_is_no_message() {
        let mut pack = Pack::removing(Family::Ip, "t", "s");
        pack.element(&[1, 2, 3, 4], None, Some(&[9]));
        let messages = pack.into_messages();
        assert_eq!(decode(&messages[0])[0].data, Data::None);
        assert_eq!(
            Pack::adding(Family::Ip, "t", "s").into_messages(),
            Vec::new()
        );
    }
}
