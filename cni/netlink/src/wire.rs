//! Netlink attributes as bytes: writing, nesting and reading. Pure; knows no protocol.

use std::net::IpAddr;

const HEADER: usize = 4;
/// Marks an attribute that holds attributes.
pub const NESTED: u16 = 1 << 15;
const KIND_MASK: u16 = 0x3fff;

/// Bytes under construction: a fixed header of a protocol, then attributes padded to four bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body(Vec<u8>);

impl Body {
    /// A body that begins with a protocol's fixed header.
    #[must_use]
    pub fn with_header(header: &[u8]) -> Self {
        let mut body = Self(header.to_vec());
        body.pad();
        body
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends one attribute.
    ///
    /// # Panics
    /// When `value` is 64 KiB or longer: callers split lists long before that.
    pub fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(HEADER + value.len()).expect("attribute below 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends a byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.attr(kind, &[value])
    }

    /// Appends 16 bits in the machine's order.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends 32 bits in the machine's order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends 16 bits in network order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends 32 bits in network order.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends 64 bits in network order.
    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends text with its terminating zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Appends an address in network order, 4 or 16 bytes.
    pub fn ip(&mut self, kind: u16, value: IpAddr) -> &mut Self {
        self.attr(kind, &ip_bytes(value))
    }

    /// Appends an attribute that holds attributes, marked as nested.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.attr(kind | NESTED, &inner.0)
    }

    /// The finished bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// An address in network order, 4 or 16 bytes.
#[must_use]
pub fn ip_bytes(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The address that `bytes` hold in network order, 4 or 16 of them.
#[must_use]
pub fn ip_from(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Walks the attributes in `bytes`: kind without its flags, and value. Ends at the first broken one.
#[must_use]
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes(bytes)
}

/// The walk over attributes.
#[derive(Debug, Clone)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?) & KIND_MASK;
        let value = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

/// The first attribute of `kind` in `bytes`.
#[must_use]
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

/// 32 bits in the machine's order.
#[must_use]
pub fn ne32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

/// 16 bits in network order.
#[must_use]
pub fn be16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// 32 bits in network order.
#[must_use]
pub fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// Text up to its terminating zero; bytes that are no UTF-8 become the replacement character.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_padded_and_nested_attributes() {
        let mut body = Body::with_header(&[9]);
        body.u8(1, 7)
            .nested(2, |inner| {
                inner.text(3, "abc");
            })
            .be32(4, 0x0102_0304);
        let bytes = body.into_bytes();
        assert_eq!(
            hex::encode(&bytes),
            "09000000\
             0500010007000000\
             0c000280\
             0800030061626300\
             0800040001020304"
        );
        let read: Vec<_> = attributes(&bytes[4..]).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(text(find(read[1].1, 3).unwrap()), "abc");
        assert_eq!(be32(read[2].1), Some(0x0102_0304));
    }

    #[test]
    fn reading_stops_at_a_broken_attribute() {
        for bytes in [
            &[][..],
            &[1],
            &[3, 0, 1, 0],
            &[200, 0, 1, 0, 1],
            &[0, 0, 0, 0],
        ] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
