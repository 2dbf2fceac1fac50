//! Why a request is refused, as `metav1.Status` says it. The one table from our errors to replies.
//! Pure: how the reply is encoded is `respond`'s business.

use keelson_api::meta::{Status, StatusCause, StatusDetails};
use keelson_api::status_error::Reason;

/// A failed request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure(Box<Status>);

/// What every handler returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// A resource as messages name it: `pods`, `deployments.apps`.
pub(crate) fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

impl Failure {
    /// A failure of this reason, without details.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(reason.status(message)))
    }

    /// A failure that somebody else has put into words: a validation, a webhook.
    pub(crate) fn of(status: Status) -> Self {
        Self(Box::new(status))
    }

    fn about(reason: Reason, group: &str, resource: &str, name: &str, message: String) -> Self {
        let details = StatusDetails {
            group: Some(group.to_owned()).filter(|group| !group.is_empty()),
            kind: Some(resource.to_owned()),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            ..StatusDetails::default()
        };
        Self(Box::new(Status {
            details: Some(details),
            ..reason.status(message)
        }))
    }

    /// There is no such object.
    pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Self::about(Reason::NotFound, group, resource, name, message)
    }

    /// The object is there already.
    pub(crate) fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, resource));
        Self::about(Reason::AlreadyExists, group, resource, name, message)
    }

    /// The object is not what the writer took it for.
    pub(crate) fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = format!("Operation cannot be fulfilled on {what} {name:?}: {why}");
        Self::about(Reason::Conflict, group, resource, name, message)
    }

    /// The conflict of a writer who has read an older version.
    pub(crate) fn stale(group: &str, resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }

    /// Somebody may not do this.
    pub(crate) fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (what.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} {name:?} is forbidden: {why}"),
        };
        Self::about(Reason::Forbidden, group, resource, name, message)
    }

    /// The object cannot be worked with; the errors are `(field, reason, message)`.
    pub(crate) fn invalid(
        group: &str,
        kind: &str,
        name: &str,
        errors: impl IntoIterator<Item = (String, String, String)>,
    ) -> Self {
        let causes: Vec<_> = errors.into_iter().collect();
        let mut texts: Vec<String> = causes.iter().map(|(f, _, m)| format!("{f}: {m}")).collect();
        let text = match texts.len() {
            1 => texts.remove(0),
            _ => format!("[{}]", texts.join(", ")),
        };
        let what = qualified(group, kind);
        let message = format!("{what} {name:?} is invalid: {text}");
        let mut failure = Self::about(Reason::Invalid, group, kind, name, message);
        if let Some(details) = &mut failure.0.details {
            let causes = causes
                .into_iter()
                .map(|(field, reason, message)| StatusCause {
                    field: Some(field),
                    message: Some(message),
                    reason: Some(reason),
                });
            details.causes = Some(causes.collect());
        }
        failure
    }

    /// The request is malformed.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// The path or the resource does not exist here.
    pub(crate) fn unknown_path() -> Self {
        let mut failure = Self::new(
            Reason::NotFound,
            "the server could not find the requested resource",
        );
        failure.0.details = Some(StatusDetails::default());
        failure
    }

    /// The verb is not one of this resource.
    pub(crate) fn method_not_allowed(group: &str, resource: &str, action: &str) -> Self {
        let what = qualified(group, resource);
        let message = format!("{action} is not supported on resources of kind {what:?}");
        Self::about(Reason::MethodNotAllowed, group, resource, "", message)
    }

    /// The version asked for is not kept any more.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// Nobody who is known.
    pub(crate) fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// Something broke here.
    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        let text = format!("Internal error occurred: {message}");
        let mut failure = Self::new(Reason::InternalError, text);
        failure.0.details = Some(StatusDetails {
            causes: Some(vec![StatusCause {
                message: Some(message.to_string()),
                ..StatusCause::default()
            }]),
            ..StatusDetails::default()
        });
        failure
    }

    /// The caller should come back later.
    pub(crate) fn busy(message: impl Into<String>, seconds: i32) -> Self {
        let mut failure = Self::new(Reason::TooManyRequests, message);
        failure.0.details = Some(StatusDetails {
            retry_after_seconds: Some(seconds),
            ..StatusDetails::default()
        });
        failure
    }

    /// Adds a cause.
    pub(crate) fn because(mut self, reason: &str, message: impl Into<String>) -> Self {
        let details = self.0.details.get_or_insert_default();
        details.causes.get_or_insert_default().push(StatusCause {
            reason: Some(reason.to_owned()),
            message: Some(message.into()),
            ..StatusCause::default()
        });
        self
    }

    /// Adds a cause that is about a field.
    pub(crate) fn at_field(mut self, reason: &str, field: &str, message: String) -> Self {
        let details = self.0.details.get_or_insert_default();
        details.causes.get_or_insert_default().push(StatusCause {
            reason: Some(reason.to_owned()),
            field: Some(field.to_owned()),
            message: Some(message),
        });
        self
    }

    /// The whole reply.
    pub(crate) fn status(&self) -> &Status {
        &self.0
    }

    /// The HTTP code.
    pub(crate) fn code(&self) -> u16 {
        self.0
            .code
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(500)
    }

    /// Whether it is for this reason.
    pub(crate) fn is(&self, reason: Reason) -> bool {
        self.0.reason.as_deref() == Some(reason.as_str())
    }

    /// What is said to people.
    pub(crate) fn message(&self) -> &str {
        self.0.message.as_deref().unwrap_or_default()
    }

    /// When to try again.
    pub(crate) fn retry_after(&self) -> Option<i32> {
        self.0.details.as_ref()?.retry_after_seconds
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: &Failure, code: u16, message: &str) {
        assert_eq!((failure.code(), failure.message()), (code, message));
    }

    #[test]
    fn messages_name_the_object() {
        check(
            &Failure::not_found("", "pods", "a"),
            404,
            "pods \"a\" not found",
        );
        check(
            &Failure::already_exists("apps", "deployments", "a"),
            409,
            "deployments.apps \"a\" already exists",
        );
        check(
            &Failure::stale("", "pods", "a"),
            409,
            "Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to the latest version and try again",
        );
        check(
            &Failure::forbidden("", "pods", "", "no"),
            403,
            "pods is forbidden: no",
        );
        check(&Failure::forbidden("", "", "", "no"), 403, "forbidden: no");
        let error = (
            "spec.a".to_owned(),
            "FieldValueRequired".to_owned(),
            "Required value".to_owned(),
        );
        check(
            &Failure::invalid("apps", "Deployment", "a", [error]),
            422,
            "Deployment.apps \"a\" is invalid: spec.a: Required value",
        );
    }

    #[test]
    fn a_busy_server_says_when_to_return() {
        assert_eq!(Failure::busy("later", 1).retry_after(), Some(1));
    }
}
