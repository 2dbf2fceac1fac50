//! The paths and operations of a resource.

use serde_json::{Map, Value, json};

use super::definitions::{list_name, type_name};
use super::{Dialect, root};
use crate::resource_table::{Resource, Subresource, Verb};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What a deletion answers.
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// Patches that resources take, by media type; the last one only those with built-in types.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// What can be done with one object: the verb, the method, and how operation ids begin.
const ONE: &[(Verb, &str, &str)] = &[
    (Verb::Get, "get", "read"),
    (Verb::Update, "put", "replace"),
    (Verb::Patch, "patch", "patch"),
    (Verb::Delete, "delete", "delete"),
];

/// What can be done with all objects: the verb, the method, the action, how operation ids begin,
/// and what comes between the version and the kind in them.
const ALL: &[(Verb, &str, &str, &str, &str)] = &[
    (Verb::List, "get", "list", "list", ""),
    (Verb::Create, "post", "post", "create", ""),
    (
        Verb::DeleteCollection,
        "delete",
        "deletecollection",
        "delete",
        "Collection",
    ),
];

/// Adds the paths of a resource and of its parts.
pub(super) fn add(dialect: Dialect, row: &Resource, of: &str, paths: &mut Map<String, Value>) {
    let root = format!("/{}", root(&row.group, &row.version));
    let spaced = if row.is_namespaced() {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let scope = if row.is_namespaced() {
        "Namespaced"
    } else {
        ""
    };
    let writer = Writer { dialect, row, of };
    let stem = format!("{}{}", camel(row), capital(&row.version));
    if row.is_namespaced() && row.verbs.has(Verb::List) {
        let id = format!("list{stem}{}ForAllNamespaces", row.kind);
        let listed = list_name(row, of);
        let operation = Operation::new("list", id, &listed);
        let everywhere = json!({"get": writer.operation(&operation)});
        paths.insert(format!("{root}/{}", row.plural), everywhere);
    }
    let collection = format!("{root}{spaced}/{}", row.plural);
    let single = format!("{collection}/{{name}}");
    for (path, operations, named) in [
        (&collection, on_all(&writer, &stem, scope), false),
        (&single, on_one(&writer, &stem, scope), true),
    ] {
        if !operations.is_empty() {
            let mut operations = operations;
            operations.insert("parameters".to_owned(), writer.path_parameters(named));
            paths.insert(path.clone(), Value::Object(operations));
        }
    }
    for part in &row.subresources {
        let operations = part_operations(&writer, part, &stem, scope);
        paths.insert(format!("{single}/{}", part.name), operations);
    }
}

fn on_all(writer: &Writer<'_>, stem: &str, scope: &str) -> Map<String, Value> {
    let row = writer.row;
    let listed = list_name(row, writer.of);
    let mut operations = Map::new();
    for (verb, method, action, word, infix) in ALL {
        if row.verbs.has(*verb) {
            let id = format!("{word}{stem}{infix}{scope}{}", row.kind);
            let answer = match verb {
                Verb::List => &listed,
                Verb::Create => writer.of,
                _ => STATUS,
            };
            let operation = writer.operation(&Operation::new(action, id, answer));
            operations.insert((*method).to_owned(), operation);
        }
    }
    operations
}

fn on_one(writer: &Writer<'_>, stem: &str, scope: &str) -> Map<String, Value> {
    let row = writer.row;
    let mut operations = Map::new();
    for (verb, method, word) in ONE {
        if row.verbs.has(*verb) {
            let id = format!("{word}{stem}{scope}{}", row.kind);
            let answer = if *verb == Verb::Delete {
                STATUS
            } else {
                writer.of
            };
            let operation = writer.operation(&Operation::new(method, id, answer));
            operations.insert((*method).to_owned(), operation);
        }
    }
    operations
}

fn part_operations(writer: &Writer<'_>, part: &Subresource, stem: &str, scope: &str) -> Value {
    let row = writer.row;
    let own = if part.kind == row.kind {
        Some(writer.of.to_owned())
    } else {
        None
    };
    let of = own.or_else(|| type_name(&part.group, &part.version, &part.kind));
    let of = of.unwrap_or_else(|| "string".to_owned());
    let mut name = part.name.to_string();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut operations = Map::new();
    for (verb, method, word) in [
        (
            Verb::Get,
            "get",
            if is_stream(part) { "connect" } else { "read" },
        ),
        (
            Verb::Create,
            "post",
            if is_stream(part) { "connect" } else { "create" },
        ),
        (Verb::Update, "put", "replace"),
        (Verb::Patch, "patch", "patch"),
        (Verb::Delete, "delete", "delete"),
    ] {
        if !part.verbs.has(verb) {
            continue;
        }
        let id = if word == "connect" {
            let mut method = method.to_owned();
            if let Some(first) = method.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            format!("connect{stem}{method}{scope}{}{name}", row.kind)
        } else {
            format!("{word}{stem}{scope}{}{name}", row.kind)
        };
        let action = if word == "connect" { word } else { method };
        let operation = Operation {
            kind: Some(part),
            ..Operation::new(action, id, &of)
        };
        operations.insert(method.to_owned(), writer.operation(&operation));
    }
    operations.insert("parameters".to_owned(), writer.path_parameters(true));
    Value::Object(operations)
}

fn is_stream(part: &Subresource) -> bool {
    matches!(
        part.name.as_ref(),
        "exec" | "attach" | "portforward" | "proxy"
    )
}

struct Operation<'a> {
    action: &'a str,
    id: String,
    answer: &'a str,
    kind: Option<&'a Subresource>,
}

