//! Callers whom a proxy in front of this server has authenticated: it proves itself with a
//! certificate and says in headers who they are. Pure.

use hyper::header::HeaderMap;
use keelson_api::certificate_subject::Subject;

use crate::auth::User;
use crate::options::FrontFlags;

/// Which proxies are believed, and where they put what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrontProxy {
    /// Common names of certificates; none stands for all.
    names: Vec<String>,
    users: Vec<String>,
    uids: Vec<String>,
    groups: Vec<String>,
    /// What the headers of other properties begin with, in lower case.
    extras: Vec<String>,
}

impl FrontProxy {
    pub(crate) fn new(flags: &FrontFlags) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
        Self {
            names: flags.requestheader_allowed_names.clone(),
            users: lower(&flags.requestheader_username_headers),
            uids: lower(&flags.requestheader_uid_headers),
            groups: lower(&flags.requestheader_group_headers),
            extras: lower(&flags.requestheader_extra_headers_prefix),
        }
    }

    /// Whom a proxy with this certificate speaks for; nobody if it may not or says nothing.
    pub(crate) fn user(&self, proxy: &Subject, headers: &HeaderMap) -> Option<User> {
        let name = proxy.common_name.as_deref().unwrap_or_default();
        if !self.names.is_empty() && !self.names.iter().any(|known| known == name) {
            return None;
        }
        let user = first(headers, &self.users)?;
        let groups = self.groups.iter().flat_map(|name| texts(headers, name));
        let mut found = User {
            uid: first(headers, &self.uids).unwrap_or_default(),
            ..User::known(&user, groups)
        };
        for name in headers.keys() {
            let starts = |prefix: &String| name.as_str().strip_prefix(prefix.as_str());
            if let Some(key) = self.extras.iter().find_map(starts) {
                let values = found.extra.entry(unescape(key)).or_default();
                values.extend(texts(headers, name.as_str()));
            }
        }
        Some(found)
    }
}

fn texts(headers: &HeaderMap, name: &str) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn first(headers: &HeaderMap, names: &[String]) -> Option<String> {
    let mut all = names.iter().flat_map(|name| texts(headers, name));
    all.find(|value| !value.is_empty())
}

/// Keys are escaped so that they fit into the name of a header.
fn unescape(key: &str) -> String {
    crate::route::percent_decode(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> FrontProxy {
        let list = |text: &str| vec![text.to_owned()];
        FrontProxy::new(&FrontFlags {
            requestheader_allowed_names: list("front-proxy-client"),
            requestheader_username_headers: list("X-Remote-User"),
            requestheader_group_headers: list("X-Remote-Group"),
            requestheader_extra_headers_prefix: list("X-Remote-Extra-"),
            ..FrontFlags::default()
        })
    }

    fn named(name: &str) -> Subject {
        Subject {
            common_name: Some(name.to_owned()),
            ..Subject::default()
        }
    }

    #[test]
    fn a_proxy_says_who_calls() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "jane".parse().unwrap());
        headers.append("x-remote-group", "a".parse().unwrap());
        headers.append("x-remote-group", "b".parse().unwrap());
        headers.insert("x-remote-extra-example.com%2fscope", "x".parse().unwrap());
        let found = proxy()
            .user(&named("front-proxy-client"), &headers)
            .unwrap();
        assert_eq!(found.name, "jane");
        assert_eq!(found.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(found.extra["example.com/scope"], ["x"]);
        assert!(proxy().user(&named("else"), &headers).is_none());
        assert!(
            proxy()
                .user(&named("front-proxy-client"), &HeaderMap::new())
                .is_none()
        );
    }
}
