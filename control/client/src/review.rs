//! Asks the apiserver whom a token is of (TokenReview) and who may do what (SubjectAccessReview).
//! Must not know what is asked for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::path::Resource;

const TOKENS: Resource = Resource::fixed(
    "authentication.k8s.io",
    "v1",
    "tokenreviews",
    "TokenReview",
    false,
);
const ACCESS: Resource = Resource::fixed(
    "authorization.k8s.io",
    "v1",
    "subjectaccessreviews",
    "SubjectAccessReview",
    false,
);

/// The user of a request that proves nothing, where such are let in.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of everybody who proved who they are.
const AUTHENTICATED: &str = "system:authenticated";

/// Someone who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// The name: a certificate's common name, or what the apiserver says of a token.
    pub name: String,
    /// What tells two users of equal name apart; empty if nothing does.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known, for who decides what the user may do.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    /// The same user among all who proved who they are.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if !self.groups.iter().any(|group| group == AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// The token of an `Authorization` header; nothing if it holds another kind of proof, which does
/// not count.
#[must_use]
pub fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whom a token is of; nobody if the apiserver does not vouch for it.
///
/// # Errors
/// The apiserver cannot be asked.
pub async fn user_of(client: &Client, token: &str) -> Result<Option<User>, Error> {
    let question = question(&TOKENS, json!({"token": token}));
    let answer: Review = client.create(&TOKENS.all(), &question).await?;
    let Verdict {
        authenticated,
        user,
        ..
    } = answer.status;
    let user = User {
        name: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
    };
    Ok(authenticated.then(|| user.authenticated()))
}

/// Whether a user may do something: `field` is `resourceAttributes` or `nonResourceAttributes`.
///
/// # Errors
/// The apiserver cannot be asked.
pub async fn may(
    client: &Client,
    user: &User,
    field: &str,
    attributes: Value,
) -> Result<bool, Error> {
    let spec = json!({
        "user": user.name,
        "uid": user.uid,
        "groups": user.groups,
        "extra": user.extra,
        field: attributes,
    });
    let question = question(&ACCESS, spec);
    let answer: Review = client.create(&ACCESS.all(), &question).await?;
    Ok(answer.status.allowed)
}

fn question(resource: &Resource, spec: Value) -> Value {
    json!({"apiVersion": resource.api_version(), "kind": resource.kind, "spec": spec})
}

/// What is read of a review that was answered.
#[derive(Debug, Deserialize)]
struct Review {
    status: Verdict,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Verdict {
    authenticated: bool,
    allowed: bool,
    user: Reviewed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reviewed {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}
