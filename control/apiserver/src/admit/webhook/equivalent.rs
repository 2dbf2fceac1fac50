//! A webhook's rules may name another version of what a request is about: the same objects under
//! another group or version. Then it gets them in that one. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use keelson_schema::resource_table::row_api_version;
use serde_json::Value;

use super::{Hook, matches_rules};
use crate::admit::{Request, fields};
use crate::failure::{Failure, Outcome};
use crate::kinds::Kind;

/// The kind of a request in another version.
pub(crate) type Twin = Arc<Kind>;

/// Whether a webhook is asked, and in which other version if not in the request's own.
pub(super) fn find(
    hook: &Value,
    request: &Request<'_>,
    twins: &dyn Fn() -> Vec<Twin>,
) -> Option<Option<Twin>> {
    if matches_rules(hook, request) {
        return Some(None);
    }
    if fields::text(hook, "/matchPolicy") == "Exact" {
        return None;
    }
    let mut twins = twins().into_iter();
    twins
        .find(|twin| matches_rules(hook, &seen_as(request, twin)))
        .map(Some)
}

/// Whether the body is an object of the kind itself.
fn is_object(request: &Request<'_>, twin: &Kind) -> bool {
    request.body.2 == twin.kind
}

fn seen_as<'a>(request: &Request<'a>, twin: &'a Kind) -> Request<'a> {
    let own = (&*twin.group, &*twin.version, &*twin.kind);
    Request {
        group: &twin.group,
        version: &twin.version,
        resource: &twin.plural,
        body: if is_object(request, twin) {
            own
        } else {
            request.body
        },
        ..*request
    }
}

fn convert(twin: &Kind, object: &Value, version: &str) -> Outcome<Value> {
    let converted = twin.versions().convert(object, version);
    converted.ok_or_else(|| {
        let what = twin.qualified();
        Failure::internal(format!("{what} cannot be converted to {version}"))
    })
}

impl Hook {
    /// An object as the webhook sees it.
    pub(crate) fn see<'a>(
        &self,
        request: &Request<'_>,
        object: &'a Value,
    ) -> Outcome<Cow<'a, Value>> {
        match &self.twin {
            Some(twin) if is_object(request, twin) && !object.is_null() => {
                convert(twin, object, &twin.api_version()).map(Cow::Owned)
            }
            _ => Ok(Cow::Borrowed(object)),
        }
    }

    /// An object as the webhook left it, for the request again.
    pub(crate) fn unsee(&self, request: &Request<'_>, object: Value) -> Outcome<Value> {
        match &self.twin {
            Some(twin) if is_object(request, twin) => {
                let version = row_api_version(request.group, request.version);
                convert(twin, &object, &version)
            }
            _ => Ok(object),
        }
    }

    /// The request as the webhook sees it, but for its objects.
    pub(crate) fn see_request<'a>(&'a self, request: &Request<'a>) -> Request<'a> {
        match &self.twin {
            Some(twin) => seen_as(request, twin),
            None => *request,
        }
    }
}
