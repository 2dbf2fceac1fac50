//! Scalars as Go reads them, places, refusals, and properties.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Mark, emit, parse, parse_one};

fn value(text: &str) -> Value {
    parse_one(text)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .value
}

#[test]
fn reads_scalars_as_go_does() {
    let cases = [
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("yes", json!(true)),
        ("on", json!(true)),
        ("off", json!(false)),
        ("n", json!(false)),
        ("1_000", json!(1000)),
        ("08", json!(8.0)),
        ("~", Value::Null),
        ("null", Value::Null),
        ("\"\"", json!("")),
        ("'yes'", json!("yes")),
        ("1e3", json!(1000.0)),
        ("-5", json!(-5)),
        ("18446744073709551615", json!(u64::MAX)),
        ("1.5", json!(1.5)),
        ("nginx:1.27", json!("nginx:1.27")),
        ("0x1F", json!(31)),
        ("100m", json!("100m")),
        ("True", json!(true)),
        ("2001-01-01", json!("2001-01-01")),
    ];
    for (text, expected) in cases {
        assert_eq!(value(&format!("k: {text}"))["k"], expected, "{text}");
    }
}

#[test]
fn reads_several_documents_and_skips_empty_ones() {
    let text = "---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n";
    let documents = parse(text).unwrap();
    let values: Vec<_> = documents.iter().map(|d| d.value.clone()).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(documents[1].locate("b").line, 7);
    assert_eq!(parse("").unwrap().len(), 0);
    assert_eq!(parse("# only a comment\n").unwrap().len(), 0);
}

#[test]
fn finds_the_line_of_a_field() {
    let text = "\
apiVersion: v1
metadata:
  name: web
  annotations:
    example.com/a: x
    example.com/a.b: y
spec:
  containers:
  - name: a
    image: x
  - name: b
    image: y
";
    let document = parse_one(text).unwrap();
    let cases = [
        ("metadata.name", 3),
        ("spec.containers[1].image", 12),
        ("spec.containers[0]", 9),
        ("spec.containers[1].ports[0].hostPort", 11),
        ("spec.containers[9].image", 8),
        ("metadata.annotations[example.com/a.b]", 6),
        ("metadata.annotations.example.com/a", 5),
        ("nowhere", 1),
        ("", 1),
    ];
    for (path, line) in cases {
        assert_eq!(document.locate(path).line, line, "{path}");
    }
    assert_eq!(
        document.locate("metadata.name"),
        Mark { line: 3, column: 3 }
    );
}

#[test]
fn reads_json_with_its_escapes_and_places() {
    let text = "{\n  \"a\": \"\\ud83d\\ude00\",\n  \"b\": [1,\n 2]}";
    let document = parse_one(text).unwrap();
    assert_eq!(document.value, json!({"a": "\u{1f600}", "b": [1, 2]}));
    let plain = parse_one("{\n \"a\": {\n \"b\": 1}}").unwrap();
    assert_eq!(plain.locate("a.b").line, 3);
    assert_eq!(parse("{\"a\":1}\n{\"b\":2}").unwrap().len(), 2);
    assert_eq!(value("{a: b}"), json!({"a": "b"}));
}

#[test]
fn refuses_with_a_place() {
    let cases = [
        ("a: 1\na: 2\n", 2),
        ("a:\n\t- x\n", 2),
        ("a: [1, 2\nb: 3\n", 2),
        ("a: b: c\n", 1),
        ("{\"a\": 1,\n \"a\": 2}", 2),
        ("{\"a\": 1,\n", 2),
        ("x: *gone\n", 1),
        ("a: .inf\n", 1),
    ];
    for (text, line) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.at.line.abs_diff(line) <= 1, "{text:?} gave {error}");
        assert!(!error.message.contains("line"), "{error}");
    }
}

#[test]
fn refuses_texts_built_to_grow() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(parse(&bomb).is_err());
    assert!(parse(&"[".repeat(20_000)).is_err());
    assert!(parse(&format!("a: {}", "x".repeat(super::MAX_BYTES))).is_err());
}

#[test]
fn merges_and_aliases_as_yaml_1_1() {
    let text = "base: &b {x: 1}\nuse:\n  <<: *b\n  y: 2\n";
    assert_eq!(value(text)["use"], json!({"x": 1, "y": 2}));
}

#[test]
fn quotes_what_go_would_misread() {
    for text in [
        "yes", "on", "y", "12:30", "0644", "1e3", "null", "~", "", "1_000", "=", "true",
    ] {
        let written = emit(&json!({ "k": text })).unwrap();
        assert!(
            written.contains(['"', '\'']),
            "{text} was written as {written}"
        );
        assert_eq!(value(&written), json!({ "k": text }));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[a-z0-9:_.~-]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z0-9./_-]{1,8}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn never_panics_near_the_grammar(text in "[a-c:{}\\[\\]&*!|>'\"#\\- \n,.0-9]{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn reads_back_what_it_writes(v in any_value()) {
        let object = json!({ "k": v });
        let written = emit(&object).unwrap();
        prop_assert_eq!(parse_one(&written).unwrap().value, object, "{}", written);
    }
}
