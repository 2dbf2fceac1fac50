//! Events, of the core group and of their own.

use keelson_api::validate::field::{ErrorList, Path};
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable};

/// Fields of an event in its own group that have another name in the core group, whose names
/// upstream blames.
const CORE: [(&str, &str); 6] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// The most bytes of some fields.
const LIMITS: [(&str, usize); 4] = [
    ("reportingInstance", 128),
    ("action", 128),
    ("reason", 128),
    ("note", 1024),
];

/// Judges an event of the core group.
pub fn event(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    namespaces(&object, &object.field("involvedObject"), errors);
    if object.field("eventTime").is_given() {
        complete(&object, "reportingComponent", "message", errors);
    }
}

/// An event is where the object is that it is about.
fn namespaces(object: &At<'_>, about: &At<'_>, errors: &mut ErrorList) {
    let (own, involved) = (object.at("metadata.namespace"), about.field("namespace"));
    let dated = object.field("eventTime").is_given();
    let fits = if involved.is_empty() {
        own.text() == "default" || (dated && own.text() == "kube-system")
    } else {
        dated || own.text() == involved.text()
    };
    if !fits {
        let path = Path::new("involvedObject").child("namespace");
        errors.invalid(&path, involved.text(), "does not match event.namespace");
    }
}

/// What an event must hold that says when it was seen.
fn complete(object: &At<'_>, controller: &str, note: &str, errors: &mut ErrorList) {
    let reporter = object.field(controller);
    let path = Path::new("reportingController");
    if reporter.is_empty() {
        errors.required(&path, "");
    }
    errors.check(
        &path,
        reporter.text(),
        names::qualified_name(reporter.text()),
    );
    for field in ["reportingInstance", "action", "reason"] {
        object.field(field).need("", errors);
    }
    for (field, limit) in LIMITS {
        let name = if field == "note" { note } else { field };
        if object.field(name).text().len() > limit {
            let path = Path::new(if field == "note" { "message" } else { field });
            errors.invalid(&path, "", format!("can have at most {limit} characters"));
        }
    }
}

/// Judges an event of the events' own group.
pub fn new_event(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    namespaces(&object, &object.field("regarding"), errors);
    if object.field("eventTime").is_given() {
        complete(&object, "reportingController", "note", errors);
    }
    if !object.at("metadata.resourceVersion").is_empty() {
        // What was there before may be of the core group.
        return;
    }
    object.field("eventTime").need("", errors);
    series(&object.field("series"), errors);
    let kind = object.field("type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        let detail = format!("has invalid value: {}", kind.text());
        errors.invalid(&kind.path, "", detail);
    }
    for (field, name) in &CORE[2..] {
        let field = object.field(field);
        if !field.is_empty() && field.int() != Some(0) {
            errors.invalid(&Path::new(name), "", "needs to be unset");
        }
    }
}

fn series(series: &At<'_>, errors: &mut ErrorList) {
    if !series.is_given() {
        return;
    }
    if series.field("count").int().unwrap_or_default() < 2 {
        errors.invalid(&series.path.child("count"), "", "should be at least 2");
    }
    series.field("lastObservedTime").need("", errors);
}

/// Judges the change of an event: only its series goes on.
pub fn new_event_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (At::root(new), At::root(old));
    if now.field("series").value != before.field("series").value {
        series(&now.field("series"), errors);
    }
    for (own, core) in CORE {
        let (now, before) = (now.field(own), before.field(own));
        if now.value != before.value {
            let path = Path::new(core);
            errors.invalid(&path, now.value.clone(), "field is immutable");
        }
    }
    let same = [
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingController",
        "reportingInstance",
    ];
    immutable(new, old, &same, errors);
}
