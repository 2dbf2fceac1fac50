//! Amounts of resources as the API writes them.

use std::collections::BTreeMap;

use keelson_api::WireQuantity;
use keelson_api::quantity::Quantity;

use crate::model::{Amounts, Kind};

/// Amounts by resource name.
pub type Listed = BTreeMap<String, WireQuantity>;

/// An amount in the unit that its kind is counted in. What cannot be read is none.
fn amount(kind: &Kind, quantity: &WireQuantity) -> i64 {
    let Ok(quantity) = Quantity::try_from(quantity) else {
        return 0;
    };
    match kind {
        Kind::Cpu => quantity.milli_value(),
        Kind::Memory | Kind::Ephemeral | Kind::Other(_) => quantity.value(),
    }
}

/// Bytes or pieces.
#[must_use]
pub fn whole(quantity: &WireQuantity) -> i64 {
    amount(&Kind::Memory, quantity)
}

/// Reads amounts.
#[must_use]
pub fn read(listed: &Listed) -> Amounts {
    let mut amounts = Amounts::default();
    for (name, quantity) in listed {
        let kind = Kind::of(name);
        let amount = amount(&kind, quantity);
        *amounts.place(kind) = amount;
    }
    amounts
}
