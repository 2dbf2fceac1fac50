//! New objects.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header;
use keelson_api::status_error::Reason;
use keelson_schema::write::{self, Birth};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;

use crate::admission::{self, Action, Ask};
use crate::admit::certificates;
use crate::allocate;
use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::options::WriteOptions;
use crate::handle::{Call, decode, edit, judge, present};
use crate::kinds::stored;
use crate::registry::{Found, metadata};
use crate::respond::{Reply, header_text};

/// How many generated names are tried.
const NAMES: usize = 8;

/// Creates.
pub(crate) async fn answer(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let agent = header_text(&call.headers, header::USER_AGENT);
    let options = WriteOptions::read(&call.query, agent)?;
    let decoded = decode::object(&call.kind, &call.headers, &body, options.validation)?;
    let (created, warnings) = create(api, call, decoded.object, &options).await?;
    let reply = present::found(call, StatusCode::CREATED, created);
    Ok(reply.warning(decoded.warnings).warning(warnings))
}

/// Creates a decoded object; answers with warnings beside it.
pub(crate) async fn create(
    api: &Api,
    call: &Call,
    mut object: Value,
    options: &WriteOptions,
) -> Outcome<(Found, Vec<String>)> {
    check_place(call, &object)?;
    if !metadata::text(&object, "resourceVersion").is_empty() {
        return Err(Failure::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let base = metadata::text(&object, "generateName").to_owned();
    let own = metadata::text(&object, "name").to_owned();
    let generated = own.is_empty() && !base.is_empty();
    prepare(call, options, &mut object)?;
    let ask = Ask {
        call,
        action: Action::Create,
        name: &own,
        namespace: call.namespace(),
        old: &Value::Null,
        dry_run: options.dry_run,
    };
    let mut warnings = admission::mutate(api, &ask, &mut object).await?;
    for _ in 0..NAMES {
        if generated {
            metadata::set(
                &mut object,
                "name",
                metadata::generate(&base, random()?).into(),
            );
        }
        judge::created(call, &object)?;
        let more = admission::validate(api, &ask, &object).await?;
        // Only a name that we made up is replaced by another.
        let own = match generated {
            true => object.clone(),
            false => object.take(),
        };
        match store(api, call, stored(&call.kind, own)?, options).await {
            Err(failure) if generated && failure.is(Reason::AlreadyExists) => {}
            outcome => {
                warnings.extend(more);
                return Ok((outcome?, warnings));
            }
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
    if !options.dry_run && allocate::is_service(&call.kind) {
        return store_service(api, call, object).await;
    }
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
            written: None,
        }),
        Err(failure) => Err(failure),
    }
}

/// Stores a service with its addresses.
async fn store_service(api: &Api, call: &Call, mut service: Value) -> Outcome<Found> {
    let taken = allocate::take(&api.registry, &api.ranges, &mut service, &Value::Null).await?;
    match api.registry.create(&call.kind, service).await {
        Ok(found) => Ok(found),
        Err(failure) => {
            allocate::give_back(&api.registry, taken).await;
            Err(failure)
        }
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
fn prepare(call: &Call, options: &WriteOptions, object: &mut Value) -> Outcome<()> {
    fill_in(call, object);
    let birth = Birth {
        uid: &metadata::uuid(random()?),
        now: call.now,
        namespace: Some(call.namespace()).filter(|namespace| !namespace.is_empty()),
    };
    write::prepare_create(&call.kind, object, &birth);
    if call.kind.group == certificates::GROUP && call.kind.plural == certificates::REQUESTS {
        certificates::sign_in(&call.user, object);
    }
    if !options.applied {
        *object = edit::owned(call, options, None, object.take());
    }
    Ok(())
}

/// Fills in what was left out.
pub(crate) fn fill_in(call: &Call, object: &mut Value) {
    match call.kind.definition() {
        Some(version) => version.fill_in(object),
        None => (call.kind.strategy.defaults)(object),
    }
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::internal("the system has no random numbers"))?;
    Ok(bytes)
}
