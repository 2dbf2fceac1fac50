//! Bootstrap tokens: what they look like, and the Secret that holds one, as kubeadm makes it. Pure
//! but for the making of new ones.

pub mod command;

use crate::cluster::welcome::JOINING;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::str::FromStr;

/// The namespace of the Secrets.
pub const NAMESPACE: &str = "kube-system";

/// Their type.
pub const KIND: &str = "bootstrap.kubernetes.io/token";

/// What their names begin with; the token's id follows.
const PREFIX: &str = "bootstrap-token-";

/// What a token is made of.
const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Lengths of both halves.
const ID: usize = 6;
const SECRET: usize = 16;

/// A bootstrap token: an id, which may be shown, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The public half.
    pub id: String,
    /// The other one.
    secret: String,
}

/// The text is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no bootstrap token: one is six and sixteen letters or digits with a dot between, as `keelson token create` prints it"
)]
pub struct TokenError;

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (id, secret) = text.trim().split_once('.').ok_or(TokenError)?;
        if !is_id(id) || secret.len() != SECRET || !is_plain(secret) {
            return Err(TokenError);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.secret)
    }
}

/// Logs must not hold it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.(secret)", self.id)
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| LETTERS.contains(&byte))
}

/// Whether a text is a token's public half.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID && is_plain(text)
}

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut letters = String::new();
        let mut source = std::fs::File::open("/dev/urandom")?;
        let mut bytes = [0; 64];
        while letters.len() < ID + SECRET {
            source.read_exact(&mut bytes)?;
            letters.extend(bytes.iter().filter_map(|&byte| letter(byte)));
        }
        Ok(Self {
            id: letters[..ID].to_owned(),
            secret: letters[ID..ID + SECRET].to_owned(),
        })
    }

    /// The name of its Secret.
    #[must_use]
    pub fn secret_name(&self) -> String {
        secret_name(&self.id)
    }
}

/// The name of the Secret of the token with this id.
#[must_use]
pub fn secret_name(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// A letter for a byte, each as likely as any other; nothing for the bytes beyond.
fn letter(byte: u8) -> Option<char> {
    const FAIR: u8 = 252;
    (byte < FAIR).then(|| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Until when; for ever if `None`.
    pub until: Option<Timestamp>,
    /// A word for people.
    pub description: String,
    /// `authentication`, `signing`.
    pub usages: Vec<String>,
    /// Groups of who comes with it.
    pub groups: Vec<String>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            until: None,
            description: String::new(),
            usages: USAGES.map(str::to_owned).to_vec(),
            groups: vec![JOINING.to_owned()],
        }
    }
}

/// What tokens can be used for.
pub const USAGES: [&str; 2] = ["authentication", "signing"];

/// The Secret of a token.
#[must_use]
pub fn secret(token: &Token, terms: &Terms) -> Value {
    let mut data: BTreeMap<String, String> = [
        ("token-id".to_owned(), token.id.clone()),
        ("token-secret".to_owned(), token.secret.clone()),
    ]
    .into();
    if let Some(until) = terms.until {
        data.insert("expiration".to_owned(), until.to_string());
    }
    if !terms.description.is_empty() {
        data.insert("description".to_owned(), terms.description.clone());
    }
    if !terms.groups.is_empty() {
        data.insert("auth-extra-groups".to_owned(), terms.groups.join(","));
    }
    for usage in &terms.usages {
        data.insert(format!("usage-bootstrap-{usage}"), "true".to_owned());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": token.secret_name(), "namespace": NAMESPACE },
        "type": KIND,
        "stringData": data,
    })
}

/// A Secret as a list of tokens has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// `data`: base64.
    data: BTreeMap<String, String>,
}

impl Kept {
    fn text(&self, key: &str) -> String {
        let bytes = self
            .data
            .get(key)
            .and_then(|text| STANDARD.decode(text).ok());
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// The token's line in a list: the token, how long it is good, until when, what for, a word
    /// for people, and groups.
    #[must_use]
    pub fn row(&self, now: Timestamp) -> [String; 6] {
        let until = self.text("expiration");
        let usages = USAGES
            .into_iter()
            .filter(|usage| self.text(&format!("usage-bootstrap-{usage}")) == "true");
        let or_none = |text: String| {
            if text.is_empty() {
                "<none>".to_owned()
            } else {
                text
            }
        };
        [
            format!("{}.{}", self.text("token-id"), self.text("token-secret")),
            left(&until, now),
            or_none(until),
            or_none(usages.collect::<Vec<_>>().join(",")),
            or_none(self.text("description")),
            or_none(self.text("auth-extra-groups")),
        ]
    }
}

/// How long something is good that ends at a time.
fn left(until: &str, now: Timestamp) -> String {
    if until.is_empty() {
        return "<forever>".to_owned();
    }
    let Ok(until) = until.parse::<Timestamp>() else {
        return "<invalid>".to_owned();
    };
    let left = until.duration_since(now);
    if left <= SignedDuration::ZERO {
        return "<expired>".to_owned();
    }
    let (hours, minutes) = (left.as_hours(), left.as_mins() % 60);
    match (hours, minutes) {
        (0, 0) => format!("{}s", left.as_secs()),
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_the_api_server_reads_them() {
        let token: Token = "abcdef.0123456789abcdef".parse().unwrap();
        assert_eq!(token.to_string(), "abcdef.0123456789abcdef");
        assert!(!format!("{token:?}").contains("0123"), "no log holds it");
        for text in [
            "",
            "abcdef",
            "abcde.0123456789abcdef",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcde",
            "abcdef.0123456789abcde!",
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
    }

    #[test]
    fn new_ones_are_tokens_and_differ() {
        let (a, b) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(a.to_string().parse(), Ok(a.clone()));
        assert_ne!(a, b);
        assert_eq!(
            (letter(0), letter(251), letter(252)),
            (Some('0'), Some('z'), None)
        );
    }

    #[test]
    fn a_secret_says_what_a_token_is_for_and_reads_back() {
        let token: Token = "abcdef.0123456789abcdef".parse().unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let terms = Terms {
            until: "2026-01-01T23:30:00Z".parse().ok(),
            description: "for one".to_owned(),
            ..Terms::default()
        };
        let secret = secret(&token, &terms);
        assert_eq!(secret["metadata"]["name"], "bootstrap-token-abcdef");
        let data = secret["stringData"].as_object().unwrap();
        let data = data
            .iter()
            .map(|(key, text)| (key.clone(), STANDARD.encode(text.as_str().unwrap())));
        let kept = Kept {
            data: data.collect(),
        };
        let expected = [
            "abcdef.0123456789abcdef",
            "23h30m",
            "2026-01-01T23:30:00Z",
            "authentication,signing",
            "for one",
            JOINING,
        ];
        assert_eq!(kept.row(now), expected.map(str::to_owned));
        assert_eq!(Kept::default().row(now)[1], "<forever>");
        assert_eq!(left("2025-01-01T00:00:00Z", now), "<expired>");
        assert_eq!(left("soon", now), "<invalid>");
    }
}
