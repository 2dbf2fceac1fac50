//! Selectors as text.

use super::{Operator, Requirement, Selector};

/// Why a text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// One of its conditions is malformed.
    #[error(
        "unable to parse requirement {0:?}: expected key, !key, key=value, key!=value, key in (a,b), key notin (a,b), key>n or key<n"
    )]
    Requirement(String),
    /// A parenthesis is not closed.
    #[error("selector {0:?} has an open parenthesis")]
    Parenthesis(String),
}

pub(super) fn parse(text: &str) -> Result<Selector, SelectorError> {
    let conditions = conditions(text)?;
    let requirements = conditions
        .iter()
        .map(|c| requirement(c))
        .collect::<Result<_, _>>()?;
    Ok(Selector { requirements })
}

/// The parts between commas that are not in parentheses.
fn conditions(text: &str) -> Result<Vec<&str>, SelectorError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let (mut parts, mut start, mut open) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' => open = true,
            ')' => open = false,
            ',' if !open => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if open {
        return Err(SelectorError::Parenthesis(text.to_owned()));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn requirement(text: &str) -> Result<Requirement, SelectorError> {
    let text = text.trim();
    let malformed = || SelectorError::Requirement(text.to_owned());
    let (key, operator) = if let Some(key) = text.strip_prefix('!') {
        (key, Operator::DoesNotExist)
    } else if let Some((key, value)) = text.split_once("!=") {
        (key, Operator::NotIn([value.trim().to_owned()].into()))
    } else if let Some((key, value)) = text.split_once("==").or(text.split_once('=')) {
        (key, Operator::In([value.trim().to_owned()].into()))
    } else if let Some((key, bound)) = text.split_once('>') {
        (
            key,
            Operator::GreaterThan(bound.trim().parse().map_err(|_| malformed())?),
        )
    } else if let Some((key, bound)) = text.split_once('<') {
        (
            key,
            Operator::LessThan(bound.trim().parse().map_err(|_| malformed())?),
        )
    } else if let Some((head, values)) = text.split_once('(') {
        set(head, values).ok_or_else(malformed)?
    } else {
        (text, Operator::Exists)
    };
    let key = key.trim();
    let values_ok = match &operator {
        Operator::In(values) | Operator::NotIn(values) => values.iter().all(|v| is_value(v)),
        _ => true,
    };
    if !is_key(key) || !values_ok {
        return Err(malformed());
    }
    Ok(Requirement {
        key: key.to_owned(),
        operator,
    })
}

/// `key in (a,b)` and `key notin (a,b)`.
fn set<'a>(head: &'a str, values: &str) -> Option<(&'a str, Operator)> {
    let values = values.trim_end().strip_suffix(')')?;
    let values = values.split(',').map(|v| v.trim().to_owned()).collect();
    let (key, word) = head.trim().rsplit_once(char::is_whitespace)?;
    match word {
        "in" => Some((key, Operator::In(values))),
        "notin" => Some((key, Operator::NotIn(values))),
        _ => None,
    }
}

fn is_key(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    !name.is_empty() && is_value(name) && key.len() <= 317 && key.matches('/').count() <= 1
}

fn is_value(value: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || (value.starts_with(edge)
            && value.ends_with(edge)
            && value.len() <= 63
            && value
                .chars()
                .all(|c| edge(c) || matches!(c, '-' | '_' | '.')))
}
