//! Which labels and nodes match, and what is refused.

use proptest::prelude::*;
use serde_json::json;

use super::{Labels, Selector, node_matches, tolerates};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn matches_as_written() {
    let all = labels(&[("a", "b"), ("n", "5"), ("x.io/y", "z")]);
    let cases = [
        ("", true),
        ("a", true),
        ("!a", false),
        ("q", false),
        ("!q", true),
        ("a=b", true),
        ("a==b", true),
        ("a = b", true),
        ("a!=b", false),
        ("q!=b", true),
        ("a in (b, c)", true),
        ("a in (c)", false),
        ("a notin (c,d)", true),
        ("q notin (c)", true),
        ("n>4", true),
        ("n<5", false),
        ("a>1", false),
        ("a=b,n=5", true),
        ("a=b,n=6", false),
        ("x.io/y=z", true),
        ("a in (b),n in (5,6),!q", true),
        ("q=", false),
    ];
    for (text, expected) in cases {
        let selector = Selector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(selector.matches(&all), expected, "{text}");
    }
}

#[test]
fn refuses_malformed_text() {
    for text in [
        ",",
        "a,,b",
        "a in b",
        "a in (b",
        "a in (b))",
        "=b",
        "n>x",
        "a b",
        "a=b c",
        "-a",
    ] {
        assert!(Selector::parse(text).is_err(), "{text} was taken");
    }
}

#[test]
fn reads_selectors_of_objects() {
    let selector = |value| Selector::of_object(&serde_json::from_value(value).unwrap());
    let all = labels(&[("a", "b")]);
    let expression = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "q", "operator": "DoesNotExist"}, {"key": "a", "operator": "In", "values": ["b"]},
    ]});
    assert!(selector(expression).unwrap().matches(&all));
    assert!(selector(json!({})).unwrap().matches(&all));
    let without_values = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    assert_eq!(selector(without_values), None);
}

#[test]
fn matches_nodes_by_label_and_name() {
    let node = labels(&[("zone", "1")]);
    let matches = |terms| {
        let selector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
        node_matches(&selector, "n1", &node)
    };
    let zone =
        |value| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [value]}]});
    let name = |value| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [value]}]});
    assert!(matches(json!([zone("1")])));
    assert!(matches(json!([zone("2"), name("n1")])));
    assert!(!matches(json!([zone("2")])));
    assert!(!matches(json!([{}])));
    assert!(!matches(json!([])));
}

#[test]
fn tolerates_what_is_covered() {
    let taint =
        serde_json::from_value(json!({"key": "k", "value": "v", "effect": "NoExecute"})).unwrap();
    let cases = [
        (json!({"operator": "Exists"}), true),
        (json!({"operator": "Exists", "effect": "NoExecute"}), true),
        (json!({"operator": "Exists", "effect": "NoSchedule"}), false),
        (json!({"key": "k", "value": "v"}), true),
        (
            json!({"key": "k", "operator": "Equal", "value": "w"}),
            false,
        ),
        (json!({"key": "k", "operator": "Exists"}), true),
        (json!({"key": "j", "operator": "Exists"}), false),
    ];
    for (toleration, expected) in cases {
        let toleration = serde_json::from_value(toleration).unwrap();
        assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in "[a-c!=<>(), ]{0,30}|\\PC{0,30}") {
        let _ = Selector::parse(&text);
    }

    #[test]
    fn a_condition_and_its_opposite_never_agree(key in "[a-z]{1,3}", value in "[a-z]{1,3}", held in "[a-z]{1,3}") {
        let all = labels(&[("a", &held)]);
        let matches = |text: String| Selector::parse(&text).unwrap().matches(&all);
        let (equal, unequal) = (format!("{key}={value}"), format!("{key}!={value}"));
        prop_assert_ne!(matches(equal), matches(unequal));
        let (there, absent) = (key.clone(), format!("!{key}"));
        prop_assert_ne!(matches(there), matches(absent));
    }
}
