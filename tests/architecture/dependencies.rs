//! Which crate may use which: the arrows inside the workspace, the licences, sources and
//! duplicates of everything else.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The arrows of ARCHITECTURE.md for code that ships.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "keelson",
        &[
            "keelson-api",
            "keelson-apiserver",
            "keelson-bootstrap",
            "keelson-cni",
            "keelson-controllers",
            "keelson-cri",
            "keelson-kubelet",
            "keelson-store",
            "keelson-proxy",
            "keelson-scheduler",
        ],
    ),
    ("keelson-api", &[]),
    (
        "keelson-apiserver",
        &["keelson-api", "keelson-schema", "keelson-store"],
    ),
    (
        "keelson-bootstrap",
        &[
            "keelson-api",
            "keelson-client",
            "keelson-cri",
            "keelson-netlink",
        ],
    ),
    ("keelson-client", &["keelson-api"]),
    ("keelson-controllers", &["keelson-api", "keelson-client"]),
    ("keelson-cni", &["keelson-netlink"]),
    ("keelson-cri", &[]),
    ("keelson-cri-fake", &["keelson-cri"]),
    (
        "keelson-kubelet",
        &["keelson-api", "keelson-client", "keelson-cri"],
    ),
    ("keelson-netlink", &[]),
    ("keelson-store", &[]),
    ("keelson-scheduler", &["keelson-api", "keelson-client"]),
    ("keelson-schema", &["keelson-api"]),
    (
        "keelson-proxy",
        &["keelson-api", "keelson-client", "keelson-netlink"],
    ),
    // Never shipped; the harness asks the bootstrap crate where things are, and is its own
    // multi-call binary of CNI plugins.
    (
        "keelson-tests",
        &[
            "keelson-bootstrap",
            "keelson-cni",
            "keelson-cri",
            "keelson-netlink",
            "keelson-proxy",
        ],
    ),
];

