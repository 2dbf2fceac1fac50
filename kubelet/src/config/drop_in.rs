//! Merging of configuration layers, as upstream merges drop-in files: maps merge key by key,
//! everything else is replaced, and `null` takes a value away.
//!
//! Must not know the fields.

use serde_json::{Map, Value};

/// Lays `over` on top of `base`.
pub(super) fn merge(base: &mut Value, over: &Value) {
    let Value::Object(over) = over else {
        *base = over.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Some(base) = base.as_object_mut() else {
        return;
    };
    for (key, value) in over {
        match value {
            Value::Null => drop(base.remove(key)),
            value => merge(base.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

/// The names of a drop-in folder that are read, in the order they are read.
pub(super) fn in_order(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().filter(|n| n.ends_with(".conf")).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{in_order, merge};

    #[test]
    fn merges_maps_and_replaces_the_rest() {
        let cases = [
            (json!({"a": 1}), json!({"a": 2}), json!({"a": 2})),
            (
                json!({"m": {"x": 1, "y": 2}}),
                json!({"m": {"y": 3}}),
                json!({"m": {"x": 1, "y": 3}}),
            ),
            (json!({"l": [1, 2]}), json!({"l": [3]}), json!({"l": [3]})),
            (json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
            (
                json!({}),
                json!({"m": {"x": {"y": null, "z": 1}}}),
                json!({"m": {"x": {"z": 1}}}),
            ),
            (
                json!({"a": 1}),
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1}}),
            ),
        ];
        for (mut base, over, expected) in cases {
            merge(&mut base, &over);
            assert_eq!(base, expected, "after {over}");
        }
    }

    #[test]
    fn reads_conf_files_in_order() {
        let names = ["20-b.conf", "10-a.conf", "README", "x.conf~", "5.conf"];
        assert_eq!(
            in_order(names.map(str::to_owned)),
            ["10-a.conf", "20-b.conf", "5.conf"]
        );
    }
}
