//! What is asked of an authorizer and the words of a refusal. Pure.

use crate::auth::User;
use crate::failure::Failure;
use crate::route::{RequestInfo, ResourceRequest};

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes<'a> {
    pub(crate) user: &'a User,
    pub(crate) verb: &'a str,
    pub(crate) what: What<'a>,
}

/// What it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Resource {
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
        namespace: &'a str,
        name: &'a str,
    },
    Path(&'a str),
}

/// An authorizer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow(String),
    /// Not allowed by this one: ask the next.
    NoOpinion(String),
}

impl<'a> Attributes<'a> {
    /// What a request wants.
    pub(crate) fn of(user: &'a User, info: &'a RequestInfo) -> Self {
        let what = match info {
            RequestInfo::Resource(request) => What::of(request),
            RequestInfo::Path { path, .. } => What::Path(path),
        };
        Self {
            user,
            verb: info.verb(),
            what,
        }
    }

    /// The refusal in upstream's words, with what the authorizers said.
    pub(crate) fn refusal(&self, reason: &str) -> Failure {
        let tail = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        let (user, verb) = (&self.user.name, self.verb);
        match self.what {
            What::Path(path) => {
                let why = format!("User {user:?} cannot {verb} path {path:?}{tail}");
                Failure::forbidden("", "", "", &why)
            }
            What::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => {
                let full = if subresource.is_empty() {
                    resource.to_owned()
                } else {
                    format!("{resource}/{subresource}")
                };
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                let why = format!(
                    "User {user:?} cannot {verb} resource {full:?} in API group {group:?} {place}{tail}"
                );
                Failure::forbidden(group, resource, name, &why)
            }
        }
    }
}

impl<'a> What<'a> {
    /// The resource of a request.
    pub(crate) fn of(request: &'a ResourceRequest) -> Self {
        Self::Resource {
            group: &request.group,
            resource: &request.resource,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: What<'_>, expected: &str) {
        let user = User::known("jane", []);
        let attributes = Attributes {
            user: &user,
            verb: "get",
            what,
        };
        assert_eq!(attributes.refusal("").message(), expected);
    }

    #[test]
    fn refusals_read_as_upstream() {
        let pod = What::Resource {
            group: "",
            resource: "pods",
            subresource: "log",
            namespace: "a",
            name: "p",
        };
        check(
            pod,
            "pods \"p\" is forbidden: User \"jane\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"a\"",
        );
        let node = What::Resource {
            group: "",
            resource: "nodes",
            subresource: "",
            namespace: "",
            name: "",
        };
        check(
            node,
            "nodes is forbidden: User \"jane\" cannot get resource \"nodes\" in API group \"\" at the cluster scope",
        );
        check(
            What::Path("/metrics"),
            "forbidden: User \"jane\" cannot get path \"/metrics\"",
        );
    }
}
