//! JSON patches (RFC 6902): a list of operations, applied one after the other or not at all.

use serde::Deserialize;
use serde_json::Value;

use super::PatchError;

/// The most operations that a patch may have.
pub const LIMIT: usize = 10_000;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add {
        path: String,
        #[serde(default)]
        value: Value,
    },
    Remove {
        path: String,
    },
    Replace {
        path: String,
        #[serde(default)]
        value: Value,
    },
    Move {
        from: String,
        path: String,
    },
    Copy {
        from: String,
        path: String,
    },
    Test {
        path: String,
        #[serde(default)]
        value: Value,
    },
}

/// Applies a patch; the target is untouched when any operation fails.
///
/// # Errors
/// The patch is malformed, too long, or does not apply.
pub fn apply(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > LIMIT {
        return Err(PatchError::TooLarge {
            limit: LIMIT,
            count,
        });
    }
    let operations: Vec<Operation> =
        Vec::deserialize(patch).map_err(|error| PatchError::malformed(error.to_string()))?;
    let mut result = target.clone();
    for operation in operations {
        step(&mut result, operation)?;
    }
    *target = result;
    Ok(())
}

fn step(target: &mut Value, operation: Operation) -> Result<(), PatchError> {
    match operation {
        Operation::Add { path, value } => add(target, &path, value),
        Operation::Remove { path } => remove(target, &path).map(drop),
        Operation::Replace { path, value } => {
            *find(target, &path, "replace")? = value;
            Ok(())
        }
        Operation::Move { from, path } => {
            if path.starts_with(&format!("{from}/")) {
                let text = format!("move operation does not apply: {path} is below {from}");
                return Err(PatchError::inapplicable(text));
            }
            let value = remove(target, &from)?;
            add(target, &path, value)
        }
        Operation::Copy { from, path } => {
            let value = find(target, &from, "copy")?.clone();
            add(target, &path, value)
        }
        Operation::Test { path, value } => {
            // What is absent passes for null.
            let found = target.pointer(&path).unwrap_or(&Value::Null);
            if *found == value {
                return Ok(());
            }
            Err(PatchError::inapplicable(format!(
                "testing value {path} failed: test failed"
            )))
        }
    }
}

fn missing(operation: &str, path: &str) -> PatchError {
    let text = format!("{operation} operation does not apply: doc is missing path: {path:?}");
    PatchError::Inapplicable(format!("{text}: missing value"))
}

fn find<'a>(
    target: &'a mut Value,
    path: &str,
    operation: &str,
) -> Result<&'a mut Value, PatchError> {
    target
        .pointer_mut(path)
        .ok_or_else(|| missing(operation, path))
}

/// Splits a pointer into its parent and the last token, unescaped.
fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), PatchError> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, name) = split(path).ok_or_else(|| missing("add", path))?;
    match find(target, parent, "add")? {
        Value::Object(fields) => {
            fields.insert(name, value);
        }
        Value::Array(items) => {
            let at = if name == "-" {
                Some(items.len())
            } else {
                index(&name)
            };
            let at = at
                .filter(|at| *at <= items.len())
                .ok_or_else(|| missing("add", path))?;
            items.insert(at, value);
        }
        _ => return Err(missing("add", path)),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, PatchError> {
    let (parent, name) = split(path).ok_or_else(|| missing("remove", path))?;
    let removed = match find(target, parent, "remove")? {
        Value::Object(fields) => fields.remove(&name),
        Value::Array(items) => index(&name)
            .filter(|at| *at < items.len())
            .map(|at| items.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| missing("remove", path))
}

/// A place in a list: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LIMIT, apply};
    use crate::patch::PatchError;

    fn check(mut target: Value, patch: Value, expected: Option<Value>) {
        let before = target.clone();
        let outcome = apply(&mut target, &patch);
        assert_eq!(outcome.is_ok(), expected.is_some(), "{patch}: {outcome:?}");
        assert_eq!(target, expected.unwrap_or(before), "{patch}");
    }

    #[test]
    fn operations() {
        let object = || json!({"a": {"b": 1}, "l": [1, 2], "x/y": 1, "m~n": 2});
        let with = |change: fn(&mut Value)| {
            let mut value = object();
            change(&mut value);
            Some(value)
        };
        check(
            object(),
            json!([{"op": "add", "path": "/a/c", "value": 2}]),
            with(|v| v["a"]["c"] = json!(2)),
        );
        check(
            object(),
            json!([{"op": "add", "path": "/l/1", "value": 9}]),
            with(|v| v["l"] = json!([1, 9, 2])),
        );
        check(
            object(),
            json!([{"op": "add", "path": "/l/-", "value": 9}]),
            with(|v| v["l"] = json!([1, 2, 9])),
        );
        check(
            object(),
            json!([{"op": "remove", "path": "/l/0"}]),
            with(|v| v["l"] = json!([2])),
        );
        check(
            object(),
            json!([{"op": "replace", "path": "/x~1y", "value": 5}]),
            with(|v| v["x/y"] = json!(5)),
        );
        check(
            object(),
            json!([{"op": "replace", "path": "/m~0n", "value": 5}]),
            with(|v| v["m~n"] = json!(5)),
        );
        check(
            object(),
            json!([{"op": "copy", "from": "/a/b", "path": "/c"}]),
            with(|v| v["c"] = json!(1)),
        );
        check(
            object(),
            json!([{"op": "test", "path": "/a/b", "value": 1}]),
            with(|_| ()),
        );
        check(
            object(),
            json!([{"op": "test", "path": "/gone", "value": null}]),
            with(|_| ()),
        );
        check(
            json!({"a": 1}),
            json!([{"op": "move", "from": "/a", "path": "/b"}]),
            Some(json!({"b": 1})),
        );
    }

    #[test]
    fn what_fails_changes_nothing() {
        let object = || json!({"a": {"b": 1}, "l": [1, 2]});
        for patch in [
            json!([{"op": "remove", "path": "/a/b"}, {"op": "remove", "path": "/gone"}]),
            json!([{"op": "replace", "path": "/gone", "value": 1}]),
            json!([{"op": "add", "path": "/gone/x", "value": 1}]),
            json!([{"op": "add", "path": "/l/3", "value": 1}]),
            json!([{"op": "add", "path": "/l/01", "value": 1}]),
            json!([{"op": "move", "from": "/a", "path": "/a/b"}]),
            json!([{"op": "test", "path": "/a/b", "value": 2}]),
            json!([{"op": "wrong", "path": "/a"}]),
            json!({"op": "remove", "path": "/a"}),
        ] {
            check(object(), patch, None);
        }
        let long = json!(vec![
            json!({"op": "test", "path": "", "value": {}});
            LIMIT + 1
        ]);
        assert!(matches!(
            apply(&mut json!({}), &long),
            Err(PatchError::TooLarge { .. })
        ));
    }
}
