//! A little DER: enough to read certificates and requests for them, and to wrap keys.

/// An integer.
pub const INTEGER: u8 = 0x02;
/// A string of bits.
pub const BIT_STRING: u8 = 0x03;
/// A string of bytes.
pub const OCTET_STRING: u8 = 0x04;
/// Names a type or an algorithm.
pub const OBJECT_ID: u8 = 0x06;
/// Elements in order.
pub const SEQUENCE: u8 = 0x30;
/// Elements in any order.
pub const SET: u8 = 0x31;

/// Elements, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

/// An element.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Its type.
    pub tag: u8,
    /// What is in it.
    pub content: &'a [u8],
    /// The element with its head.
    pub whole: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element. `None` at the end, or where there is no DER.
    pub fn take(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let (digits, tail) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            length = digits
                .iter()
                .fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
            rest = tail;
        }
        let (content, tail) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - tail.len()];
        self.0 = tail;
        Some(Element {
            tag,
            content,
            whole,
        })
    }

    /// The next element, if it is of this type.
    pub fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.take().filter(|element| element.tag == tag)
    }

    /// A reader of what is in the next element, if it is of this type.
    pub fn enter(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(|element| Self(element.content))
    }
}

/// An element with its head.
#[must_use]
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    let digits: Vec<u8> = length
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            bytes.extend(digits);
        }
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}
