//! The URLs that probes and hooks ask for, and where a redirect leads. Pure.

use std::fmt;

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host (name or IP, without brackets) and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Name or IP, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An absolute URL without fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// How.
    pub scheme: Scheme,
    /// Where to.
    pub authority: Authority,
    /// Path and query as sent: starts with `/`, holds only characters that a request line may.
    pub request_target: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        write!(f, "{scheme}://{}{}", self.authority, self.request_target)
    }
}

/// Where a `Location` leads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Not a URL that can be asked for.
    #[error("failed to parse Location header {0:?}")]
    Unusable(String),
}

impl Url {
    /// A URL from a path as the API gives it: with or without a leading slash, with or without a
    /// query, escaped or not.
    pub fn new(scheme: Scheme, authority: Authority, path: &str) -> Self {
        Self {
            scheme,
            authority,
            request_target: request_target(path),
        }
    }

    /// The URL that a `Location` header means, seen from this one.
    pub fn join(&self, location: &str) -> Result<Self, LocationError> {
        let unusable = || LocationError::Unusable(location.to_owned());
        let location = location.split('#').next().unwrap_or_default();
        if let Some(rest) = location.strip_prefix("//") {
            return absolute(self.scheme, rest).ok_or_else(unusable);
        }
        match location.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                let scheme = match scheme.to_ascii_lowercase().as_str() {
                    "http" => Scheme::Http,
                    "https" => Scheme::Https,
                    _ => return Err(unusable()),
                };
                absolute(scheme, rest).ok_or_else(unusable)
            }
            _ => Ok(self.relative(location)),
        }
    }

    fn relative(&self, location: &str) -> Self {
        let (path, _query) = split_query(&self.request_target);
        let target = if location.is_empty() {
            self.request_target.clone()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else if location.starts_with('/') {
            without_dots(location)
        } else {
            let directory = path.rfind('/').map_or("", |end| &path[..end]);
            without_dots(&format!("{directory}/{location}"))
        };
        Self::new(self.scheme, self.authority.clone(), &target)
    }
}

fn absolute(scheme: Scheme, rest: &str) -> Option<Url> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_user, host)| host);
    Some(Url::new(
        scheme,
        parse_authority(authority, scheme.default_port())?,
        path,
    ))
}

fn parse_authority(text: &str, default_port: u16) -> Option<Authority> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        None => return None,
        Some("") => default_port,
        Some(digits) => digits.parse().ok()?,
    };
    (!host.is_empty()).then(|| Authority {
        host: host.to_owned(),
        port,
    })
}

fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// Resolves `.` and `..` in the path of `target`; the query stays as it is.
fn without_dots(target: &str) -> String {
    let (path, query) = split_query(target);
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let is_directory = path.ends_with("/.") || path.ends_with("/..");
    let end = if is_directory { "/" } else { "" };
    let joined = kept.join("/");
    format!("/{joined}{end}{query}").replacen("//", "/", usize::from(joined.is_empty()))
}

/// Escapes what a request line can't carry. A path with a broken `%` escape is taken literally as a
/// whole: it then has no query.
fn request_target(path: &str) -> String {
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    let literal = has_broken_escape(path);
    let path = if literal {
        path
    } else {
        path.split('#').next().unwrap_or_default()
    };
    let mut in_query = false;
    for byte in path.bytes() {
        in_query |= byte == b'?' && !literal;
        let keep = match byte {
            b'%' => !literal,
            b'?' => in_query,
            b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            _ => byte.is_ascii_graphic(),
        };
        if keep {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    target
}

fn has_broken_escape(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let mut digits = after.bytes();
        let mut is_hex = || digits.next().is_some_and(|digit| digit.is_ascii_hexdigit());
        !(is_hex() && is_hex())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base() -> Url {
        let authority = Authority {
            host: "10.0.0.7".into(),
            port: 8080,
        };
        Url::new(Scheme::Http, authority, "/a/b?c=d")
    }

    #[test]
    fn request_targets() {
        for (path, expected) in [
            ("", "/"),
            ("ok", "/ok"),
            ("/ok?x=1&y=2", "/ok?x=1&y=2"),
            ("?x=1", "/?x=1"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/a#b", "/a"),
            ("/50%?x#y", "/50%25%3Fx%23y"),
            ("/é", "/%C3%A9"),
            ("/a?b?c", "/a?b?c"),
            ("/\r\nX: y", "/%0D%0AX:%20y"),
        ] {
            assert_eq!(request_target(path), expected, "{path:?}");
        }
    }

    #[test]
    fn locations() {
        for (location, expected) in [
            ("/x", "http://10.0.0.7:8080/x"),
            ("x?y", "http://10.0.0.7:8080/a/x?y"),
            ("../x", "http://10.0.0.7:8080/x"),
            ("../../../x/./y/..", "http://10.0.0.7:8080/x/"),
            ("..", "http://10.0.0.7:8080/"),
            ("?e=f", "http://10.0.0.7:8080/a/b?e=f"),
            ("", "http://10.0.0.7:8080/a/b?c=d"),
            ("#top", "http://10.0.0.7:8080/a/b?c=d"),
            ("//other/x", "http://other:80/x"),
            ("https://other", "https://other:443/"),
            ("HTTPS://u:p@[::1]:6443?x", "https://[::1]:6443/?x"),
            ("/x?to=http://y", "http://10.0.0.7:8080/x?to=http://y"),
        ] {
            let url = base().join(location).map(|url| url.to_string());
            assert_eq!(url.as_deref(), Ok(expected), "{location:?}");
        }
        for location in [
            "ftp://x/",
            "http://",
            "http://a:b/",
            "http://[::1/",
            "//:80",
        ] {
            assert!(base().join(location).is_err(), "{location:?}");
        }
    }

    proptest! {
        #[test]
        fn a_request_target_is_always_one_safe_word(path in any::<String>()) {
            let target = request_target(&path);
            prop_assert!(target.starts_with('/'));
            prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
        }

        #[test]
        fn joining_never_panics(location in any::<String>()) {
            if let Ok(url) = base().join(&location) {
                prop_assert!(url.request_target.starts_with('/'));
            }
        }
    }
}
