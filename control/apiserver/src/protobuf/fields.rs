//! The numbers of fields. Each line of the table is a message: its name, then its fields in the
//! order of their numbers from 1; a number goes before a field where some are skipped. A star marks
//! a field that may be zero on purpose, a caret a message whose fields JSON has in the outer object.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::OnceLock;

const DEFLATED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fields.z"));

/// The fields of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields(&'static str);

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Its name, and whether zero is kept.
    Named(&'static str, bool),
    /// A message whose fields are those of the outer one.
    Inline(&'static str),
}

fn table() -> &'static HashMap<&'static str, &'static str> {
    static TABLE: OnceLock<String> = OnceLock::new();
    static BY_NAME: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    BY_NAME.get_or_init(|| {
        let lines = TABLE.get_or_init(unpack).lines();
        lines.filter_map(|line| line.split_once(' ')).collect()
    })
}

fn unpack() -> String {
    let mut text = String::new();
    // The bytes are our own build's: they inflate to text.
    let read = flate2::read::ZlibDecoder::new(DEFLATED).read_to_string(&mut text);
    debug_assert!(read.is_ok(), "the build deflated these");
    text
}

impl Fields {
    /// The fields of the message of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        table().get(name).copied().map(Self)
    }

    /// The field of a number.
    pub(super) fn entry(self, number: u64) -> Option<Entry> {
        let mut at = 0;
        for word in self.0.split(' ') {
            if let Ok(skipped) = word.parse::<u64>() {
                at = skipped - 1;
                continue;
            }
            at += 1;
            if at == number {
                return Some(match word.strip_prefix('^') {
                    Some(message) => Entry::Inline(message),
                    None => Entry::Named(word.trim_end_matches('*'), word.ends_with('*')),
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use keelson_schema::schema::Schema;

    use super::*;

    #[test]
    fn numbers_find_their_fields() {
        let spec = Fields::of("io.k8s.api.apps.v1.DeploymentSpec").unwrap();
        assert_eq!(spec.entry(1), Some(Entry::Named("replicas", true)));
        assert_eq!(spec.entry(3), Some(Entry::Named("template", false)));
        assert_eq!(spec.entry(8), None);
        assert_eq!(
            spec.entry(9),
            Some(Entry::Named("progressDeadlineSeconds", true))
        );
        let volume = Fields::of("io.k8s.api.core.v1.Volume").unwrap();
        assert_eq!(
            volume.entry(2),
            Some(Entry::Inline("io.k8s.api.core.v1.VolumeSource"))
        );
    }

    #[test]
    fn every_field_of_every_served_type_has_a_number() {
        let schema = Schema::builtin();
        let mut missing = Vec::new();
        for object in schema.objects() {
            let Some(fields) = Fields::of(&object.name) else {
                continue;
            };
            let known: Vec<&str> = names(fields);
            let own = object.fields.iter().map(|field| &*field.name);
            let own = own.filter(|name| !matches!(*name, "apiVersion" | "kind"));
            missing.extend(
                own.filter(|name| !known.contains(name))
                    .map(|name| format!("{}.{name}", object.name)),
            );
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn names(fields: Fields) -> Vec<&'static str> {
        let words = fields
            .0
            .split(' ')
            .filter(|word| word.parse::<u64>().is_err());
        words
            .flat_map(|word| match word.strip_prefix('^') {
                Some(inner) => Fields::of(inner).map(names).unwrap_or_default(),
                None => vec![word.trim_end_matches('*')],
            })
            .collect()
    }
}
