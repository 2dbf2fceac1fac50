//! Strategic merge patches: lists of objects merge by key, and directives say what else to do.
//!
//! `$patch` replaces or deletes an object or an item, `$retainKeys` lists the fields that stay,
//! `$deleteFromPrimitiveList/FIELD` takes values out of a list, `$setElementOrder/FIELD` orders
//! one.

mod order;

use serde_json::{Map, Value};

use super::PatchError;
use crate::schema::{NodeId, PatchRule, Schema, Shape};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

type Fields = Map<String, Value>;

/// Applies a patch to an object of a built-in kind.
///
/// # Errors
/// A directive is malformed, or an item lacks the field it is known by.
pub fn apply(
    schema: &Schema,
    root: NodeId,
    target: &mut Value,
    patch: &Value,
) -> Result<(), PatchError> {
    let (Value::Object(original), Value::Object(patch)) = (&*target, patch) else {
        return Err(PatchError::malformed(
            "a strategic merge patch is an object",
        ));
    };
    let merge = Merge { schema };
    *target = Value::Object(merge.objects(Some(root), original.clone(), patch)?);
    Ok(())
}

struct Merge<'a> {
    schema: &'a Schema,
}

impl Merge<'_> {
    fn objects(
        &self,
        node: Option<NodeId>,
        mut original: Fields,
        patch: &Fields,
    ) -> Result<Fields, PatchError> {
        match patch.get(PATCH).map(Value::as_str) {
            None | Some(Some("merge")) => {}
            Some(Some("delete")) => return Ok(Fields::new()),
            Some(Some("replace")) => {
                return self.objects(node, Fields::new(), &without(patch, PATCH));
            }
            Some(other) => {
                let text = format!("unknown patch type found: {}", other.unwrap_or("?"));
                return Err(PatchError::malformed(text));
            }
        }
        retain(&mut original, patch)?;
        for (name, order) in directives(patch, ORDER) {
            self.ordered(node, &mut original, patch, name, order)?;
        }
        for (name, values) in directives(patch, DELETE) {
            let gone = values.as_array().ok_or_else(|| no_list(DELETE, name))?;
            if let Some(Value::Array(items)) = original.get_mut(name) {
                items.retain(|item| !gone.contains(item));
            }
        }
        for (name, value) in patch {
            let done = patch.contains_key(&format!("{ORDER}{name}"));
            if !name.starts_with('$') && !done {
                self.field(node, &mut original, name, value)?;
            }
        }
        Ok(original)
    }

    /// Merges one field.
    fn field(
        &self,
        node: Option<NodeId>,
        original: &mut Fields,
        name: &str,
        patch: &Value,
    ) -> Result<(), PatchError> {
        let (child, rule) = self.child(node, name);
        let old = original.remove(name);
        let merged = match (old, patch) {
            (_, Value::Null) => return Ok(()),
            (Some(Value::Object(old)), Value::Object(patch)) if !rule.replace => {
                Value::Object(self.objects(child, old, patch)?)
            }
            (_, Value::Object(patch)) => {
                if patch.get(PATCH).is_some_and(|p| p == "delete") {
                    return Ok(());
                }
                Value::Object(self.objects(child, Fields::new(), patch)?)
            }
            (Some(Value::Array(old)), Value::Array(patch)) if rule.merge => {
                Value::Array(self.lists(self.items(child), old, patch, &rule)?)
            }
            (_, Value::Array(patch)) => {
                Value::Array(self.lists(self.items(child), Vec::new(), patch, &rule)?)
            }
            (_, scalar) => scalar.clone(),
        };
        original.insert(name.to_owned(), merged);
        Ok(())
    }

    /// Merges a list whose order the patch gives.
    fn ordered(
        &self,
        node: Option<NodeId>,
        original: &mut Fields,
        patch: &Fields,
        name: &str,
        order: &Value,
    ) -> Result<(), PatchError> {
        let order = order.as_array().ok_or_else(|| no_list(ORDER, name))?;
        let before = original.get(name).cloned();
        if let Some(value) = patch.get(name) {
            self.field(node, original, name, value)?;
        }
        let (_, rule) = self.child(node, name);
        if let (Some(Value::Array(merged)), true) = (original.get_mut(name), rule.merge) {
            let before = before
                .as_ref()
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            order::arrange(merged, order, before, rule.merge_key.as_deref());
        }
        Ok(())
    }

    /// Merges two lists by the key of their items, or as sets of values.
    fn lists(
        &self,
        items: Option<NodeId>,
        original: Vec<Value>,
        patch: &[Value],
        rule: &PatchRule,
    ) -> Result<Vec<Value>, PatchError> {
        let whole = patch
            .iter()
            .any(|item| item.get(PATCH).is_some_and(|p| p == "replace"));
        let mut merged = if whole { Vec::new() } else { original.clone() };
        let key = rule.merge_key.as_deref();
        let mut order = Vec::new();
        for item in patch {
            match item.get(PATCH).and_then(Value::as_str) {
                Some("delete") => {
                    let key = key
                        .filter(|_| rule.merge)
                        .ok_or_else(|| no_key(item, "none"))?;
                    let value = item.get(key).ok_or_else(|| no_key(item, key))?;
                    merged.retain(|old| old.get(key) != Some(value));
                }
                Some("replace") if item.as_object().is_some_and(|o| o.len() == 1) => {}
                _ => {
                    self.item(items, &mut merged, item, key.filter(|_| rule.merge))?;
                    order.push(item.clone());
                }
            }
        }
        if rule.merge && !whole {
            order::arrange(&mut merged, &order, &original, key);
        }
        Ok(merged)
    }

    /// Merges one item into a list.
    fn item(
        &self,
        node: Option<NodeId>,
        merged: &mut Vec<Value>,
        item: &Value,
        key: Option<&str>,
    ) -> Result<(), PatchError> {
        let Value::Object(fields) = item else {
            if key.is_some() || !merged.contains(item) || !item.is_string() {
                merged.push(item.clone());
            }
            return Ok(());
        };
        let found = match key {
            Some(key) => {
                let value = fields.get(key).ok_or_else(|| no_key(item, key))?;
                merged.iter().position(|old| old.get(key) == Some(value))
            }
            None => None,
        };
        let old = found.map(|at| merged[at].take());
        let old = old.and_then(|old| match old {
            Value::Object(old) => Some(old),
            _ => None,
        });
        let new = Value::Object(self.objects(node, old.unwrap_or_default(), fields)?);
        match found {
            Some(at) => merged[at] = new,
            None => merged.push(new),
        }
        Ok(())
    }

    fn child(&self, node: Option<NodeId>, name: &str) -> (Option<NodeId>, PatchRule) {
        let Some(node) = node else {
            return (None, PatchRule::default());
        };
        let field = self
            .schema
            .object_of(node)
            .and_then(|object| object.field(name));
        match field {
            Some(field) => (Some(field.node), field.patch.clone()),
            None => (self.schema.child(node, name), PatchRule::default()),
        }
    }

    fn items(&self, node: Option<NodeId>) -> Option<NodeId> {
        match self.schema.node(node?).shape {
            Shape::List(items, _) => Some(items),
            _ => None,
        }
    }
}