/// Licences that an Apache-2.0 program may be linked with.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that may be there twice, and why.
const DUPLICATES: &[(&str, &str)] = &[
    (
        "base64",
        "serde-saphyr's binary scalars are a major version ahead of tonic and k8s-openapi",
    ),
    (
        "getrandom",
        "ring stays on 0.2 for its own portability list; tempfile and rand use 0.4",
    ),
    (
        "hashbrown",
        "petgraph, at build time only, through prost-build",
    ),
    (
        "syn",
        "derive macros move from 2 to 3 one by one; build time only",
    ),
    (
        "synstructure",
        "derive macros of the tests' DNS resolver, a version ahead; build time only",
    ),
    (
        "unicode-width",
        "miette, at build time only, through protox",
    ),
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn arrows_inside_the_workspace() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in ours(&metadata()) {
        let name = text(package, "name");
        let Some(arrows) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the list of allowed arrows"));
            continue;
        };
        for dependency in shipped(package) {
            if dependency.starts_with("keelson") && !arrows.contains(&dependency) {
                wrong.push(format!("{name} -> {dependency} is not an allowed arrow"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn versions_are_set_in_one_place() {
    let wrong: Vec<_> = manifests()
        .into_iter()
        .flat_map(|(path, text)| own_versions(&path, &text))
        .collect();
    assert!(
        wrong.is_empty(),
        "move these to [workspace.dependencies]:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn licences_suit_apache_2() {
    let mut wrong = Vec::new();
    for package in packages(&metadata()) {
        let licence = package["license"].as_str().unwrap_or("none");
        if !licence_is_allowed(licence) {
            wrong.push(format!(
                "{} {}: {licence}",
                text(package, "name"),
                text(package, "version")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "licences not on the list:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn everything_comes_from_crates_io() {
    let metadata = metadata();
    let foreign: Vec<_> = packages(&metadata)
        .filter_map(|package| package["source"].as_str())
        .filter(|source| *source != REGISTRY)
        .collect();
    assert!(
        foreign.is_empty(),
        "sources other than crates.io: {foreign:?}"
    );
}

#[test]
fn duplicates_are_known() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(&metadata) {
        versions
            .entry(text(package, "name"))
            .or_default()
            .insert(text(package, "version"));
    }
    let twice: BTreeSet<_> = versions
        .iter()
        .filter(|(_, seen)| seen.len() > 1)
        .map(|(name, _)| *name)
        .collect();
    let known: BTreeSet<_> = DUPLICATES.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = twice.difference(&known).collect();
    let gone: Vec<_> = known.difference(&twice).collect();
    assert!(
        new.is_empty(),
        "two versions of {new:?} in the tree: `cargo tree -d` says why"
    );
    assert!(
        gone.is_empty(),
        "{gone:?} is there once only: take it off the list"
    );
}

#[test]
fn licence_expressions_are_understood() {
    let check = |expression: &str, allowed: bool| {
        assert_eq!(licence_is_allowed(expression), allowed, "{expression}");
    };
    check("MIT", true);
    check("MIT/Apache-2.0", true);
    check("GPL-3.0 OR MIT", true);
    check("GPL-3.0 AND MIT", false);
    check("(MIT OR GPL-3.0) AND Unicode-3.0", true);
    check("MIT AND (GPL-3.0 OR LGPL-3.0)", false);
    check("Apache-2.0 WITH LLVM-exception", true);
    check("none", false);
}

/// `cargo metadata` of what this platform builds.
fn metadata() -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            &platform,
        ])
        .current_dir(super::source::workspace())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// Every package that the resolved graph holds.
fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .expect("a resolved graph");
    let used: BTreeSet<_> = nodes.iter().map(|node| text(node, "id")).collect();
    assert!(
        used.len() > 100,
        "the graph holds {} packages only",
        used.len()
    );
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .filter(move |package| used.contains(text(package, "id")))
}

fn ours(metadata: &Value) -> impl Iterator<Item = &Value> {
    packages(metadata).filter(|package| package["source"].is_null())
}

/// Names of the packages that `package` links or builds with, without its tests.
fn shipped(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"]
        .as_array()
        .expect("a list of dependencies");
    all.iter()
        .filter(|one| one["kind"] != "dev")
        .map(|one| text(one, "name"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is a string"))
}

fn manifests() -> Vec<(String, String)> {
    let metadata = metadata();
    ours(&metadata)
        .map(|package| text(package, "manifest_path").to_owned())
        .map(|path| {
            (
                path.clone(),
                std::fs::read_to_string(path).expect("a readable manifest"),
            )
        })
        .collect()
}

/// Lines of dependency tables which name a version instead of the workspace's.
fn own_versions(path: &str, manifest: &str) -> Vec<String> {
    let mut table = "";
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            table = line;
        } else if table.ends_with("dependencies]")
            && !table.starts_with("[workspace")
            && line.contains('=')
            && !line.contains("workspace = true")
            && !line.starts_with('#')
        {
            wrong.push(format!("{path}: {line}"));
        }
    }
    wrong
}

/// Evaluates an SPDX expression: OR needs one side, AND both.
fn licence_is_allowed(expression: &str) -> bool {
    let expression = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<_> = expression.split_whitespace().collect();
    let (allowed, rest) = either(&words);
    allowed && rest.is_empty()
}

fn either<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    let (mut allowed, mut rest) = both(words);
    while let [first, tail @ ..] = rest
        && *first == "OR"
    {
        let (next, after) = both(tail);
        (allowed, rest) = (allowed | next, after);
    }
    (allowed, rest)
}

fn both<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    let (mut allowed, mut rest) = one(words);
    while let [first, tail @ ..] = rest
        && *first == "AND"
    {
        let (next, after) = one(tail);
        (allowed, rest) = (allowed & next, after);
    }
    (allowed, rest)
}

fn one<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    match words {
        ["(", tail @ ..] => {
            let (allowed, rest) = either(tail);
            (allowed, rest.strip_prefix(&[")"]).unwrap_or(rest))
        }
        [name, "WITH", exception, rest @ ..] => (
            LICENCES.contains(&format!("{name} WITH {exception}").as_str()),
            rest,
        ),
        [name, rest @ ..] => (LICENCES.contains(name), rest),
        [] => (false, words),
    }
}
