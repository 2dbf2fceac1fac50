//! `metav1.Status`: the reasons an API request fails for, their codes, and the object that says so.
//!
//! Decides the table of reasons. When to fail is for those who serve the API.

use crate::meta::{Status, StatusCause, StatusDetails};
use crate::validate::field::ErrorList;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is malformed.
    BadRequest,
    /// The caller did not prove who they are.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// There is no such object.
    NotFound,
    /// The object is there already.
    AlreadyExists,
    /// The object has changed in the meantime.
    Conflict,
    /// The version asked for is too old.
    Expired,
    /// The object was there and is gone.
    Gone,
    /// The object cannot be worked with.
    Invalid,
    /// The method is not supported for this resource.
    MethodNotAllowed,
    /// None of the encodings asked for can be produced.
    NotAcceptable,
    /// The body is in an encoding that cannot be read.
    UnsupportedMediaType,
    /// The body is too large.
    RequestEntityTooLarge,
    /// The caller must slow down.
    TooManyRequests,
    /// Something broke here.
    InternalError,
    /// This server cannot serve at the moment.
    ServiceUnavailable,
    /// The request took too long.
    Timeout,
}

impl Reason {
    /// The HTTP status code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired | Self::Gone => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// The text in `status.reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::Gone => "Gone",
            Self::Invalid => "Invalid",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
        }
    }

    /// The object that answers a failed request.
    #[must_use]
    pub fn status(self, message: impl Into<String>) -> Status {
        Status {
            code: Some(i32::from(self.code())),
            message: Some(message.into()),
            reason: Some(self.as_str().to_owned()),
            status: Some("Failure".to_owned()),
            ..Status::default()
        }
    }
}

/// The answer to an object that cannot be worked with.
#[must_use]
pub fn invalid(group: &str, kind: &str, name: &str, errors: &ErrorList) -> Status {
    let qualified = if group.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}.{group}")
    };
    let message = format!("{qualified} {name:?} is invalid: {errors}");
    let causes = errors.iter().map(|error| StatusCause {
        field: Some(error.path.clone()),
        message: Some(error.body()),
        reason: Some(error.kind.reason().to_owned()),
    });
    Status {
        details: Some(StatusDetails {
            causes: Some(causes.collect()),
            group: Some(group.to_owned()).filter(|g| !g.is_empty()),
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            ..StatusDetails::default()
        }),
        ..Reason::Invalid.status(message)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, invalid};
    use crate::validate::field::{ErrorList, Path};

    #[test]
    fn carries_code_reason_and_causes() {
        let status = Reason::NotFound.status("pods \"a\" not found");
        assert_eq!(
            (status.code, status.reason.as_deref()),
            (Some(404), Some("NotFound"))
        );
        let mut errors = ErrorList::default();
        errors.required(&Path::new("spec").child("containers"), "");
        let status = invalid("", "Pod", "a", &errors);
        let message = "Pod \"a\" is invalid: spec.containers: Required value";
        assert_eq!(status.message.as_deref(), Some(message));
        let cause = &status.details.unwrap().causes.unwrap()[0];
        assert_eq!(cause.reason.as_deref(), Some("FieldValueRequired"));
        assert_eq!(cause.field.as_deref(), Some("spec.containers"));
    }
}
