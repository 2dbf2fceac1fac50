//! Devices: their classes, slices and claims, and what claims were given.
//!
//! Expressions in CEL are for those who evaluate them: here they are only measured.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::rules::Rule::{
    AtMost, Form, Keys, Need, NeedForm, NeedOneOf, NotNegative, OneOf, Short, Unique,
};
use super::rules::{self, Rules};
use super::{At, immutable, storage};

/// What a device must be like, and what its driver is to know.
const CLASS: Rules = &[
    ("selectors", AtMost(32)),
    ("selectors[].cel", Need("")),
    ("selectors[].cel?.expression", Short(10 * 1024)),
    ("config", AtMost(32)),
    ("config[].opaque", Need("")),
    ("config[].opaque?.driver", NeedForm(storage::driver_name)),
    ("config[].opaque?.parameters", Need("")),
];

const CLAIM: Rules = &[
    ("requests", AtMost(32)),
    ("requests", Unique(&["name"])),
    ("requests[].name", NeedForm(names::dns_label)),
    ("requests[].firstAvailable", AtMost(8)),
    ("requests[].firstAvailable", Unique(&["name"])),
    (
        "requests[].firstAvailable[].name",
        NeedForm(names::dns_label),
    ),
    ("constraints", AtMost(32)),
    ("constraints[].requests", AtMost(32)),
    ("constraints[].requests", Unique(&[])),
    ("config[].requests", AtMost(32)),
    ("config[].requests", Unique(&[])),
];

const DEVICE_REQUEST: Rules = &[
    ("deviceClassName", NeedForm(names::dns_subdomain)),
    ("allocationMode", NeedOneOf(&["All", "ExactCount"])),
    ("tolerations[].operator", OneOf(&["Equal", "Exists"])),
    (
        "tolerations[].effect",
        OneOf(&["NoExecute", "NoSchedule", "None"]),
    ),
    ("tolerations[].key", Form(names::qualified_name)),
];

const SLICE: Rules = &[
    ("driver", NeedForm(storage::driver_name)),
    ("pool.name", NeedForm(pool_name)),
    ("pool.generation", NotNegative),
    ("nodeSelector?.nodeSelectorTerms", Need("")),
    ("devices", AtMost(128)),
    ("devices", Unique(&["name"])),
    ("devices[].name", NeedForm(names::dns_label)),
    ("devices[].attributes", Keys(attribute_name)),
    ("devices[].attributes{}.string", Short(64)),
    ("devices[].attributes{}.version", Short(64)),
    ("devices[].attributes{}.version", Form(version)),
    ("devices[].capacity", Keys(attribute_name)),
    ("devices[].taints", AtMost(16)),
    ("devices[].taints[].key", NeedForm(names::qualified_name)),
    ("devices[].taints[].value", Form(names::label_value)),
    (
        "devices[].taints[].effect",
        NeedOneOf(&["NoExecute", "NoSchedule", "None"]),
    ),
    ("devices[].consumesCounters", Unique(&["counterSet"])),
    (
        "devices[].consumesCounters[].counterSet",
        NeedForm(names::dns_label),
    ),
    ("devices[].consumesCounters[].counters", Need("")),
    ("sharedCounters", AtMost(8)),
    ("sharedCounters", Unique(&["name"])),
    ("sharedCounters[].name", NeedForm(names::dns_label)),
    ("sharedCounters[].counters", Need("")),
    ("sharedCounters[].counters", Keys(names::dns_label)),
];

const STATUS: Rules = &[
    ("reservedFor", AtMost(256)),
    ("reservedFor", Unique(&["uid"])),
    ("reservedFor[].resource", Need("")),
    ("reservedFor[].name", Need("")),
    ("reservedFor[].uid", Need("")),
    ("devices", Unique(&["driver", "pool", "device", "shareID"])),
    ("devices[].driver", NeedForm(storage::driver_name)),
    ("devices[].pool", NeedForm(pool_name)),
    ("devices[].device", NeedForm(names::dns_label)),
];

const ALLOCATION: Rules = &[
    ("results", AtMost(32)),
    ("results[].driver", NeedForm(storage::driver_name)),
    ("results[].pool", NeedForm(pool_name)),
    ("results[].device", NeedForm(names::dns_label)),
    ("config", AtMost(64)),
    ("config[].source", NeedOneOf(&["FromClaim", "FromClass"])),
    ("config[].requests", Unique(&[])),
    ("config[].opaque", Need("")),
];

/// Subdomains joined by slashes.
fn pool_name(name: &str) -> Vec<String> {
    let mut wrong: Vec<_> = name.split('/').flat_map(names::dns_subdomain).collect();
    if name.len() > 253 {
        wrong.push("must be no more than 253 bytes".to_owned());
    }
    wrong
}

