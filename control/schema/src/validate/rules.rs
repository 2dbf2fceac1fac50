//! Rules as data: a path, and what must hold of what is there.
//!
//! A path is names joined by dots. `[]` after a name stands for each item of a list, `{}` for each
//! value of a map; a name with `?` ends the path where there is nothing.

use keelson_api::quantity::Quantity;
use keelson_api::validate::field::ErrorList;

use super::At;

/// What is wrong with a text: nothing, where it is fine.
type Form = fn(&str) -> Vec<String>;
type Texts = &'static [&'static str];

/// What must hold.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Something is given; else this is said.
    Need(&'static str),
    /// Nothing, or one of these.
    OneOf(Texts),
    /// One of these.
    NeedOneOf(Texts),
    /// Nothing, or a text in this form.
    Form(Form),
    /// A text in this form.
    NeedForm(Form),
    /// The keys of a map are in this form.
    Keys(Form),
    /// A number of zero or more.
    NotNegative,
    /// A number from the first to the second.
    Within(i64, i64),
    /// At most so many items.
    AtMost(usize),
    /// At most so many bytes.
    Short(usize),
    /// No two items have equal values of these fields; without fields, no two are equal.
    Unique(Texts),
    /// An amount of zero or more.
    Amount,
}

/// Rules for a kind, or for a part of it.
pub(super) type Rules = &'static [(&'static str, Rule)];

/// Judges by rules.
pub(super) fn apply(at: &At<'_>, rules: Rules, errors: &mut ErrorList) {
    for (path, rule) in rules {
        each(at, path, &mut |at| judge(at, *rule, errors));
    }
}

/// Everything that a path leads to.
pub(super) fn each<'v>(at: &At<'v>, path: &str, act: &mut dyn FnMut(&At<'v>)) {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    if name.is_empty() {
        act(at);
    } else if let Some(name) = name.strip_suffix("[]") {
        at.field(name)
            .items()
            .for_each(|item| each(&item, rest, act));
    } else if let Some(name) = name.strip_suffix("{}") {
        let entries = at.field(name).entries();
        entries.for_each(|(_, entry)| each(&entry, rest, act));
    } else if let Some(name) = name.strip_suffix('?') {
        let found = at.field(name);
        if found.is_given() {
            each(&found, rest, act);
        }
    } else {
        each(&at.field(name), rest, act);
    }
}

fn judge(at: &At<'_>, rule: Rule, errors: &mut ErrorList) {
    match rule {
        Rule::Need(detail) => {
            at.need(detail, errors);
        }
        Rule::OneOf(choices) => at.one_of(choices, errors),
        Rule::NeedOneOf(choices) => at.need_one_of(choices, errors),
        Rule::Form(form) => at.form(form, errors),
        Rule::NeedForm(form) => {
            if at.need("", errors) {
                at.form(form, errors);
            }
        }
        Rule::Keys(form) => {
            for (key, entry) in at.entries() {
                errors.check(&entry.path, key, form(key));
            }
        }
        Rule::NotNegative => at.not_negative(errors),
        Rule::Within(low, high) => at.within(low, high, errors),
        Rule::AtMost(limit) => {
            let count = at.items().count();
            if count > limit {
                errors.too_many(&at.path, count, limit);
            }
        }
        Rule::Short(limit) => {
            if at.text().len() > limit {
                errors.too_long(&at.path, limit);
            }
        }
        Rule::Unique(fields) => unique(at, fields, errors),
        Rule::Amount => {
            if Quantity::parse(at.text()).is_ok_and(|amount| amount.signum() < 0) {
                at.invalid("must be greater than or equal to 0", errors);
            }
        }
    }
}

fn unique(list: &At<'_>, fields: Texts, errors: &mut ErrorList) {
    let mut seen = Vec::new();
    for item in list.items() {
        let key: Vec<_> = match fields {
            [] => vec![item.value],
            fields => fields.iter().map(|name| item.field(name).value).collect(),
        };
        if seen.contains(&key) {
            match fields {
                [one] => errors.duplicate(&item.field(one).path, item.field(one).value.clone()),
                _ => errors.duplicate(&item.path, item.value.clone()),
            }
        }
        seen.push(key);
    }
}

#[cfg(test)]
mod tests {
    use keelson_api::validate::names;
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_everything_that_is_there() {
        let object = json!({"a": [{"b": {"x": "", "y": "n"}}, {"c": 1}], "d": null});
        let rules: Rules = &[
            ("a[].b?.x", Rule::Need("say it")),
            ("a[].b{}", Rule::Form(names::dns_label)),
            ("a", Rule::AtMost(1)),
            ("a[].c", Rule::Within(2, 3)),
            ("d?.e", Rule::Need("")),
            ("d.e", Rule::Need("")),
        ];
        let mut errors = ErrorList::default();
        apply(&At::root(&object), rules, &mut errors);
        let found: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let expected = [
            "a[0].b.x: Required value: say it",
            "a: Too many: 2: must have at most 1 items",
            "a[1].c: Invalid value: 1: must be between 2 and 3, inclusive",
            "d.e: Required value",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn twins_are_told_by_their_place() {
        let object = json!({"a": [{"n": "x", "m": 1}, {"n": "x", "m": 2}], "t": ["u", "u"]});
        let rules: Rules = &[
            ("a", Rule::Unique(&["n"])),
            ("a", Rule::Unique(&["n", "m"])),
            ("t", Rule::Unique(&[])),
        ];
        let mut errors = ErrorList::default();
        apply(&At::root(&object), rules, &mut errors);
        let found: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let expected = [
            "a[1].n: Duplicate value: \"x\"",
            "t[1]: Duplicate value: \"u\"",
        ];
        assert_eq!(found, expected);
    }
}
