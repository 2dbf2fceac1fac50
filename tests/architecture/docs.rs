//! What every file and document must say, and what none may.

use super::source::{self, workspace};
use std::fs;

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<_> = source::all()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert!(
        wrong.is_empty(),
        "open with `//! what this does`: {wrong:?}"
    );
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let wrong = lines_with(|file| {
        let in_text = words.iter().filter(|word| has_word(file, word)).copied();
        let in_code = macros.iter().filter(|word| file.contains(**word)).copied();
        in_text.chain(in_code).map(str::to_owned).collect()
    });
    assert!(
        wrong.is_empty(),
        "finish it, or leave it out:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_path_of_one_machine() {
    let wrong = lines_with(|file| {
        let paths = [
            concat!("\"/wo", "rk/"),
            concat!("/tmp/", "ref/"),
            concat!("/tmp/", "target"),
        ];
        paths
            .iter()
            .filter(|path| file.contains(**path))
            .map(|path| (*path).to_owned())
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "a path of somebody's machine:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_code_map_names_every_member_and_no_ghost() {
    let root = workspace();
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md");
    for member in members() {
        assert!(
            map.contains(&format!("`{member}/`")),
            "ARCHITECTURE.md does not name {member}/"
        );
    }
    for (name, text) in [("ARCHITECTURE.md", &map), ("README.md", &readme)] {
        for path in quoted_paths(text) {
            assert!(
                root.join(path).exists(),
                "{name} names {path}, which does not exist"
            );
        }
    }
}

/// Words in backticks that are a path of a Rust file or a folder of the repository.
fn quoted_paths(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| !word.contains(|c: char| c.is_whitespace() || "{*$<".contains(c)))
        .filter(|word| !word.starts_with(['/', '.', '-']))
        .filter(|word| word.contains('/') && (word.ends_with(".rs") || word.ends_with('/')))
        .collect()
}

fn members() -> Vec<String> {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).expect("Cargo.toml");
    let list = manifest
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    list.expect("a list of members")
        .split(',')
        .map(|member| member.trim().trim_matches('"').to_owned())
        .filter(|member| !member.is_empty() && member != ".")
        .collect()
}

fn lines_with(find: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in source::all() {
        for (number, line) in file.text.lines().enumerate() {
            for what in find(line) {
                wrong.push(format!("{}:{}: {what}", file.path, number + 1));
            }
        }
    }
    wrong
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric())
        .any(|part| part == word)
}
