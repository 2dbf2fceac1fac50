//! New objects.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header;
use keelson_api::status_error::Reason;
use keelson_schema::write::{self, Birth};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::options::WriteOptions;
use crate::handle::{Call, decode, judge, present};
use crate::registry::{Found, metadata};
use crate::respond::{Reply, header_text};

/// How many generated names are tried.
const NAMES: usize = 8;

/// Creates.
pub(crate) async fn answer(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let agent = header_text(&call.headers, header::USER_AGENT);
    let options = WriteOptions::read(&call.query, agent)?;
    let decoded = decode::object(&call.kind, &call.headers, &body, options.validation)?;
    let created = create(api, call, decoded.object, &options).await?;
    let reply = present::tree(&call.kind, call.output, StatusCode::CREATED, created.object);
    Ok(reply.warning(decoded.warnings))
}

/// Creates a decoded object.
pub(crate) async fn create(
    api: &Api,
    call: &Call,
    mut object: Value,
    options: &WriteOptions,
) -> Outcome<Found> {
    check_place(call, &object)?;
    if !metadata::text(&object, "resourceVersion").is_empty() {
        return Err(Failure::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let base = metadata::text(&object, "generateName").to_owned();
    let generated = metadata::text(&object, "name").is_empty() && !base.is_empty();
    prepare(call, &mut object)?;
    for _ in 0..NAMES {
        if generated {
            metadata::set(
                &mut object,
                "name",
                metadata::generate(&base, random()?).into(),
            );
        }
        judge::created(call, &object)?;
        match store(api, call, object.clone(), options).await {
            Err(failure) if generated && failure.is(Reason::AlreadyExists) => {}
            outcome => return outcome,
        }
    }
    let name = metadata::text(&object, "name");
    Err(Failure::already_exists(
        &call.kind.group,
        &call.kind.plural,
        name,
    ))
}

async fn store(api: &Api, call: &Call, object: Value, options: &WriteOptions) -> Outcome<Found> {
    if !options.dry_run {
        return api.registry.create(&call.kind, object).await;
    }
    let (namespace, name) = metadata::place(&object);
    match api.registry.read(&call.kind, namespace, name).await {
        Ok(_) => Err(Failure::already_exists(
            &call.kind.group,
            &call.kind.plural,
            name,
        )),
        Err(failure) if failure.is(Reason::NotFound) => Ok(Found {
            object,
            revision: 0,
        }),
        Err(failure) => Err(failure),
    }
}

/// Name and namespace of the object are those of the path.
pub(crate) fn check_place(call: &Call, object: &Value) -> Outcome<()> {
    let (namespace, name) = metadata::place(object);
    if !namespace.is_empty() && namespace != call.namespace() {
        return Err(Failure::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request ({namespace:?} is not {:?})",
            call.namespace()
        )));
    }
    let wanted = &call.request.name;
    if !wanted.is_empty() && !name.is_empty() && name != wanted {
        return Err(Failure::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}

/// Fills in defaults and what the server gives a new object.
fn prepare(call: &Call, object: &mut Value) -> Outcome<()> {
    (call.kind.strategy.defaults)(object);
    let birth = Birth {
        uid: &metadata::uuid(random()?),
        now: call.now,
        namespace: Some(call.namespace()).filter(|namespace| !namespace.is_empty()),
    };
    write::prepare_create(&call.kind, object, &birth);
    Ok(())
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::internal("the system has no random numbers"))?;
    Ok(bytes)
}
