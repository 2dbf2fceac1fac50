//! The wire format: numbered parts, one after the other.

use super::{ProtobufError, Read};

/// The parts of a message.
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

/// One part.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) number: u64,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(ProtobufError::Short)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f)
                .checked_shl(shift)
                .unwrap_or_default();
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Short)
    }

    fn take(&mut self, count: u64) -> Read<&'a [u8]> {
        let count = usize::try_from(count).map_err(|_| ProtobufError::Short)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(ProtobufError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn part(&mut self) -> Read<Part<'a>> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| ProtobufError::Short)?;
                Content::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Content::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| ProtobufError::Short)?;
                Content::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => return Err(ProtobufError::Short),
        };
        Ok(Part {
            number: tag >> 3,
            content,
        })
    }
}

impl<'a> Iterator for Wire<'a> {
    type Item = Read<Part<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.rest = &[];
        }
        Some(part)
    }
}

impl<'a> Part<'a> {
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self.content {
            Content::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(super) fn number_value(&self) -> Option<i64> {
        match self.content {
            // Negative numbers are sent as their two's complement.
            Content::Varint(value) => Some(value.cast_signed()),
            _ => None,
        }
    }

    pub(super) fn float(&self) -> Option<f64> {
        match self.content {
            Content::Fixed64(bits) => Some(f64::from_bits(bits)),
            Content::Fixed32(bits) => Some(f64::from(f32::from_bits(bits))),
            _ => None,
        }
    }
}
