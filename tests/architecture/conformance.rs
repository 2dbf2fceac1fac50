//! The table of upstream's test names: every name has a case of ours that exists, or a reason.

use std::fs;
use std::path::Path;

/// How many names of each group there are in upstream's list.
const NAMES: [(&str, usize); 2] = [("sig-node", 106), ("sig-storage", 91)];

/// What begins the reason for a name that has no case.
const NOT_YET: &str = "not yet: ";

/// Whether a file has a test of this name.
fn has_test(root: &Path, case: &str) -> bool {
    let Some((file, function)) = case.split_once("::") else {
        return false;
    };
    let text = fs::read_to_string(root.join(file)).unwrap_or_default();
    let head = format!("fn {function}(");
    let Some((before, _)) = text.split_once(&head) else {
        return false;
    };
    // Attributes stand right above.
    let above = before.rsplit("\n\n").next().unwrap_or_default();
    above.contains("test]") || above.contains("test(")
}

#[test]
fn every_name_has_a_case_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the root");
    let table = include_str!("conformance.txt");
    let (mut group, mut counts) = ("", std::collections::BTreeMap::new());
    let mut lines = table.lines().filter(|line| !line.is_empty()).peekable();
    let mut wrong = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("## ") {
            group = name;
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        *counts.entry(group).or_insert(0) += 1;
        let mut told = 0;
        while let Some(case) = lines.next_if(|line| line.starts_with("    ")) {
            told += 1;
            let case = case.trim();
            let reason = case.strip_prefix(NOT_YET);
            if !reason.map_or_else(|| has_test(root, case), |reason| reason.len() > 10) {
                wrong.push(format!("{line}: there is no {case}"));
            }
        }
        if told == 0 {
            wrong.push(format!("{line}: neither a case nor a reason"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), NAMES);
}

#[test]
fn a_case_that_is_gone_is_noticed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the root");
    let own = "tests/architecture/conformance.rs::";
    assert!(has_test(
        root,
        &format!("{own}a_case_that_is_gone_is_noticed")
    ));
    assert!(!has_test(root, &format!("{own}has_test")), "no test");
    assert!(!has_test(root, &format!("{own}another")));
    assert!(!has_test(root, "tests/nowhere.rs::x"));
}
