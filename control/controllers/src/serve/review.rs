//! Asks the server who a token belongs to and whether that may read a path. Must not know what the
//! path leads to.

use hyper::StatusCode;
use keelson_client::{Client, Error, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

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

#[derive(Debug, Deserialize)]
struct Review {
    status: Verdict,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Verdict {
    authenticated: bool,
    allowed: bool,
    user: User,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
    groups: Vec<String>,
}

/// Why a request is refused; `None` if it isn't.
pub(super) async fn refusal(
    client: &Client,
    token: Option<&str>,
    path: &str,
) -> Option<(StatusCode, String)> {
    let Some(token) = token else {
        return Some((StatusCode::UNAUTHORIZED, "Unauthorized\n".into()));
    };
    match ask(client, token, path).await {
        Ok(refusal) => refusal,
        Err(error) => {
            let reason = format!("cannot find out who asks: {error}\n");
            Some((StatusCode::INTERNAL_SERVER_ERROR, reason))
        }
    }
}

async fn ask(
    client: &Client,
    token: &str,
    path: &str,
) -> Result<Option<(StatusCode, String)>, Error> {
    let request = review(&TOKENS, json!({"token": token}));
    let who: Review = client.create(&TOKENS.all(), &request).await?;
    if !who.status.authenticated {
        return Ok(Some((StatusCode::UNAUTHORIZED, "Unauthorized\n".into())));
    }
    let user = who.status.user;
    let spec = json!({
        "user": user.username, "uid": user.uid, "groups": user.groups,
        "nonResourceAttributes": {"path": path, "verb": "get"},
    });
    let may: Review = client.create(&ACCESS.all(), &review(&ACCESS, spec)).await?;
    let refused = !may.status.allowed;
    Ok(refused.then(|| {
        let reason = format!("user {:?} may not get {path:?}\n", user.username);
        (StatusCode::FORBIDDEN, reason)
    }))
}

fn review(resource: &Resource, spec: Value) -> Value {
    json!({"apiVersion": resource.api_version(), "kind": resource.kind, "spec": spec})
}
