//! One object.

use crate::api::Api;
use crate::failure::Outcome;
use crate::handle::options::{ListOptions, Wanted};
use crate::handle::{Call, present};
use crate::respond::Reply;

/// Reads the newest state; a version asked for is waited for.
pub(crate) async fn answer(api: &Api, call: &Call) -> Outcome<Reply> {
    let options = ListOptions::read(&call.query, false)?;
    if let Wanted::NotOlderThan(revision) | Wanted::Exactly(revision) = options.wanted {
        api.registry.caches.wait_for(revision).await?;
    }
    let (kind, name) = (&call.kind, &call.request.name);
    let bytes = api.registry.bytes(kind, call.namespace(), name).await?;
    present::stored(call, hyper::StatusCode::OK, bytes)
}
