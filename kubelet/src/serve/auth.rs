//! Who asks, and whether he may. Pure: certificates were verified by the TLS layer.

use hyper::Method;

use keelson_api::certificate_subject::Subject;
use keelson_client::review::bearer;
pub use keelson_client::review::{ANONYMOUS, User};

use super::route::{MetricsPage, Route};

/// What a connection proves about its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing was shown.
    None,
    /// A certificate that the client CA vouches for.
    Certificate(Subject),
    /// A certificate that it does not vouch for.
    Unverifiable,
}

/// What is known of who asks before anybody else is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof<'a> {
    /// He is known.
    Known(User),
    /// He is who the apiserver says that this token is of.
    Token(&'a str),
    /// He did not prove anything.
    Nothing,
    /// What he shows proves nothing.
    Wrong,
}

impl<'a> Proof<'a> {
    /// What the connection's credentials and the request's `Authorization` prove.
    #[must_use]
    pub fn of(credentials: &Credentials, authorization: Option<&'a str>) -> Self {
        if let Credentials::Certificate(subject) = credentials
            && let Some(user) = user_of(subject)
        {
            return Self::Known(user);
        }
        match (bearer(authorization), credentials) {
            (Some(token), _) => Self::Token(token),
            (None, Credentials::None) => Self::Nothing,
            (None, _) => Self::Wrong,
        }
    }
}

fn user_of(subject: &Subject) -> Option<User> {
    let name = subject.common_name.clone();
    let user = User {
        name: name.filter(|name| !name.is_empty())?,
        groups: subject.organizations.clone(),
        ..User::default()
    };
    Some(user.authenticated())
}

/// What an authorizer is asked about a request; the resource is always `nodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The API verb.
    pub verb: &'static str,
    /// Subresources of which one suffices, finest first.
    pub subresources: &'static [&'static str],
}

/// The attributes of a request, as upstream's authorizers know them. What leads nowhere is asked
/// about too, so that nobody learns what there is.
#[must_use]
pub fn attributes(route: Option<&Route>, method: &Method) -> Attributes {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    };
    let Some(route) = route else {
        let subresources = &["proxy"];
        return Attributes { verb, subresources };
    };
    let subresources: &[&str] = match route {
        Route::StatsSummary => &["stats"],
        Route::Metrics(
            MetricsPage::Kubelet
            | MetricsPage::Resource
            | MetricsPage::Probes
            | MetricsPage::Cadvisor,
        ) => &["metrics"],
        Route::NodeLogs(_) => &["log"],
        Route::Checkpoint(_) => &["checkpoint"],
        Route::Healthz(_) => &["healthz", "proxy"],
        Route::Pods | Route::RunningPods => &["pods", "proxy"],
        Route::Configz => &["configz", "proxy"],
        Route::ContainerLogs(_)
        | Route::Streaming(_)
        | Route::Profiling
        | Route::DebugFlags
        | Route::Status
        | Route::Why => &["proxy"],
    };
    Attributes { verb, subresources }
}

#[cfg(test)]
mod tests {
    use super::super::route::route;
    use super::*;

    fn certificate(common_name: Option<&str>) -> Credentials {
        Credentials::Certificate(Subject {
            common_name: common_name.map(Into::into),
            organizations: vec!["ops".into()],
        })
    }

    #[test]
    fn what_proves_what() {
        let ann = User {
            name: "ann".into(),
            groups: vec!["ops".into(), "system:authenticated".into()],
            ..User::default()
        };
        let check = |credentials: Credentials, header: Option<&str>, expected: Proof<'_>| {
            let found = Proof::of(&credentials, header);
            assert_eq!(found, expected, "{credentials:?} {header:?}");
        };
        let token = Some("Bearer t0k");
        check(certificate(Some("ann")), token, Proof::Known(ann));
        check(certificate(None), None, Proof::Wrong);
        check(certificate(Some("")), token, Proof::Token("t0k"));
        check(Credentials::Unverifiable, None, Proof::Wrong);
        check(Credentials::Unverifiable, token, Proof::Token("t0k"));
        check(Credentials::None, Some("bearer  t0k "), Proof::Token("t0k"));
        check(Credentials::None, Some("Bearer "), Proof::Nothing);
        check(Credentials::None, Some("Basic YTpi"), Proof::Nothing);
        check(Credentials::None, None, Proof::Nothing);
    }

    #[test]
    fn attributes_are_upstreams() {
        for (method, path, verb, subresources) in [
            (Method::GET, "/pods", "get", &["pods", "proxy"][..]),
            (Method::GET, "/runningpods/", "get", &["pods", "proxy"]),
            (Method::GET, "/healthz", "get", &["healthz", "proxy"]),
            (Method::GET, "/configz", "get", &["configz", "proxy"]),
            (Method::GET, "/stats/summary", "get", &["stats"]),
            (Method::GET, "/metrics/cadvisor", "get", &["metrics"]),
            (Method::GET, "/logs/syslog", "get", &["log"]),
            (Method::POST, "/checkpoint/a/b/c", "create", &["checkpoint"]),
            (Method::GET, "/exec/a/b/c", "get", &["proxy"]),
            (Method::POST, "/exec/a/b/c", "create", &["proxy"]),
            (Method::GET, "/containerLogs/a/b/c", "get", &["proxy"]),
            (Method::PUT, "/nowhere", "update", &["proxy"]),
        ] {
            let found = attributes(route(&method, path).ok().as_ref(), &method);
            assert_eq!(
                (found.verb, found.subresources),
                (verb, subresources),
                "{path}"
            );
        }
    }
}
