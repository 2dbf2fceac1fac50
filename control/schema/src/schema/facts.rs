//! How fields of built-in types merge: what k8s-openapi does not carry, in a table of our own.
//!
//! A line `@TYPE` opens a type, `@TYPE atomic` one that is owned whole wherever it stands. A line
//! below it is a field and its facts: `set`, `map(KEYS)` and `atomic` for lists, maps and objects,
//! `merge` or `merge(KEY)`, `replace` and `retainKeys` for strategic merge patches, `default(JSON)`.
//! `topology` of a list that is not named is atomic.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Name, PatchRule, Topology};

const FACTS: &str = include_str!("facts.txt");

/// What is known of one field.
pub(super) struct Fact {
    pub(super) topology: Topology,
    pub(super) atomic: bool,
    pub(super) default: Option<Value>,
    pub(super) patch: PatchRule,
}

/// The whole table.
pub(super) struct Facts {
    pub(super) atomic_types: HashSet<&'static str>,
    pub(super) fields: HashMap<(&'static str, &'static str), Fact>,
}

pub(super) fn read() -> Facts {
    parse(FACTS)
}

fn parse(text: &'static str) -> Facts {
    let mut facts = Facts {
        atomic_types: HashSet::new(),
        fields: HashMap::new(),
    };
    let mut owner = "";
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(name) = first.strip_prefix('@') {
            owner = name;
            if words.next() == Some("atomic") {
                facts.atomic_types.insert(owner);
            }
            continue;
        }
        facts.fields.insert((owner, first), fact(words));
    }
    facts
}

fn fact(words: impl Iterator<Item = &'static str>) -> Fact {
    let mut fact = Fact::default();
    for word in words {
        let (name, argument) = match word.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
            None => (word, ""),
        };
        match name {
            "set" => fact.topology = Topology::Set,
            "map" => {
                fact.topology = Topology::Map(argument.split(',').map(Name::Borrowed).collect())
            }
            "atomic" => fact.atomic = true,
            "replace" => fact.patch.replace = true,
            "retainKeys" => fact.patch.retain_keys = true,
            "default" => fact.default = serde_json::from_str(argument).ok(),
            "merge" => {
                fact.patch.merge = true;
                fact.patch.merge_key = Some(Name::Borrowed(argument)).filter(|k| !k.is_empty());
            }
            _ => {}
        }
    }
    fact
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::schema::{Schema, Topology};

    #[test]
    fn every_fact_names_a_field_that_is_there() {
        let (schema, facts) = (Schema::builtin(), read());
        let object = |name: &str| schema.named(name).and_then(|node| schema.object_of(node));
        for name in &facts.atomic_types {
            assert!(object(name).is_some(), "{name}");
        }
        for (owner, field) in facts.fields.keys() {
            assert!(
                object(owner).is_some_and(|o| o.field(field).is_some()),
                "{owner} {field}"
            );
        }
    }

    #[test]
    fn keys_of_lists_are_fields_of_their_items() {
        let schema = Schema::builtin();
        for field in schema.objects().flat_map(|object| &object.fields) {
            let crate::schema::Shape::List(items, topology) = &schema.node(field.node).shape else {
                continue;
            };
            let mut keys = field.patch.merge_key.iter().cloned().collect::<Vec<_>>();
            if let Topology::Map(more) = topology {
                keys.extend(more.iter().cloned());
            }
            for key in keys {
                assert!(schema.child(*items, &key).is_some(), "{} {key}", field.name);
            }
        }
    }
}