/// An identifier of C, perhaps after a domain.
fn attribute_name(name: &str) -> Vec<String> {
    let (domain, id) = match name.split_once('/') {
        Some((domain, id)) => (Some(domain), id),
        None => (None, name),
    };
    let mut wrong = domain.map(names::dns_subdomain).unwrap_or_default();
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if id.is_empty() || id.starts_with(|c: char| c.is_ascii_digit()) || !id.chars().all(letters) {
        wrong.push("a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')".to_owned());
    }
    if id.len() > 32 {
        wrong.push("must be no more than 32 bytes".to_owned());
    }
    wrong
}

/// A version as semver.org writes them.
fn version(text: &str) -> Vec<String> {
    let (rest, build) = text.split_once('+').unwrap_or((text, "x"));
    let (core, pre) = rest.split_once('-').unwrap_or((rest, "x"));
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let words = |text: &str| {
        text.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    };
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let numbers = pre.split('.').all(|part| !is_number(part) || number(part));
    let fits = core.split('.').count() == 3 && core.split('.').all(number);
    if fits && words(pre) && words(build) && numbers {
        return Vec::new();
    }
    vec!["must be a string compatible with semver.org spec 2.0.0".to_owned()]
}

/// Judges a class of devices.
pub fn device_class(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    rules::apply(&spec, CLASS, errors);
    let name = spec.field("extendedResourceName");
    let domain = name.text().split_once('/').map(|(domain, _)| domain);
    let fits = domain.is_some_and(|domain| {
        let ours = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
        !ours && !name.text().starts_with("requests.")
    });
    if name.is_given() && (!fits || !names::qualified_name(name.text()).is_empty()) {
        name.invalid("must be a valid extended resource name", errors);
    }
}

/// Judges a claim for devices.
pub fn resource_claim(object: &Value, errors: &mut ErrorList) {
    claim(&At::root(object).at("spec.devices"), errors);
}

/// Judges a template of claims.
pub fn resource_claim_template(object: &Value, errors: &mut ErrorList) {
    claim(&At::root(object).at("spec.spec.devices"), errors);
}

fn claim(devices: &At<'_>, errors: &mut ErrorList) {
    rules::apply(devices, CLAIM, errors);
    rules::apply(devices, CLASS, errors);
    for request in devices.field("requests").items() {
        let (exactly, first) = (request.field("exactly"), request.field("firstAvailable"));
        let union = "exactly one of `exactly` or `firstAvailable` is required";
        match (exactly.is_given(), !first.is_empty()) {
            (false, false) => errors.required(&request.path, union),
            (true, true) => {
                let detail = format!("{union}, but multiple fields are set");
                errors.invalid(&request.path, Value::Null, detail);
            }
            (true, false) => device_request(&exactly, errors),
            (false, true) => first.items().for_each(|one| device_request(&one, errors)),
        }
    }
    for constraint in devices.field("constraints").items() {
        let fields = ["matchAttribute", "distinctAttribute"].map(|name| constraint.field(name));
        match fields.iter().find(|field| field.is_given()) {
            Some(field) if !field.text().contains('/') => {
                field.invalid("must include a domain", errors);
            }
            Some(field) => field.form(attribute_name, errors),
            None => {
                let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
                errors.required(&constraint.path, detail);
            }
        }
    }
    let known = request_names(devices);
    for list in ["constraints[].requests[]", "config[].requests[]"] {
        rules::each(devices, list, &mut |name| refers(name, &known, errors));
    }
}

fn device_request(request: &At<'_>, errors: &mut ErrorList) {
    rules::apply(request, DEVICE_REQUEST, errors);
    rules::apply(request, CLASS, errors);
    let count = request.field("count");
    let number = count.int().unwrap_or_default();
    match request.field("allocationMode").text() {
        "All" if number != 0 => {
            count.invalid("must not be specified when allocationMode is 'All'", errors);
        }
        "ExactCount" if number <= 0 => {
            errors.invalid(&count.path, number, "must be greater than zero");
        }
        _ => {}
    }
}

/// Names of requests, and of requests with one of their choices.
fn request_names(devices: &At<'_>) -> Vec<String> {
    let mut known = Vec::new();
    for request in devices.field("requests").items() {
        let name = request.field("name").text();
        known.push(name.to_owned());
        let choices = request.field("firstAvailable").items();
        known.extend(choices.map(|choice| format!("{name}/{}", choice.field("name").text())));
    }
    known
}

