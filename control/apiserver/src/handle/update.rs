//! Changed objects: replaced or patched.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header;
use keelson_api::status_error::Reason;
use keelson_schema::write;
use serde_json::Value;

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::options::WriteOptions;
use crate::handle::{Call, create, decode, delete, judge, present};
use crate::registry::{Found, Next, metadata};
use crate::respond::{Reply, header_text};

/// Replaces.
pub(crate) async fn put(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let options = options(call)?;
    let decoded = decode::object(&call.kind, &call.headers, &body, options.validation)?;
    create::check_place(call, &decoded.object)?;
    let given = decoded.object;
    let version = metadata::text(&given, "resourceVersion").to_owned();
    if version.is_empty() && !call.kind.strategy.unconditional_update {
        return Err(must_be_specified(call));
    }
    let replaced = change(api, call, &options, &version, |_| Ok(given.clone())).await;
    let (code, found) = match replaced {
        Err(failure) if failure.is(Reason::NotFound) && may_create(call, &version) => {
            let found = create::create(api, call, given, &options).await?;
            (StatusCode::CREATED, found)
        }
        outcome => (StatusCode::OK, outcome?),
    };
    let reply = present::tree(&call.kind, call.output, code, found.object);
    Ok(reply.warning(decoded.warnings))
}

/// Patches.
pub(crate) async fn patch(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let options = options(call)?;
    let media = decode::media_type(&call.headers);
    if media != "application/merge-patch+json" {
        return Err(decode::unsupported(media, "application/merge-patch+json"));
    }
    let patch: Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    let found = change(api, call, &options, "", |current| {
        let mut object = current.clone();
        merge(&mut object, &patch);
        decode::conform(&call.kind, &mut object)?;
        Ok(object)
    });
    let found = found.await?;
    Ok(present::tree(
        &call.kind,
        call.output,
        StatusCode::OK,
        found.object,
    ))
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The options of a write.
pub(crate) fn options(call: &Call) -> Outcome<WriteOptions> {
    let agent = header_text(&call.headers, header::USER_AGENT);
    WriteOptions::read(&call.query, agent)
}

fn may_create(call: &Call, version: &str) -> bool {
    call.kind.strategy.create_on_update && call.request.subresource.is_empty() && version.is_empty()
}

fn must_be_specified(call: &Call) -> Failure {
    Failure::invalid(
        &call.kind.group,
        &call.kind.kind,
        &call.request.name,
        [(
            "metadata.resourceVersion".to_owned(),
            "FieldValueInvalid".to_owned(),
            "Invalid value: 0: must be specified for an update".to_owned(),
        )],
    )
}

/// Changes an object: `next` makes the new one of the newest. A version given is a condition, and
/// so is a UID that the new object names.
pub(crate) async fn change(
    api: &Api,
    call: &Call,
    options: &WriteOptions,
    version: &str,
    next: impl Fn(&Value) -> Outcome<Value> + Send + Sync,
) -> Outcome<Found> {
    let name = &call.request.name;
    let attempt = api.registry.attempt(&call.kind, call.namespace(), name);
    let mut attempt = attempt.await?;
    loop {
        let old = &attempt.current.object;
        let new = next(old)?;
        check_conditions(call, &new, old, version)?;
        let new = prepare(call, new, old);
        judge::changed(call, &new, old)?;
        if options.dry_run {
            return Ok(Found {
                object: new,
                revision: attempt.current.revision,
            });
        }
        let gone = metadata::is_going(old) && delete::is_done(&new);
        let decided = match (gone, write::is_same(&new, old)) {
            (true, _) => Next::Remove(new),
            (false, true) => Next::Keep,
            (false, false) => Next::Put(new),
        };
        if let Some(changed) = attempt.commit(decided).await? {
            return Ok(changed.found());
        }
    }
}

fn check_conditions(call: &Call, new: &Value, old: &Value, version: &str) -> Outcome<()> {
    let (group, plural, name) = (&call.kind.group, &call.kind.plural, &call.request.name);
    let own = metadata::text(new, "resourceVersion");
    let wanted = if version.is_empty() { own } else { version };
    if !wanted.is_empty() && wanted != metadata::text(old, "resourceVersion") {
        return Err(Failure::stale(group, plural, name));
    }
    let (uid, there) = (metadata::text(new, "uid"), metadata::text(old, "uid"));
    if !uid.is_empty() && uid != there {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {there}");
        return Err(Failure::conflict(group, plural, name, &why));
    }
    Ok(())
}

/// Gives a new version what it has from the old one, and its defaults.
fn prepare(call: &Call, mut new: Value, old: &Value) -> Value {
    metadata::set(&mut new, "name", old["metadata"]["name"].clone());
    (call.kind.strategy.defaults)(&mut new);
    if call.request.subresource == "status" {
        write::prepare_status(&call.kind, &mut new, old);
    } else {
        write::prepare_update(&call.kind, &mut new, old);
    }
    new
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    #[test]
    fn merge_patches() {
        let check = |mut target: serde_json::Value, patch, expected| {
            merge(&mut target, &patch);
            assert_eq!(target, expected);
        };
        check(
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": null, "d": 3}}),
            json!({"a": {"c": 2, "d": 3}}),
        );
        check(
            json!({"a": 1}),
            json!({"a": {"b": {"c": null}}}),
            json!({"a": {"b": {}}}),
        );
        check(
            json!({"a": [1]}),
            json!({"a": [2, 3]}),
            json!({"a": [2, 3]}),
        );
    }
}
