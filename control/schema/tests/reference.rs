//! The table of how fields merge and the types themselves, held against upstream's own sources
//! and sample objects where they are at hand: `KEELSON_GO_SOURCES` is a folder with `k8s.io/api`
//! in it.

use std::fs;
use std::path::{Path, PathBuf};

use keelson_schema::schema::{Field, Schema, Shape, Topology};

#[test]
#[ignore = "needs upstream's sources: make test"]
fn facts_are_complete() {
    let root = PathBuf::from(std::env::var("KEELSON_GO_SOURCES").expect("KEELSON_GO_SOURCES"));
    let mut checked = 0;
    for group in fs::read_dir(root.join("k8s.io/api"))
        .expect("k8s.io/api")
        .flatten()
    {
        for version in fs::read_dir(group.path()).into_iter().flatten().flatten() {
            let file = version.path().join("types.go");
            let (Ok(text), Some(package)) = (fs::read_to_string(file), package(&version.path()))
            else {
                continue;
            };
            checked += check(&package, &text);
        }
    }
    assert!(checked > 150, "only {checked} markers found");
}

#[test]
#[ignore = "needs upstream's sources: make test"]
fn full_objects_are_known_and_unchanged() {
    let root = PathBuf::from(std::env::var("KEELSON_GO_SOURCES").expect("KEELSON_GO_SOURCES"));
    let schema = Schema::builtin();
    let mut seen = 0;
    for row in keelson_schema::resource_table::builtin() {
        let group = if row.group.is_empty() {
            "core"
        } else {
            &row.group
        };
        let name = format!("{group}.{}.{}.json", row.version, row.kind);
        let file = root.join("k8s.io/api/testdata/HEAD").join(name);
        let Ok(bytes) = fs::read(file) else { continue };
        let mut value = keelson_schema::decode::parse(&bytes).expect("JSON").value;
        let before = value.clone();
        let node = schema.named(&row.type_name).expect("type");
        let findings = keelson_schema::decode::conform(schema, node, &mut value);
        assert_eq!(findings, Ok(vec![]), "{}", row.qualified());
        assert_eq!(value, before, "{}", row.qualified());
        seen += 1;
    }
    assert!(seen > 50, "only {seen} samples found");
}

fn package(folder: &Path) -> Option<String> {
    let version = folder.file_name()?.to_str()?;
    let group = folder.parent()?.file_name()?.to_str()?;
    Some(format!("io.k8s.api.{group}.{version}"))
}

/// Checks each marked field of a file; answers how many there were.
fn check(package: &str, text: &str) -> usize {
    let schema = Schema::builtin();
    let (mut owner, mut marks, mut checked) = (String::new(), Vec::new(), 0);
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("type ") {
            owner = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        if let Some(mark) = line.strip_prefix("// +") {
            marks.push(mark.trim());
            continue;
        }
        if line.starts_with("//") {
            continue;
        }
        let object = schema.named(&format!("{package}.{owner}"));
        let object = object.and_then(|node| schema.object_of(node));
        let field = json_name(line).and_then(|name| object?.field(name));
        if let Some(field) = field {
            checked += compare(&owner, field, &marks, line);
        }
        marks.clear();
    }
    checked
}

fn json_name(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("json:\"")?;
    rest.split(['"', ',']).next()
}

fn compare(owner: &str, field: &Field, marks: &[&str], line: &str) -> usize {
    let place = format!("{owner}.{}", field.name);
    let keys: Vec<_> = marks
        .iter()
        .filter_map(|m| m.strip_prefix("listMapKey="))
        .collect();
    let kind = marks.iter().find_map(|m| m.strip_prefix("listType="));
    if let Shape::List(_, topology) = &Schema::builtin().node(field.node).shape {
        let expected = match kind {
            Some("set") => Topology::Set,
            Some("map") => Topology::Map(keys.iter().map(|k| (*k).to_owned().into()).collect()),
            _ => Topology::Atomic,
        };
        assert_eq!(*topology, expected, "{place}");
    }
    let strategy = tag(line, "patchStrategy").unwrap_or_default();
    assert_eq!(field.patch.merge, strategy.contains("merge"), "{place}");
    assert_eq!(
        field.patch.retain_keys,
        strategy.contains("retainKeys"),
        "{place}"
    );
    assert_eq!(
        field.patch.merge_key.as_deref(),
        tag(line, "patchMergeKey"),
        "{place}"
    );
    usize::from(kind.is_some() || !strategy.is_empty())
}

fn tag<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("{name}:\""))?;
    rest.split('"').next()
}