fn refers(name: &At<'_>, known: &[String], errors: &mut ErrorList) {
    if !known.iter().any(|one| one == name.text()) {
        let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        name.invalid(detail, errors);
    }
}

/// Judges the change of a claim or of a template of claims.
pub fn claim_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec"], errors);
}

/// Judges the status of a claim: what it was given, and who may use that.
pub fn claim_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (object, before) = (At::root(new), At::root(old).field("status"));
    let now = object.field("status");
    rules::apply(&now, STATUS, errors);
    let (users, given) = (now.field("reservedFor"), now.field("allocation"));
    if !users.is_empty() && !given.is_given() {
        users.forbidden("may not be specified when `allocated` is not set", errors);
    }
    let known = before.field("reservedFor");
    let is_new = |user: At<'_>| !known.items().any(|old| old.value == user.value);
    if object.at("metadata.deletionTimestamp").is_given() && users.items().any(is_new) {
        let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        users.forbidden(detail, errors);
    }
    if before.field("allocation").is_given() && given.is_given() {
        immutable(new, old, &["status.allocation"], errors);
    } else if given.is_given() {
        let devices = given.field("devices");
        rules::apply(&devices, ALLOCATION, errors);
        let known = request_names(&object.at("spec.devices"));
        for list in ["results[].request", "config[].requests[]"] {
            rules::each(&devices, list, &mut |name| refers(name, &known, errors));
        }
    }
}

/// Where devices may be.
const PLACES: [&str; 4] = [
    "nodeName",
    "nodeSelector",
    "allNodes",
    "perDeviceNodeSelection",
];

/// Judges a slice of a pool of devices.
pub fn resource_slice(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    rules::apply(&spec, SLICE, errors);
    let count = spec.at("pool.resourceSliceCount");
    let number = count.int().unwrap_or_default();
    if number <= 0 {
        errors.invalid(&count.path, number, "must be greater than zero");
    }
    place(&spec, &PLACES, "", errors);
    if spec.field("sharedCounters").is_given() && spec.field("devices").is_given() {
        let detail = "only one of `sharedCounters` or `devices` is allowed";
        errors.invalid(&spec.path, "", detail);
    }
    let each_has_its_own = spec.field("perDeviceNodeSelection").flag();
    for device in spec.field("devices").items() {
        let entries = |name| device.field(name).entries();
        let all = entries("attributes").count() + entries("capacity").count();
        if all > 32 {
            let detail = "the total number of attributes and capacities must not exceed 32";
            errors.invalid(&device.path, all, detail);
        }
        for (_, attribute) in entries("attributes") {
            let values = attribute.value.as_object().map_or(0, serde_json::Map::len);
            if values != 1 {
                attribute.invalid("exactly one value must be specified", errors);
            }
        }
        if each_has_its_own {
            let when = " when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            place(&device, &PLACES[..3], when, errors);
        } else if PLACES[..3].iter().any(|name| device.field(name).is_given()) {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.invalid(&device.path, Value::Null, detail);
        }
    }
}

/// Devices are in one place.
fn place(at: &At<'_>, places: &[&str], when: &str, errors: &mut ErrorList) {
    let name = at.field("nodeName");
    if name.is_given() && name.is_empty() {
        name.invalid("must be either unset or set to a non-empty string", errors);
    }
    name.form(names::dns_subdomain, errors);
    for flag in ["allNodes", "perDeviceNodeSelection"] {
        let flag = at.field(flag);
        if flag.is_given() && !flag.flag() {
            flag.invalid("must be either unset or set to true", errors);
        }
    }
    let terms = at.at("nodeSelector.nodeSelectorTerms");
    if terms.items().count() > 1 {
        terms.invalid("must have exactly one node selector term", errors);
    }
    let is_set = |name: &&&str| {
        let field = at.field(name);
        field.flag() || !field.text().is_empty() || field.value.is_object()
    };
    let set: Vec<_> = places
        .iter()
        .filter(is_set)
        .map(|name| format!("`{name}`"))
        .collect();
    let all: Vec<_> = places.iter().map(|name| format!("`{name}`")).collect();
    let union = format!("exactly one of {} is required{when}", all.join(", "));
    match set.len() {
        0 => errors.required(&at.path, union),
        1 => {}
        _ => {
            let found = format!("{{{}}}", set.join(", "));
            errors.invalid(
                &at.path,
                found,
                format!("{union}, but multiple fields are set"),
            );
        }
    }
}

/// Judges the change of a slice.
pub fn resource_slice_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(
        new,
        old,
        &["spec.pool.name", "spec.driver", "spec.nodeName"],
        errors,
    );
}
