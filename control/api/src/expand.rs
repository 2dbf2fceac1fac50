//! `$(NAME)` references in commands, arguments, environment values and `subPathExpr`.
//!
//! Decides the text only; what the names stand for comes from the caller.

use std::collections::BTreeSet;

/// Replaces each `$(NAME)` that `lookup` knows. `$$` stands for one dollar sign, so `$$(NAME)`
/// stays as `$(NAME)`; references that are not known stay as they are.
pub fn expand(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            after
        } else if let Some((name, after)) = reference(after) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..at + name.len() + 3]),
            }
            after
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    out
}

/// The name in `(NAME)...` and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

/// The names a text refers to which `known` does not hold.
pub fn unknown_references(text: &str, known: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut unknown = BTreeSet::new();
    expand(text, |name| {
        if !known(name) {
            unknown.insert(name.to_owned());
        }
        None
    });
    unknown
}

#[cfg(test)]
mod tests {
    use super::{expand, unknown_references};

    fn value(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "REF" => Some("$(A)".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn expands_as_upstream_does() {
        let cases = [
            ("$(A)", "1"),
            ("x$(A)y", "x1y"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(B)", "$(B)"),
            ("$(A)$(A)", "11"),
            ("$A", "$A"),
            ("$", "$"),
            ("$$", "$"),
            ("a$", "a$"),
            ("$(A", "$(A"),
            ("$(EMPTY)", ""),
            ("$(REF)", "$(A)"),
            ("$()", "$()"),
            ("$($(A))", "$($(A))"),
            ("\u{e9}$(A)\u{e9}", "\u{e9}1\u{e9}"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }

    #[test]
    fn tells_what_is_not_known() {
        let unknown = unknown_references("$(A)/$(B)/$$(C)", |name| name == "A");
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["B"]);
    }
}
