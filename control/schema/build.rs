//! Turns the schemas that k8s-openapi carries in its source into a compact table.
//!
//! The crate writes each type's schema as one `json_schema!` literal. Reading those literals takes
//! a fraction of a second; building the crate a second time, for the host and with its `schemars`
//! feature, would take a minute and bring the same facts. The table holds names and shapes; the
//! descriptions are deflated apart, since only OpenAPI wants them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "build/literal.rs"]
mod literal;

use literal::Literal;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Types that are no objects on the wire, and the letter of their shape.
const SPECIAL: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "q"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "o"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "t"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "u"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "f"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "r"),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        "*",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        "*",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        "*",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "*",
    ),
];

/// Types that no object holds.
const LEFT_OUT: &[&str] = &["io.k8s.apimachinery.pkg.apis.meta.v1.Patch"];

struct Type {
    name: String,
    schema: Literal,
}

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/literal.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let root = source_of("k8s-openapi")?.join("src/v1_36");
    let types = read_types(&root)?;
    let (table, descriptions) = render(&types)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("types.txt"), table)?;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(descriptions.as_bytes())?;
    std::fs::write(out.join("descriptions.z"), encoder.finish()?)?;
    Ok(())
}

/// The folder of a dependency's source, wherever cargo keeps it.
fn source_of(package: &str) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO")?;
    let manifest = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
        ])
        .arg(std::env::var("TARGET")?)
        .arg("--manifest-path")
        .arg(manifest)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let found = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["name"] == package);
    let path = found.and_then(|p| p["manifest_path"].as_str());
    let path = path.ok_or_else(|| format!("cargo metadata does not list {package}"))?;
    Ok(Path::new(path)
        .parent()
        .ok_or("no parent folder")?
        .to_owned())
}

/// Every type below the folder, by the path it has in the crate.
fn read_types(root: &Path) -> Result<BTreeMap<String, Type>> {
    let mut types = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            let module = folder
                .strip_prefix(root)?
                .to_string_lossy()
                .replace('/', "::");
            if let Some((rust_name, found)) =
                read_type(&text).map_err(|error| format!("{}: {error}", path.display()))?
            {
                types.insert(format!("crate::{module}::{rust_name}"), found);
            }
        }
    }
    Ok(types)
}

fn read_type(text: &str) -> Result<Option<(String, Type)>> {
    let Some((_, rest)) = text.split_once("impl crate::schemars::JsonSchema for ") else {
        return Ok(None);
    };
    let (rust_name, rest) = rest.split_once(" {").ok_or("no body")?;
    let (_, rest) = rest.split_once('"').ok_or("no schema name")?;
    let (name, rest) = rest.split_once('"').ok_or("no schema name")?;
    let Some((_, rest)) = rest.split_once("json_schema!(") else {
        return Ok(None);
    };
    let schema = literal::parse(rest)?;
    Ok(Some((
        rust_name.to_owned(),
        Type {
            name: name.to_owned(),
            schema,
        },
    )))
}

/// The table, one line per type and field, and the descriptions in the same order.
fn render(types: &BTreeMap<String, Type>) -> Result<(String, String)> {
    let (mut table, mut descriptions) = (String::new(), String::new());
    let mut sorted: Vec<_> = types.values().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    for found in sorted {
        let left_out = LEFT_OUT.contains(&found.name.as_str()) || special(&found.name).is_some();
        if left_out || found.name.contains('<') {
            continue;
        }
        writeln!(table, "@{}", found.name)?;
        describe(&mut descriptions, &found.schema);
        let required = found.schema.strings("required");
        for (field, schema) in found.schema.members("properties") {
            let mark = if required.contains(&field.as_str()) {
                "!"
            } else {
                ":"
            };
            let shape =
                shape(schema, types).map_err(|error| format!("{} {field}: {error}", found.name))?;
            writeln!(table, "{field}{mark}{shape}")?;
            describe(&mut descriptions, schema);
        }
    }
    Ok((table, descriptions))
}

fn describe(descriptions: &mut String, schema: &Literal) {
    descriptions.push_str(schema.description().unwrap_or_default());
    descriptions.push('\0');
}

fn special(name: &str) -> Option<&'static str> {
    SPECIAL
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, letter)| *letter)
}

/// The shape of a value: a letter, or `[` and `{` before the shape of what a list or map holds,
/// or `#` and the name of an object type.
fn shape(schema: &Literal, types: &BTreeMap<String, Type>) -> Result<String> {
    if let Some(path) = schema.reference() {
        let found = types
            .get(path)
            .ok_or_else(|| format!("unknown type {path}"))?;
        return Ok(match special(&found.name) {
            Some(letter) => letter.to_owned(),
            None => format!("#{}", found.name),
        });
    }
    let letter = match (schema.text("type"), schema.text("format")) {
        (Some("string"), Some("byte")) => "y",
        (Some("string"), Some("date-time")) => "t",
        (Some("string"), None) => "s",
        (Some("integer"), Some("int32")) => "i",
        (Some("integer"), _) => "l",
        (Some("number"), _) => "n",
        (Some("boolean"), _) => "b",
        (Some("array"), _) => {
            let items = schema.member("items").ok_or("a list without items")?;
            return Ok(format!("[{}", shape(items, types)?));
        }
        (Some("object"), _) => match schema.member("additionalProperties") {
            Some(values) => return Ok(format!("{{{}", shape(values, types)?)),
            None => "r",
        },
        other => return Err(format!("no shape for {other:?}").into()),
    };
    Ok(letter.to_owned())
}
