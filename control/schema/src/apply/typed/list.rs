//! Items of lists by what they are known by.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Element, Typed};
use crate::schema::{NodeId, Topology};

/// The items of a list.
pub(super) struct Index<'v> {
    /// What each item is known by, in order, once each.
    pub(super) order: Vec<Element>,
    /// The items by what they are known by; more than one where the list has duplicates.
    pub(super) values: BTreeMap<Element, Vec<&'v Value>>,
}

/// Indexes a list; items that nothing is known by are left out.
pub(super) fn index<'v>(
    typed: Typed<'_>,
    items: NodeId,
    topology: &Topology,
    list: &'v [Value],
) -> Index<'v> {
    let mut index = Index {
        order: Vec::new(),
        values: BTreeMap::new(),
    };
    for item in list {
        let Ok(element) = element(typed, items, topology, item) else {
            continue;
        };
        let values = index.values.entry(element.clone()).or_default();
        if values.is_empty() {
            index.order.push(element);
        }
        values.push(item);
    }
    index
}

/// What an item is known by.
pub(super) fn element(
    typed: Typed<'_>,
    items: NodeId,
    topology: &Topology,
    item: &Value,
) -> Result<Element, String> {
    let Topology::Map(keys) = topology else {
        return match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("associative list with lists as elements".to_owned()),
            Value::Null => Err(
                "associative list without keys has an element that's an explicit null".to_owned(),
            ),
            scalar => Ok(Element::Value(scalar.to_string())),
        };
    };
    let Value::Object(fields) = item else {
        return Err("associative list with keys may not have non-map elements".to_owned());
    };
    let object = typed.schema.object_of(items);
    let mut key: Vec<_> = keys
        .iter()
        .filter_map(|name| {
            let default = || object?.field(name)?.default.as_ref();
            let value = fields.get(name.as_ref()).or_else(default)?;
            Some((name.to_string(), value.to_string()))
        })
        .collect();
    if key.is_empty() {
        return Err(format!(
            "associative list with keys has an element that omits all key fields {keys:?} \
             (and doesn't have default values for any key fields)"
        ));
    }
    key.sort();
    Ok(Element::Key(key))
}