fn directives<'a>(
    patch: &'a Fields,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    patch
        .iter()
        .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
}

fn without(patch: &Fields, directive: &str) -> Fields {
    let mut patch = patch.clone();
    patch.remove(directive);
    patch
}

/// Drops the fields that are not on the list of those that stay.
fn retain(original: &mut Fields, patch: &Fields) -> Result<(), PatchError> {
    let Some(list) = patch.get(RETAIN) else {
        return Ok(());
    };
    let names = list.as_array().ok_or_else(|| no_list(RETAIN, ""))?;
    let stays = |name: &str| names.iter().any(|kept| kept == name);
    let unlisted = patch
        .iter()
        .find(|(name, value)| !name.starts_with('$') && !value.is_null() && !stays(name));
    if let Some((name, _)) = unlisted {
        let text = format!("{RETAIN} does not list {name:?}, which the patch sets");
        return Err(PatchError::malformed(text));
    }
    original.retain(|name, _| stays(name));
    Ok(())
}

fn no_list(directive: &str, name: &str) -> PatchError {
    PatchError::malformed(format!("{directive}{name} is not a list"))
}

fn no_key(item: &Value, key: &str) -> PatchError {
    PatchError::malformed(format!(
        "map: {item} does not contain declared merge key: {key}"
    ))
}

#[cfg(test)]
mod tests;
