//! Who calls, and may they: the apiserver is asked (TokenReview, then SubjectAccessReview).

use keelson_client::{Client, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody knows who calls.
    Unknown,
    /// The caller may not.
    Forbidden,
    /// The caller may.
    Admitted,
}

/// Asks the apiserver.
#[derive(Clone, Debug)]
pub struct Callers {
    /// Who is asked who callers are.
    pub authentication: Client,
    /// Who is asked what they may do.
    pub authorization: Client,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenReview {
    status: TokenStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessReview {
    status: AccessStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

impl Callers {
    /// Whether the bearer of a token may do this with a path.
    pub async fn admit(&self, token: Option<&str>, verb: &str, path: &str) -> Verdict {
        let Some(token) = token else {
            return Verdict::Unknown;
        };
        let Some(user) = self.user(token).await else {
            return Verdict::Unknown;
        };
        if self.may(&user, verb, path).await {
            Verdict::Admitted
        } else {
            Verdict::Forbidden
        }
    }

    async fn user(&self, token: &str) -> Option<Value> {
        let group = "authentication.k8s.io";
        let kind = Resource::fixed(group, "v1", "tokenreviews", "TokenReview", false);
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        });
        let path = kind.all();
        let answer = self.authentication.create::<_, TokenReview>(&path, &review);
        match answer.await {
            Ok(review) => review.status.authenticated.then_some(review.status.user),
            Err(error) => {
                tracing::warn!(%error, "cannot find out who calls");
                None
            }
        }
    }

    async fn may(&self, user: &Value, verb: &str, path: &str) -> bool {
        let group = "authorization.k8s.io";
        let name = "subjectaccessreviews";
        let kind = Resource::fixed(group, "v1", name, "SubjectAccessReview", false);
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user["username"],
                "uid": user["uid"],
                "groups": user["groups"],
                "nonResourceAttributes": {"path": path, "verb": verb},
            },
        });
        let path = kind.all();
        let answer = self.authorization.create::<_, AccessReview>(&path, &review);
        match answer.await {
            Ok(review) => review.status.allowed,
            Err(error) => {
                tracing::warn!(%error, "cannot find out what the caller may do");
                false
            }
        }
    }
}
