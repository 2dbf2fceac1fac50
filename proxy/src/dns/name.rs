//! Names of the DNS: in wire form, lower case. Pure.

use std::fmt;

/// The longest name in wire form.
const LONGEST: usize = 255;
const LONGEST_LABEL: usize = 63;

/// A name, absolute: labels with their lengths, ended by an empty one, in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Takes over a name in wire form without pointers.
    pub(super) fn from_wire(mut bytes: Vec<u8>) -> Self {
        // Lengths are below 64 and so no letters.
        bytes.make_ascii_lowercase();
        Self(bytes.into())
    }

    /// Reads `example.com`, with or without the last dot; an empty text is the root. `None` where a
    /// label is empty or too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut bytes = Vec::with_capacity(text.len() + 2);
        for label in text.split('.').filter(|_| !text.is_empty()) {
            if label.is_empty() || label.len() > LONGEST_LABEL {
                return None;
            }
            bytes.push(u8::try_from(label.len()).ok()?);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        (bytes.len() <= LONGEST).then(|| Self::from_wire(bytes))
    }

    /// These labels, then `zone`. `None` where that gets too long.
    #[must_use]
    pub fn within(labels: &[&[u8]], zone: &Self) -> Option<Self> {
        let mut bytes = Vec::new();
        for label in labels {
            let length = u8::try_from(label.len()).ok();
            bytes.push(length.filter(|n| (1..=63).contains(n))?);
            bytes.extend_from_slice(label);
        }
        bytes.extend_from_slice(&zone.0);
        (bytes.len() <= LONGEST).then(|| Self::from_wire(bytes))
    }

    /// Wire form.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels, first one first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first().filter(|(length, _)| **length > 0)?;
            let (label, after) = tail.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(label)
        })
    }

    /// The labels before `zone`, where the name is that or below it.
    #[must_use]
    pub fn below(&self, zone: &Self) -> Option<Vec<&[u8]>> {
        let head = self.0.len().checked_sub(zone.0.len())?;
        if self.0[head..] != *zone.0 {
            return None;
        }
        let mut found = Vec::with_capacity(4);
        let mut at = 0;
        for label in self.labels() {
            if at >= head {
                break;
            }
            at += label.len() + 1;
            found.push(label);
        }
        // Bytes may be equal without being labels' borders.
        (at == head).then_some(found)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in self.labels() {
            write!(f, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_counts_labels_not_letters() {
        let zone = Name::parse("cluster.local").unwrap();
        let check = |text: &str, expected: Option<Vec<&[u8]>>| {
            assert_eq!(Name::parse(text).unwrap().below(&zone), expected, "{text}");
        };
        check("A.Cluster.Local.", Some(vec![b"a"]));
        check("cluster.local", Some(vec![]));
        check("acluster.local", None);
        check("local", None);
        check("example.com", None);
        assert_eq!(Name::parse("").unwrap().wire(), b"\0");
        assert_eq!(Name::parse("a..b"), None);
        assert_eq!(Name::parse(&"a.".repeat(200)), None);
    }
}
