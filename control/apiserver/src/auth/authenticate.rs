//! Who calls: the certificate of the connection, a bearer token, or nobody.
//!
//! A caller who shows something that proves nothing is refused, even where nobody in particular
//! would be let in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hyper::header::{self, HeaderMap};

use crate::auth::front::FrontProxy;
use crate::auth::{ANONYMOUS, User};
use crate::failure::{Failure, Outcome};
use crate::respond::header_text;
use crate::server::tls::{Credentials, Peer};

/// Why the token file is not used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("failed to read the token file {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A line is not `token,user,uid[,"group,group"]`.
    #[error("{path:?} line {line}: expected token,user,uid and perhaps groups")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// `--token-auth-file`: tokens that are known from the start.
#[derive(Default)]
pub(crate) struct StaticTokens(HashMap<String, User>);

impl StaticTokens {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenFileError> {
        let text = std::fs::read_to_string(path).map_err(|source| TokenFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|line| TokenFileError::Line {
            path: path.to_owned(),
            line,
        })
    }

    /// The tokens of a file's text, or the number of the first line that is none.
    fn parse(text: &str) -> Result<Self, usize> {
        let lines = text.lines().zip(1_usize..);
        let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
        let tokens = lines.map(|(line, at)| parse_line(line).ok_or(at));
        Ok(Self(tokens.collect::<Result<_, _>>()?))
    }

    /// Whose token this is.
    pub(crate) fn user(&self, token: &str) -> Option<&User> {
        self.0.get(token)
    }
}

fn parse_line(line: &str) -> Option<(String, User)> {
    let mut parts = line.splitn(4, ',').map(str::trim);
    let (token, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let groups = parts.next().unwrap_or_default().trim_matches('"');
    let groups = groups
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty());
    let user = User {
        uid: uid.to_owned(),
        ..User::known(name, groups.map(str::to_owned))
    };
    (!token.is_empty() && !name.is_empty()).then(|| (token.to_owned(), user))
}

/// What a request shows.
pub(crate) enum Shown<'a> {
    /// A certificate that proves this.
    User(User),
    /// A token that is still to be looked at.
    Token(&'a str),
    /// Nothing.
    Nothing,
}

/// What a request shows of its caller.
pub(crate) fn shown<'a>(
    peer: &Peer,
    front: &FrontProxy,
    headers: &'a HeaderMap,
) -> Outcome<Shown<'a>> {
    let shown = peer.credentials();
    let proxied = shown.front.and_then(|proxy| front.user(&proxy, headers));
    if let Some(user) = proxied {
        return Ok(Shown::User(user));
    }
    match shown.own {
        Credentials::Certificate(ref subject) => {
            let Some(name) = &subject.common_name else {
                return Err(Failure::unauthorized());
            };
            let user = User::known(name, subject.organizations.iter().cloned());
            return Ok(Shown::User(user));
        }
        Credentials::None | Credentials::Unverifiable => {}
    }
    if let Some(token) = bearer(headers) {
        return Ok(Shown::Token(token));
    }
    match shown.own {
        Credentials::Unverifiable => Err(Failure::unauthorized()),
        _ => Ok(Shown::Nothing),
    }
}

/// The token of `Authorization: Bearer`, or of a WebSocket's protocols, where browsers put it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = header_text(headers, header::AUTHORIZATION);
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Paths that nobody in particular may see, where anonymous callers are let in at all.
pub(crate) fn is_public(path: &str) -> bool {
    ["/livez", "/readyz", "/healthz"].iter().any(|open| {
        path == *open
            || path
                .strip_prefix(open)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Nobody in particular, if that is enough for the path.
pub(crate) fn nobody(path: &str) -> Outcome<User> {
    if is_public(path) {
        Ok(User::anonymous())
    } else {
        Err(Failure::unauthorized())
    }
}

/// Whether somebody is nobody in particular.
pub(crate) fn is_anonymous(user: &User) -> bool {
    user.name == ANONYMOUS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_token_file() {
        let (token, user) = parse_line("abc, jane, 7, \"a,b\"").unwrap();
        assert_eq!(
            (token.as_str(), user.name.as_str(), user.uid.as_str()),
            ("abc", "jane", "7")
        );
        assert_eq!(user.groups, ["a", "b", "system:authenticated"]);
        assert!(parse_line("abc,jane").is_none());
        assert!(parse_line(",jane,1").is_none());
    }

    #[test]
    fn files_of_tokens_name_the_line_that_is_none() {
        let tokens = StaticTokens::parse("# who\n\na,jane,1\nb,joe,2,\"x\"\n").unwrap();
        let name = |token| tokens.user(token).map(|user| user.name.as_str());
        assert_eq!(
            (name("a"), name("b"), name("c")),
            (Some("jane"), Some("joe"), None)
        );
        assert_eq!(StaticTokens::parse("a,jane,1\n\nb\n").err(), Some(3));
    }

    #[test]
    fn only_health_is_public() {
        assert!(is_public("/livez/ping"));
        assert!(!is_public("/livezz"));
        assert!(nobody("/api").is_err());
    }
}
