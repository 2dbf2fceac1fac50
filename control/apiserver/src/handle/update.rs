//! Changed objects: replaced or patched.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header;
use keelson_api::status_error::Reason;
use keelson_schema::write;
use serde_json::Value;

use crate::admission::{self, Action, Ask};
use crate::allocate;
use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::edit::{self, Edit};
use crate::handle::options::WriteOptions;
use crate::handle::{Call, create, decode, delete, judge, parts, present};
use crate::kinds::{served, stored};
use crate::registry::{Changed, Found, Next, metadata};
use crate::respond::{Reply, header_text};

/// Replaces.
pub(crate) async fn put(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let options = options(call)?;
    let decoded = decode::object(&call.kind, &call.headers, &body, options.validation)?;
    create::check_place(call, &decoded.object)?;
    let version = metadata::text(&decoded.object, "resourceVersion").to_owned();
    if version.is_empty() && !call.kind.strategy.unconditional_update {
        return Err(must_be_specified(call));
    }
    let may_create = call.kind.strategy.create_on_update && version.is_empty();
    let edit = Edit::Replace(decoded.object);
    let done = edit_or_create(api, call, &options, &edit, may_create).await?;
    Ok(done.reply(call).warning(decoded.warnings))
}

/// Patches; a configuration that is applied may create.
pub(crate) async fn patch(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let mut options = options(call)?;
    let edit = Edit::read(call, &body)?;
    options.applied = edit.is_apply();
    if options.force && !edit.is_apply() {
        return Err(Failure::bad_request(
            "force: Forbidden: may not be specified for non-apply patch",
        ));
    }
    let may_create = edit.is_apply();
    let done = edit_or_create(api, call, &options, &edit, may_create).await?;
    Ok(done.reply(call))
}

/// What became of a write.
pub(crate) struct Done {
    code: StatusCode,
    pub(crate) found: Found,
    pub(crate) warnings: Vec<String>,
}

impl Done {
    fn reply(self, call: &Call) -> Reply {
        let reply = present::found(call, self.code, self.found);
        reply.warning(self.warnings)
    }
}

async fn edit_or_create(
    api: &Api,
    call: &Call,
    options: &WriteOptions,
    edit: &Edit,
    may_create: bool,
) -> Outcome<Done> {
    let version = edit.version();
    let edited = change(api, call, options, version, |old| {
        edit.apply(call, options, old)
    });
    match edited.await {
        Err(failure)
            if failure.is(Reason::NotFound)
                && may_create
                && call.request.subresource.is_empty() =>
        {
            let mut object = edit.apply(call, options, &Value::Null)?;
            metadata::set(&mut object, "name", call.request.name.as_str().into());
            let (found, warnings) = create::create(api, call, object, options).await?;
            Ok(Done {
                code: StatusCode::CREATED,
                found,
                warnings,
            })
        }
        outcome => outcome,
    }
}

/// The options of a write.
pub(crate) fn options(call: &Call) -> Outcome<WriteOptions> {
    let agent = header_text(&call.headers, header::USER_AGENT);
    WriteOptions::read(&call.query, agent)
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
) -> Outcome<Done> {
    let name = &call.request.name;
    let attempt = api.registry.attempt(&call.kind, call.namespace(), name);
    let mut attempt = attempt.await?;
    loop {
        let found = served(&call.kind, &attempt.current.object)?;
        let old = &*found;
        let new = next(old)?;
        check_conditions(call, &new, old, version)?;
        let ask = Ask {
            call,
            action: Action::Update,
            name,
            namespace: call.namespace(),
            old,
            dry_run: options.dry_run,
        };
        let mut new = prepare(call, options, new, old);
        let mut warnings = admission::mutate(api, &ask, &mut new).await?;
        judge::changed(call, &new, old)?;
        warnings.extend(admission::validate(api, &ask, &new).await?);
        let done = |found| Done {
            code: StatusCode::OK,
            found,
            warnings: warnings.clone(),
        };
        if options.dry_run {
            return Ok(done(Found {
                object: new,
                revision: attempt.current.revision,
                written: None,
            }));
        }
        let service = allocate::is_service(&call.kind) && call.request.subresource.is_empty();
        let taken = match service {
            true => Some(allocate::take(&api.registry, &api.ranges, &mut new, old).await?),
            false => None,
        };
        let gone = metadata::is_going(old) && delete::is_done(&new);
        let same = write::is_same(&new, old);
        let new = stored(&call.kind, new)?;
        let decided = match (gone, same) {
            (true, _) => Next::Remove(new),
            (false, true) => Next::Keep,
            (false, false) => Next::Put(new),
        };
        let taken = taken.map(|taken| (taken, old.clone()));
        let committed = attempt.commit(decided).await;
        match (&committed, taken) {
            (Ok(Some(Changed::Removed(_))), Some((_, old))) => {
                allocate::settle(&api.registry, &old, &Value::Null).await;
            }
            (Ok(Some(Changed::Now(found))), Some((_, old))) => {
                allocate::settle(&api.registry, &old, &found.object).await;
            }
            (_, Some((taken, _))) => allocate::give_back(&api.registry, taken).await,
            (_, None) => {}
        }
        if let Some(changed) = committed? {
            return Ok(done(changed.found()));
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

/// Gives a new version what it has from the old one, its defaults and its owners.
fn prepare(call: &Call, options: &WriteOptions, new: Value, old: &Value) -> Value {
    let part = call.request.subresource.as_str();
    let mut new = parts::merge(part, new, old);
    metadata::set(&mut new, "name", old["metadata"]["name"].clone());
    create::fill_in(call, &mut new);
    let dated = &*call.kind.group == "certificates.k8s.io";
    if dated && matches!(part, "status" | "approval") {
        parts::date_conditions(&mut new, old, &metadata::time(call.now));
    }
    match part {
        "status" | "approval" => write::prepare_status(&call.kind, &mut new, old),
        "finalize" => {
            // An ordinary change leaves these as they were.
            let finalizers = new["spec"]["finalizers"].take();
            write::prepare_update(&call.kind, &mut new, old);
            new["spec"]["finalizers"] = finalizers;
        }
        _ => write::prepare_update(&call.kind, &mut new, old),
    }
    if options.applied {
        return new;
    }
    edit::owned(call, options, Some(old), new)
}
