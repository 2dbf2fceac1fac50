//! The order of a merged list: items that the patch names in its order, the rest where they were.

use serde_json::Value;

/// Orders a merged list: `order` is the patch's, `before` the list as it was.
pub(super) fn arrange(
    merged: &mut Vec<Value>,
    order: &[Value],
    before: &[Value],
    key: Option<&str>,
) {
    let place = |list: &[Value], item: &Value| list.iter().position(|i| same(i, item, key));
    let (mut named, mut rest): (Vec<_>, Vec<_>) = std::mem::take(merged)
        .into_iter()
        .partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    rest.sort_by_key(|item| place(before, item).unwrap_or(usize::MAX));
    let (mut named, mut rest) = (named.into_iter().peekable(), rest.into_iter().peekable());
    loop {
        let take_rest = match (rest.peek(), named.peek()) {
            (None, None) => return,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(left), Some(right)) => match (place(before, left), place(before, right)) {
                (Some(left), Some(right)) => left < right,
                _ => false,
            },
        };
        merged.extend(if take_rest { rest.next() } else { named.next() });
    }
}

fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key) == b.get(key),
        None => a == b,
    }
}
