//! Somebody acts as somebody else: what the headers ask for, and what that takes. Pure.

use hyper::header::HeaderMap;

use crate::auth::authorize::{Attributes, What};
use crate::auth::{AUTHENTICATED, SERVICE_ACCOUNTS, UNAUTHENTICATED, User};
use crate::failure::{Failure, Outcome};
use crate::route::percent_decode;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Whom a request wants to act as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, String)>,
}

/// Reads the headers. `None`: nobody else.
pub(crate) fn wish(headers: &HeaderMap) -> Outcome<Option<Wish>> {
    let mut wish = Wish::default();
    for (name, value) in headers {
        let name = name.as_str();
        let Ok(value) = value.to_str() else {
            continue;
        };
        match name {
            USER => value.clone_into(&mut wish.name),
            UID => value.clone_into(&mut wish.uid),
            GROUP => wish.groups.push(value.to_owned()),
            _ => {
                if let Some(key) = name.strip_prefix(EXTRA) {
                    wish.extra.push((percent_decode(key), value.to_owned()));
                }
            }
        }
    }
    if !wish.name.is_empty() {
        return Ok(Some(wish));
    }
    if wish == Wish::default() {
        return Ok(None);
    }
    Err(Failure::internal(
        "a user must be impersonated where groups, a UID or extra fields are",
    ))
}

impl Wish {
    /// What the caller must be allowed to do: `impersonate` on each of these.
    pub(crate) fn needs<'a>(&'a self, caller: &'a User) -> Vec<Attributes<'a>> {
        let mut needs = Vec::new();
        let mut need = |group, resource, subresource, namespace, name| {
            needs.push(Attributes {
                user: caller,
                verb: "impersonate",
                what: What::Resource {
                    group,
                    resource,
                    subresource,
                    namespace,
                    name,
                },
            });
        };
        match self.service_account() {
            Some((namespace, name)) => need("", "serviceaccounts", "", namespace, name),
            None => need("", "users", "", "", self.name.as_str()),
        }
        for group in &self.groups {
            need("", "groups", "", "", group.as_str());
        }
        if !self.uid.is_empty() {
            need(AUTHENTICATION, "uids", "", "", self.uid.as_str());
        }
        for (key, value) in &self.extra {
            need(
                AUTHENTICATION,
                "userextras",
                key.as_str(),
                "",
                value.as_str(),
            );
        }
        needs
    }

    fn service_account(&self) -> Option<(&str, &str)> {
        self.name
            .strip_prefix(crate::auth::SERVICE_ACCOUNT_PREFIX)?
            .split_once(':')
    }

    /// The user that the caller becomes.
    pub(crate) fn user(self) -> User {
        let mut groups = self.groups.clone();
        if let (true, Some((namespace, _))) = (groups.is_empty(), self.service_account()) {
            groups.push(SERVICE_ACCOUNTS.to_owned());
            groups.push(format!("{SERVICE_ACCOUNTS}:{namespace}"));
        }
        let anonymous = self.name == crate::auth::ANONYMOUS;
        let all = if anonymous {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        };
        if !groups.iter().any(|group| group == all) {
            groups.push(all.to_owned());
        }
        let mut user = User {
            name: self.name,
            uid: self.uid,
            groups,
            ..User::default()
        };
        for (key, value) in self.extra {
            user.extra.entry(key).or_default().push(value);
        }
        user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn headers_name_who() {
        assert_eq!(wish(&headers(&[("accept", "x")])).unwrap(), None);
        assert!(wish(&headers(&[("impersonate-group", "x")])).is_err());
        let asked = headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
            ("impersonate-extra-scopes", "s"),
        ]);
        let wish = wish(&asked).unwrap().unwrap();
        let caller = User::default();
        assert_eq!(wish.needs(&caller).len(), 4);
        let user = wish.user();
        assert_eq!(user.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(user.extra["scopes"], ["s"]);
    }

    #[test]
    fn a_service_account_brings_its_groups() {
        let asked = headers(&[("impersonate-user", "system:serviceaccount:a:b")]);
        let user = wish(&asked).unwrap().unwrap().user();
        let expected = [
            "system:serviceaccounts",
            "system:serviceaccounts:a",
            "system:authenticated",
        ];
        assert_eq!(user.groups, expected);
    }
}
