//! How long files and functions get and how deep they nest. A budget is a smell detector: where
//! exceeding one reads better, the exception is listed with its reason.

use super::source::{self, Source, block_len, line_of};

const FILE_LINES: usize = 450;
const FILE_LINES_AT_MOST: usize = 600;
const FUNCTION_LINES: usize = 80;
const NESTING: usize = 4;

/// Files between the budget and the hard stop, and why they are one.
const LONG_FILES: &[(&str, &str)] = &[(
    "kubelet/src/config/validate/rules.rs",
    "one rule after the other, as upstream lists them",
)];

/// Functions above the budget: data tables, written out.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn files_stay_short() {
    let wrong: Vec<_> = production()
        .filter_map(|file| {
            let lines = file
                .code
                .lines()
                .filter(|line| !line.trim().is_empty())
                .count();
            let listed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
            let limit = if listed {
                FILE_LINES_AT_MOST
            } else {
                FILE_LINES
            };
            (lines > limit).then(|| format!("{}: {lines} lines, at most {limit}", file.path))
        })
        .collect();
    assert!(wrong.is_empty(), "split these:\n{}", wrong.join("\n"));
}

#[test]
fn functions_stay_short_and_flat() {
    let mut wrong = Vec::new();
    for file in production() {
        for function in functions(&file.code) {
            let place = format!("{}:{} fn {}", file.path, function.line, function.name);
            if function.lines > FUNCTION_LINES && !is_listed(&file.path, function.name) {
                wrong.push(format!("{place}: {} lines", function.lines));
            }
            if function.nesting > NESTING {
                wrong.push(format!("{place}: nested {} deep", function.nesting));
            }
        }
    }
    assert!(wrong.is_empty(), "split these:\n{}", wrong.join("\n"));
}

#[test]
fn the_door_is_thin() {
    let main = production()
        .find(|file| file.path == "src/main.rs")
        .expect("src/main.rs");
    assert!(
        main.text.lines().count() <= 130,
        "src/main.rs decides nothing: keep it short"
    );
}

#[test]
fn modules_are_named_after_what_they_do() {
    let banned = [
        "mod", "util", "utils", "common", "helper", "helpers", "misc",
    ];
    let wrong: Vec<_> = source::all()
        .into_iter()
        .filter(|file| {
            banned
                .iter()
                .any(|name| file.path.ends_with(&format!("/{name}.rs")))
        })
        .map(|file| file.path)
        .collect();
    assert!(wrong.is_empty(), "name the domain act instead: {wrong:?}");
}

#[test]
fn measures_functions() {
    let code =
        "fn a() {\n    if x {\n        for y in z {\n        }\n    } else if q {\n    }\n}\n";
    let measured = functions(code);
    assert_eq!(measured.len(), 1);
    assert_eq!(
        (measured[0].name, measured[0].lines, measured[0].nesting),
        ("a", 7, 2)
    );
}

fn production() -> impl Iterator<Item = Source> {
    source::all()
        .into_iter()
        .filter(|file| !source::is_test_file(&file.path))
}

fn is_listed(path: &str, function: &str) -> bool {
    LONG_FUNCTIONS
        .iter()
        .any(|(file, name, _)| *file == path && *name == function)
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
    nesting: usize,
}

fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_a_word = at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric();
        let rest = &code[at + 3..];
        let name = rest
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or("");
        let open = rest.find('{');
        let no_body = rest
            .find(';')
            .is_some_and(|end| open.is_none_or(|open| end < open));
        let (true, false, Some(open)) = (starts_a_word && !name.is_empty(), no_body, open) else {
            continue;
        };
        let body = &rest[open..open + block_len(&rest[open..])];
        let lines = body.lines().count();
        found.push(Function {
            name,
            line: line_of(code, at),
            lines,
            nesting: nesting(body),
        });
    }
    found
}

/// How many control-flow blocks stand inside each other at most.
fn nesting(body: &str) -> usize {
    let mut open = Vec::new();
    let mut deepest = 0;
    let mut start = 0;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => {
                open.push(is_control(&body[start..at]));
                deepest = deepest.max(open.iter().filter(|control| **control).count());
            }
            b'}' => drop(open.pop()),
            b';' => {}
            _ => continue,
        }
        start = at + 1;
    }
    deepest
}

/// Whether the text before a brace opens a control-flow block.
fn is_control(before: &str) -> bool {
    let words = ["if", "else", "for", "while", "loop", "match"];
    let is_arm = before.trim_end().ends_with("=>");
    !is_arm
        && before
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| words.contains(&word))
}
