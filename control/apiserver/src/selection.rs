//! Which objects of a kind a request is about: namespace, name, labels and fields. Pure.

use keelson_api::selector::Selector;

use crate::failure::{Failure, Outcome};
use crate::object::{Field, Version};

/// A condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    what: Place,
    value: String,
    equal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Name,
    Namespace,
    /// One of the kind's selectable fields.
    Field(usize),
}

/// Conditions that an object must all meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    labels: Selector,
    terms: Vec<Term>,
}

impl Selection {
    /// Reads the selectors of a request for a kind with these fields.
    pub(crate) fn parse(
        namespace: &str,
        labels: Option<&str>,
        fields: Option<&str>,
        known: &[Field],
    ) -> Outcome<Self> {
        let labels = match labels {
            Some(text) => Selector::parse(text).map_err(|error| {
                Failure::bad_request(format!("unable to parse requirement: {error}"))
            })?,
            None => Selector::default(),
        };
        Ok(Self {
            namespace: namespace.to_owned(),
            labels,
            terms: fields.map_or(Ok(Vec::new()), |text| parse_fields(text, known))?,
        })
    }

    /// The one name that is asked for, if there is just one.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = |term: &&Term| term.what == Place::Name && term.equal;
        self.terms
            .iter()
            .find(named)
            .map(|term| term.value.as_str())
    }

    /// Whether everything in the namespace is meant.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.requirements.is_empty() && self.terms.is_empty()
    }

    /// Whether an object is meant.
    pub(crate) fn matches(&self, version: &Version) -> bool {
        (self.namespace.is_empty() || version.namespace() == self.namespace)
            && self.terms.iter().all(|term| term.holds(version))
            && self.labels.matches_by(|key| version.facts.label(key))
    }
}

impl Term {
    fn holds(&self, version: &Version) -> bool {
        let value = match self.what {
            Place::Name => version.name(),
            Place::Namespace => version.namespace(),
            Place::Field(at) => version.facts.fields.get(at).map_or("", AsRef::as_ref),
        };
        (value == self.value) == self.equal
    }
}

fn parse_fields(text: &str, known: &[Field]) -> Outcome<Vec<Term>> {
    let terms = split(text);
    let terms = terms.iter().filter(|term| !term.trim().is_empty());
    terms.map(|term| parse_term(term.trim(), known)).collect()
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for letter in text.chars() {
        if letter == ',' && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = letter == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(letter);
        }
    }
    parts
}

fn parse_term(term: &str, known: &[Field]) -> Outcome<Term> {
    let invalid = || {
        Failure::bad_request(format!(
            "invalid selector: '{term}'; can't understand '{term}'"
        ))
    };
    let (name, value, equal) = if let Some((name, value)) = term.split_once("!=") {
        (name, value, false)
    } else if let Some((name, value)) = term.split_once("==") {
        (name, value, true)
    } else {
        let (name, value) = term.split_once('=').ok_or_else(invalid)?;
        (name, value, true)
    };
    let what = match name {
        "metadata.name" => Place::Name,
        "metadata.namespace" => Place::Namespace,
        _ => {
            let at = known.iter().position(|field| *field.name == *name);
            Place::Field(at.ok_or_else(|| {
                Failure::bad_request(format!("field label not supported: {name}"))
            })?)
        }
    };
    Ok(Term {
        what,
        value: unescape(value).ok_or_else(invalid)?,
        equal,
    })
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next()? {
                escaped @ ('\\' | ',' | '=') => out.push(escaped),
                _ => return None,
            },
            '=' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(labels: &str, fields: &str, expected: Option<bool>) {
        let known = ["spec.nodeName", "status.phase"].map(Field::new);
        let json = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"nodeName":"n,1"}}"#;
        let version = Version::new("ns/pod", 1, &Bytes::from(json), &known);
        let labels = Some(labels).filter(|text| !text.is_empty());
        let selection = Selection::parse("ns", labels, Some(fields), &known);
        let found = selection.ok().map(|selection| selection.matches(&version));
        assert_eq!(found, expected, "{labels:?} {fields}");
    }

    #[test]
    fn objects_meet_all_conditions() {
        check("", "", Some(true));
        check(
            "app=web",
            "metadata.name=pod,metadata.namespace==ns",
            Some(true),
        );
        check("app!=web", "", Some(false));
        check("", r"spec.nodeName=n\,1", Some(true));
        check("", "status.phase!=Running", Some(true));
        check("", "status.phase=Running", Some(false));
        check("", "spec.other=1", None);
        check("", "spec.nodeName", None);
        check("a in (", "", None);
    }
}
