//! Labels and selectable fields of an object, read off its JSON without building it. Pure.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field that selectors may name: `spec.nodeName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// As written in a selector.
    pub(crate) name: Box<str>,
    path: Box<[Box<str>]>,
    /// The value where the field is not set.
    absent: &'static str,
}

impl Field {
    /// The field of this name.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            path: name.split('.').map(Into::into).collect(),
            absent: absent(name),
        }
    }
}

/// Booleans and numbers have a value even where they are left out.
fn absent(name: &str) -> &'static str {
    match name {
        "spec.hostNetwork" | "spec.unschedulable" => "false",
        "status.successful" | "status.replicas" => "0",
        _ => "",
    }
}

/// What selectors look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Sorted by key.
    pub(crate) labels: Box<[(Box<str>, Box<str>)]>,
    /// In the order of the fields asked for.
    pub(crate) fields: Box<[Box<str>]>,
}

impl Facts {
    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let at = self
            .labels
            .binary_search_by(|(own, _)| (**own).cmp(key))
            .ok()?;
        Some(&self.labels[at].1)
    }
}

/// Reads an object's labels and the given fields. What is not JSON has none.
pub(crate) fn facts(json: &[u8], fields: &[Field]) -> Facts {
    let mut out = Collected {
        labels: Vec::new(),
        fields: vec![None; fields.len()],
    };
    let walk = Walk {
        prefix: &mut Vec::new(),
        fields,
        out: &mut out,
    };
    let mut json = serde_json::Deserializer::from_slice(json);
    // An object that cannot be read keeps what was found until then.
    let _ = walk.deserialize(&mut json);
    out.labels.sort_unstable();
    let values = out.fields.into_iter().zip(fields);
    Facts {
        labels: out.labels.into(),
        fields: values
            .map(|(value, field)| value.unwrap_or_else(|| field.absent.into()))
            .collect(),
    }
}

struct Collected {
    labels: Vec<(Box<str>, Box<str>)>,
    fields: Vec<Option<Box<str>>>,
}

struct Walk<'a> {
    /// Where in the object this is.
    prefix: &'a mut Vec<String>,
    fields: &'a [Field],
    out: &'a mut Collected,
}

const LABELS: [&str; 2] = ["metadata", "labels"];

impl Walk<'_> {
    fn wanted(&self) -> bool {
        let depth = self.prefix.len();
        let leads = |path: &[&str]| {
            depth <= path.len() && self.prefix.iter().zip(path).all(|(own, part)| own == part)
        };
        leads(&LABELS)
            || (depth == 3 && self.prefix[..2] == LABELS)
            || self.fields.iter().any(|field| {
                let path: Vec<&str> = field.path.iter().map(AsRef::as_ref).collect();
                leads(&path)
            })
    }

    fn found(&mut self, text: &str) {
        if self.prefix.len() == 3 && self.prefix[..2] == LABELS {
            self.out
                .labels
                .push((self.prefix[2].as_str().into(), text.into()));
        }
        for (at, field) in self.fields.iter().enumerate() {
            let here = field.path.iter().map(AsRef::as_ref);
            if here.eq(self.prefix.iter().map(String::as_str)) {
                self.out.fields[at] = Some(text.into());
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.wanted() {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_ignored_any(IgnoredAny).map(drop)
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.prefix.push(key);
            let inner = Walk {
                prefix: &mut *self.prefix,
                fields: self.fields,
                out: &mut *self.out,
            };
            map.next_value_seed(inner)?;
            self.prefix.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.found(text);
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.found(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_fields_are_found() {
        let json = br#"{"kind":"Pod","metadata":{"name":"a","labels":{"x":"1","a/b":""},"annotations":{"c":"d"}},
            "spec":{"nodeName":"n","containers":[{"name":"c"}]},"status":{"phase":"Running"}}"#;
        let names = [
            "spec.nodeName",
            "status.phase",
            "spec.hostNetwork",
            "metadata.name",
        ];
        let found = facts(json, &names.map(Field::new));
        let fields: Vec<&str> = found.fields.iter().map(AsRef::as_ref).collect();
        assert_eq!(fields, ["n", "Running", "false", "a"]);
        assert_eq!(found.label("x"), Some("1"));
        assert_eq!(found.label("a/b"), Some(""));
        assert_eq!(found.label("c"), None);
    }

    #[test]
    fn what_is_no_object_has_nothing() {
        assert_eq!(facts(b"[1]", &[]), Facts::default());
        assert_eq!(facts(b"{\"metadata\":", &[]), Facts::default());
    }
}
