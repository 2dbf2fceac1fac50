//! Filling absent fields. Where Go cannot tell "absent" from "empty" or zero, neither do we.

/// Sets a field that may be told apart from its zero value.
pub(super) fn absent<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

/// Sets a text for which empty means absent.
pub(super) fn text(slot: &mut Option<String>, value: &str) {
    if slot.as_deref().unwrap_or_default().is_empty() {
        *slot = Some(value.to_owned());
    }
}

/// Sets a number for which zero means absent.
pub(super) fn number(slot: &mut Option<i32>, value: i32) {
    if slot.unwrap_or_default() == 0 {
        *slot = Some(value);
    }
}