impl<'a> Operation<'a> {
    fn new(action: &'a str, id: String, answer: &'a str) -> Self {
        Self {
            action,
            id,
            answer,
            kind: None,
        }
    }
}

struct Writer<'a> {
    dialect: Dialect,
    row: &'a Resource,
    of: &'a str,
}

impl Writer<'_> {
    /// The media types of what is sent. Custom resources take no strategic merge patches.
    fn takes(&self, action: &str) -> &'static [&'static str] {
        match (action, PATCHES) {
            ("patch", [plain @ .., _]) if self.row.type_name.is_empty() => plain,
            ("patch", _) => PATCHES,
            _ => &["*/*"],
        }
    }

    fn operation(&self, operation: &Operation<'_>) -> Value {
        let row = self.row;
        let (group, version, kind) = match operation.kind {
            Some(part) => (&part.group, &part.version, &part.kind),
            None => (&row.group, &row.version, &row.kind),
        };
        let mut written = json!({
            "operationId": operation.id,
            "tags": [format!("{}_{}", tag(row), row.version)],
            "description": format!("{} {}", operation.action, kind),
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind":
                {"group": group, "version": version, "kind": kind},
        });
        let mut parameters: Vec<_> = query(operation.action)
            .iter()
            .map(|(name, kind)| self.parameter(name, kind, "query"))
            .collect();
        let sent = match operation.action {
            "post" | "put" => Some(operation.answer.to_owned()),
            "patch" => Some(format!("{META}.Patch")),
            "delete" | "deletecollection" => Some(format!("{META}.DeleteOptions")),
            _ => None,
        };
        match (self.dialect, sent) {
            (Dialect::V3, Some(sent)) => {
                let types = self.takes(operation.action);
                written["requestBody"] = json!({"content": self.content(types, &sent)});
            }
            (Dialect::V2, Some(sent)) => {
                let required = matches!(operation.action, "post" | "put" | "patch");
                let schema = self.schema(&sent);
                parameters.push(
                    json!({"in": "body", "name": "body", "required": required, "schema": schema}),
                );
            }
            (_, None) => {}
        }
        if self.dialect == Dialect::V2 {
            written["consumes"] = json!(self.takes(operation.action));
            written["produces"] = json!(["application/json"]);
            written["schemes"] = json!(["https"]);
        }
        if !parameters.is_empty() {
            written["parameters"] = Value::Array(parameters);
        }
        written["responses"] = self.responses(operation);
        written
    }

    fn schema(&self, name: &str) -> Value {
        if name == "string" {
            json!({"type": "string"})
        } else {
            self.dialect.reference(name)
        }
    }

    fn content(&self, types: &[&str], name: &str) -> Value {
        let entry = |media: &&str| ((*media).to_owned(), json!({"schema": self.schema(name)}));
        Value::Object(types.iter().map(entry).collect())
    }

    fn responses(&self, operation: &Operation<'_>) -> Value {
        let codes: &[(&str, &str)] = match operation.action {
            "post" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            "put" | "patch" => &[("200", "OK"), ("201", "Created")],
            "delete" => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        let mut responses = Map::new();
        for (code, text) in codes {
            let response = match self.dialect {
                Dialect::V2 => {
                    json!({"description": text, "schema": self.schema(operation.answer)})
                }
                Dialect::V3 => json!({
                    "description": text,
                    "content": self.content(&["application/json", "application/yaml"], operation.answer),
                }),
            };
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }

    fn parameter(&self, name: &str, kind: &str, place: &str) -> Value {
        let mut parameter = json!({"name": name, "in": place});
        if place == "path" {
            parameter["required"] = json!(true);
        }
        let unique = json!(true);
        match self.dialect {
            Dialect::V2 => {
                parameter["type"] = json!(kind);
                parameter["uniqueItems"] = unique;
            }
            Dialect::V3 => parameter["schema"] = json!({"type": kind, "uniqueItems": unique}),
        }
        parameter
    }

    fn path_parameters(&self, named: bool) -> Value {
        let mut parameters = Vec::new();
        if named {
            parameters.push(self.parameter("name", "string", "path"));
        }
        if self.row.is_namespaced() {
            parameters.push(self.parameter("namespace", "string", "path"));
        }
        parameters.push(self.parameter("pretty", "string", "query"));
        Value::Array(parameters)
    }
}

const WRITE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
];

const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

/// The query parameters of an action, and their types.
fn query(action: &str) -> &'static [(&'static str, &'static str)] {
    match action {
        "list" => LIST,
        "post" | "put" => WRITE,
        "patch" => &[
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("force", "boolean"),
        ],
        "delete" => &[
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            (
                "ignoreStoreReadErrorWithClusterBreakingPotential",
                "boolean",
            ),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
        ],
        "deletecollection" => &[
            ("continue", "string"),
            ("dryRun", "string"),
            ("fieldSelector", "string"),
            ("gracePeriodSeconds", "integer"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
        ],
        _ => &[],
    }
}

/// The group as operation ids have it: `Core`, `Apps`, `RbacAuthorization`.
fn camel(row: &Resource) -> String {
    if row.group.is_empty() {
        return "Core".to_owned();
    }
    let group = row.group.strip_suffix(".k8s.io").unwrap_or(&row.group);
    group.split('.').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// The group as tags have it: `core`, `apps`, `rbacAuthorization`.
fn tag(row: &Resource) -> String {
    let mut tag = camel(row);
    if let Some(first) = tag.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    tag
}
