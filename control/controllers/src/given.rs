//! Test inputs: stores filled from JSON, and plans for a key.

use jiff::Timestamp;
use keelson_client::Store;
use keelson_client::cache::Key;
use serde_json::Value;

use crate::controller::{Input, Plan, Reconcile};
use crate::kinds::Kind;

/// A store with these objects.
pub fn store<K: Kind>(objects: Value) -> Store<K> {
    let (store, mut writer) = Store::new(K::all_indexes());
    for object in objects.as_array().expect("a list of objects") {
        writer.apply(read(object.clone()));
    }
    store
}

/// An object.
pub fn read<K: Kind>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

/// So many seconds after the epoch.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// What a controller wants for a key.
pub fn plan(controller: &impl Reconcile, now: Timestamp, namespace: &str, name: &str) -> Plan {
    controller.reconcile(&Input {
        now,
        key: &Key::new(namespace, name),
        failure: None,
    })
}
