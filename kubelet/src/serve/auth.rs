//! Who asks, and whether he may. Pure: certificates were verified by the TLS layer.

use hyper::Method;
use hyper::StatusCode;

use super::route::{MetricsPage, Route};
use keelson_api::certificate_subject::Subject;

/// The user of a request without a client certificate, where such are let in.
pub const ANONYMOUS: &str = "system:anonymous";

/// Someone who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, from the certificate's common name.
    pub name: String,
    /// The groups, from the certificate's organizations.
    pub groups: Vec<String>,
}

/// What a request proves about its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing was shown.
    None,
    /// A certificate that the client CA vouches for.
    Certificate(Subject),
    /// A certificate that it does not vouch for, or a token, which nothing here can check.
    Unverifiable,
}

/// How senders prove who they are (`authentication`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Authentication {
    /// `anonymous.enabled`: whether requests that prove nothing are let in.
    pub anonymous: bool,
}

/// Settings of `authentication` and `authorization` that need the control plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedAccess {
    /// `authentication.webhook.enabled` is true.
    #[error(
        "authentication.webhook.enabled: true is not supported yet: set it to false and give authentication.x509.clientCAFile"
    )]
    WebhookAuthentication,
    /// `authorization.mode` is `Webhook`.
    #[error("authorization.mode: Webhook is not supported yet: set it to AlwaysAllow")]
    WebhookAuthorization,
    /// `authorization.mode` is unknown.
    #[error("authorization.mode: {0:?} is unknown: expected AlwaysAllow")]
    UnknownMode(String),
}

/// Checks at start that all that is asked for is there.
pub fn check_supported(webhook: bool, mode: &str) -> Result<(), UnsupportedAccess> {
    match mode {
        _ if webhook => Err(UnsupportedAccess::WebhookAuthentication),
        "AlwaysAllow" => Ok(()),
        "Webhook" => Err(UnsupportedAccess::WebhookAuthorization),
        other => Err(UnsupportedAccess::UnknownMode(other.to_owned())),
    }
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Unauthorized")]
pub struct Unauthorized;

impl Unauthorized {
    /// The status to answer with.
    pub const STATUS: StatusCode = StatusCode::UNAUTHORIZED;
}

impl Authentication {
    /// Says who asks. Health is told to everybody.
    pub fn authenticate(
        self,
        credentials: &Credentials,
        route: Option<&Route>,
    ) -> Result<User, Unauthorized> {
        let open = self.anonymous || matches!(route, Some(Route::Healthz(_)));
        match credentials {
            Credentials::Certificate(subject) => user_of(subject).ok_or(Unauthorized),
            Credentials::None if open => Ok(User {
                name: ANONYMOUS.to_owned(),
                groups: vec!["system:unauthenticated".to_owned()],
            }),
            Credentials::None | Credentials::Unverifiable => Err(Unauthorized),
        }
    }
}

fn user_of(subject: &Subject) -> Option<User> {
    let mut groups = subject.organizations.clone();
    groups.push("system:authenticated".to_owned());
    Some(User {
        name: subject
            .common_name
            .clone()
            .filter(|name| !name.is_empty())?,
        groups,
    })
}

/// What an authorizer is asked about a request; the resource is always `nodes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The API verb.
    pub verb: &'static str,
    /// Subresources of which one suffices, finest first.
    pub subresources: &'static [&'static str],
}

/// The attributes of a request, as upstream's authorizers know them.
pub fn attributes(route: &Route, method: &Method) -> Attributes {
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
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
    use super::super::route::{HealthCheck, route};
    use super::*;

    fn certificate(common_name: Option<&str>) -> Credentials {
        Credentials::Certificate(Subject {
            common_name: common_name.map(Into::into),
            organizations: vec!["ops".into()],
        })
    }

    #[test]
    fn who_gets_in() {
        let health = Route::Healthz(HealthCheck::All);
        for (anonymous, credentials, route, expected) in [
            (false, Credentials::None, Route::Pods, None),
            (false, Credentials::None, health.clone(), Some(ANONYMOUS)),
            (false, Credentials::Unverifiable, health, None),
            (true, Credentials::None, Route::Pods, Some(ANONYMOUS)),
            (true, Credentials::Unverifiable, Route::Pods, None),
            (false, certificate(Some("ann")), Route::Pods, Some("ann")),
            (true, certificate(None), Route::Pods, None),
            (true, certificate(Some("")), Route::Pods, None),
        ] {
            let user = Authentication { anonymous }.authenticate(&credentials, Some(&route));
            let name = user.ok().map(|user| user.name);
            assert_eq!(name.as_deref(), expected, "{anonymous} {credentials:?}");
        }
    }

    #[test]
    fn groups_come_from_organizations() {
        let user = Authentication::default().authenticate(&certificate(Some("ann")), None);
        assert_eq!(user.unwrap().groups, ["ops", "system:authenticated"]);
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
        ] {
            let found = attributes(&route(&method, path).unwrap(), &method);
            assert_eq!(
                (found.verb, found.subresources),
                (verb, subresources),
                "{path}"
            );
        }
    }

    #[test]
    fn what_needs_the_control_plane_is_refused_with_its_cure() {
        assert_eq!(check_supported(false, "AlwaysAllow"), Ok(()));
        for (webhook, mode, cure) in [
            (true, "AlwaysAllow", "set it to false"),
            (false, "Webhook", "set it to AlwaysAllow"),
            (false, "Never", "expected AlwaysAllow"),
        ] {
            let refused = check_supported(webhook, mode).unwrap_err().to_string();
            assert!(refused.contains(cure), "{refused}");
        }
    }
}
