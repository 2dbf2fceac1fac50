//! The descriptions of built-in types and fields: deflated in the program, unpacked by those who
//! write OpenAPI and dropped after.

use std::io::Read;

const DEFLATED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.z"));

/// All descriptions, unpacked.
#[derive(Debug)]
pub struct Descriptions {
    text: String,
    ends: Vec<usize>,
}

impl Descriptions {
    /// Unpacks them: about a megabyte.
    #[must_use]
    pub fn unpack() -> Self {
        let mut text = String::new();
        // The bytes are our own build's: they inflate to text.
        let read = flate2::read::ZlibDecoder::new(DEFLATED).read_to_string(&mut text);
        debug_assert!(read.is_ok(), "the build deflated these");
        let ends = text.match_indices('\0').map(|(at, _)| at).collect();
        Self { text, ends }
    }

    /// The description at a place that an object type or a field names; may be empty.
    #[must_use]
    pub fn at(&self, place: u32) -> &str {
        let place = place as usize;
        let begin = match place.checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(self.text.len(), |end| end + 1),
            None => 0,
        };
        let end = self.ends.get(place).copied().unwrap_or(begin);
        self.text.get(begin..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Descriptions;
    use crate::schema::Schema;

    #[test]
    fn types_and_fields_have_theirs() {
        let (schema, descriptions) = (Schema::builtin(), Descriptions::unpack());
        let port = schema.named("io.k8s.api.core.v1.ContainerPort").unwrap();
        let port = schema.object_of(port).unwrap();
        assert!(descriptions.at(port.description).contains("network port"));
        let field = port.field("hostIP").unwrap();
        assert!(descriptions.at(field.description).contains("host IP"));
        let silent = schema
            .objects()
            .filter(|o| descriptions.at(o.description).is_empty());
        assert!(silent.count() < 20);
    }
}
