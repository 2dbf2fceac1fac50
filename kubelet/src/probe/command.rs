//! `$(NAME)` in the command of an exec probe, from the values that the container's spec states.
//! Pure: a value that comes from elsewhere (`valueFrom`) counts as empty, as upstream.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Container;

/// Expands every word of `command`. `$$` stands for `$`; a name that is not in `env` stays as it is
/// written.
pub(super) fn expand_static(command: &[String], container: &Container) -> Vec<String> {
    let values: HashMap<&str, &str> = container
        .env
        .iter()
        .flatten()
        .map(|var| (var.name.as_str(), var.value.as_deref().unwrap_or_default()))
        .collect();
    command.iter().map(|word| expand(word, &values)).collect()
}

fn expand(word: &str, values: &HashMap<&str, &str>) -> String {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            match values.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

/// The name within `(NAME)` at the start of `rest`, and what follows.
fn reference(rest: &str) -> Option<(&str, &str)> {
    rest.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let values = HashMap::from([("A", "1"), ("EMPTY", "")]);
        for (word, expected) in [
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(EMPTY)", ""),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A $(A", "$A $(A"),
            ("5$", "5$"),
            ("$", "$"),
        ] {
            assert_eq!(expand(word, &values), expected, "{word}");
        }
    }
}
