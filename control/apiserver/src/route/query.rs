//! The query of a request: names and values in order.

use super::percent::{decode_query, encode};

/// A parsed query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the question mark. Nothing is refused here.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode_query(name), decode_query(value))
                })
                .collect(),
        )
    }

    /// The first value of a name; empty values count as absent.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Whether the name is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The query as it is sent on.
    pub(crate) fn to_text(&self) -> String {
        let pairs = self.0.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.join("&")
    }

    /// All values of a name.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A boolean as upstream reads it from a query: there and neither `0` nor `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.is_some_and(|(_, value)| !matches!(value.as_str(), "0" | "false" | "False" | "FALSE"))
    }

    /// The name that a field selector of just a name asks for.
    pub(crate) fn field_name(&self) -> Option<String> {
        let selector = self.value("fieldSelector")?;
        let terms = selector.split(',');
        let name = terms.filter_map(|term| {
            let value = term.strip_prefix("metadata.name=")?;
            Some(value.strip_prefix('=').unwrap_or(value))
        });
        name.map(str::to_owned)
            .next()
            .filter(|name| !name.is_empty())
    }
}
