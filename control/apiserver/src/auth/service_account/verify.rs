//! Whether a token is one of ours, and still good: signature, issuer, audience, time, and the
//! objects it is bound to. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::Value;

use super::keys::PublicKey;
use super::{Find, Issuers};
use crate::admit::fields;
use crate::auth::User;

/// The issuer of tokens that are kept in secrets.
const LEGACY: &str = "kubernetes/serviceaccount";
/// Seconds that clocks may differ by, and that a deleted object's token is good for.
const LEEWAY: i64 = 60;

/// Why a token is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// It is no token of a service account: somebody else may know it.
    #[error("not a service account token")]
    NotOurs,
    /// Nobody whom we know has signed it.
    #[error("service account token has an invalid signature")]
    Signature,
    /// It is for somebody else.
    #[error("service account token is for audiences {found:?}, none of which is accepted here")]
    Audience {
        /// Those that it is for.
        found: Vec<String>,
    },
    /// Its time is over, or has not come.
    #[error("service account token has expired or is not valid yet")]
    Time,
    /// The object it is bound to is gone, or another one.
    #[error(
        "service account token has been invalidated: {resource} {name:?} is gone or another one"
    )]
    Gone {
        /// The plural.
        resource: &'static str,
        /// Its name.
        name: String,
    },
    /// It lacks something.
    #[error("service account token has no {0}")]
    Incomplete(&'static str),
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) user: User,
    /// Those of the accepted audiences that it is for.
    pub(crate) audiences: Vec<String>,
    /// Whether it is used later than it should be read again.
    pub(crate) stale: bool,
}

struct Parts<'a> {
    header: Value,
    claims: Value,
    message: &'a str,
    signature: Vec<u8>,
}

fn parse(token: &str) -> Option<Parts<'_>> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let json = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    Some(Parts {
        header: json(header)?,
        claims: json(claims)?,
        message,
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
    })
}

/// Decides. `audiences` are those accepted; an empty list stands for the API's own.
pub(crate) fn verify(
    token: &str,
    keys: &[PublicKey],
    issuers: &Issuers,
    audiences: &[String],
    now: Timestamp,
    find: Find<'_>,
) -> Result<Verified, Rejected> {
    let parts = parse(token).ok_or(Rejected::NotOurs)?;
    let issuer = fields::text(&parts.claims, "/iss");
    let legacy = issuer == LEGACY;
    if !legacy && !issuers.issuers.iter().any(|own| own == issuer) {
        return Err(Rejected::NotOurs);
    }
    check_signature(&parts, keys)?;
    if legacy {
        return verify_legacy(token, &parts.claims, find);
    }
    let accepted = if audiences.is_empty() {
        &issuers.audiences
    } else {
        audiences
    };
    let audiences = common_audiences(&parts.claims, accepted)?;
    let stale = check_time(&parts.claims, now.as_second())?;
    let user = check_objects(&parts.claims, now, find)?;
    Ok(Verified {
        user,
        audiences,
        stale,
    })
}

fn check_signature(parts: &Parts<'_>, keys: &[PublicKey]) -> Result<(), Rejected> {
    let (algorithm, id) = (
        fields::text(&parts.header, "/alg"),
        fields::text(&parts.header, "/kid"),
    );
    let known = keys.iter().any(|key| key.id == id);
    let candidates = keys.iter().filter(|key| !known || key.id == id);
    let mut fitting = candidates.filter(|key| key.algorithm.as_str() == algorithm);
    match fitting.any(|key| key.verifies(parts.message.as_bytes(), &parts.signature)) {
        true => Ok(()),
        false => Err(Rejected::Signature),
    }
}

fn common_audiences(claims: &Value, accepted: &[String]) -> Result<Vec<String>, Rejected> {
    let found: Vec<String> = match fields::value(claims, "/aud") {
        Value::String(one) => vec![one.clone()],
        _ => fields::texts(claims, "/aud").map(str::to_owned).collect(),
    };
    let common: Vec<String> = accepted
        .iter()
        .filter(|one| found.contains(one))
        .cloned()
        .collect();
    if common.is_empty() {
        return Err(Rejected::Audience { found });
    }
    Ok(common)
}

/// Whether the token should have been read again by now.
fn check_time(claims: &Value, now: i64) -> Result<bool, Rejected> {
    let expires = fields::number(claims, "/exp").ok_or(Rejected::Incomplete("exp"))?;
    let begins = fields::number(claims, "/nbf").unwrap_or_default();
    if now > expires.saturating_add(LEEWAY) || now.saturating_add(LEEWAY) < begins {
        return Err(Rejected::Time);
    }
    let own = fields::value(claims, "/kubernetes.io");
    Ok(fields::number(own, "/warnafter").is_some_and(|after| now > after))
}

fn check_objects(claims: &Value, now: Timestamp, find: Find<'_>) -> Result<User, Rejected> {
    let own = fields::value(claims, "/kubernetes.io");
    let namespace = fields::text(own, "/namespace");
    if namespace.is_empty() {
        return Err(Rejected::Incomplete("namespace"));
    }
    let alive = |field: &'static str, resource: &'static str, namespace: &str| {
        same_object(&own[field], resource, namespace, now, find)
    };
    alive("serviceaccount", "serviceaccounts", namespace)?;
    let has = |field: &str| !fields::value(own, field).is_null();
    if has("/secret") {
        alive("secret", "secrets", namespace)?;
    }
    if has("/pod") {
        alive("pod", "pods", namespace)?;
    } else if has("/node") {
        alive("node", "nodes", "")?;
    }
    let account = &own["serviceaccount"];
    let mut user = User::service_account(
        namespace,
        fields::text(account, "/name"),
        fields::text(account, "/uid"),
    );
    let mut tell = |key: &str, value: &str| {
        if !value.is_empty() {
            let key = format!("authentication.kubernetes.io/{key}");
            user.extra.insert(key, vec![value.to_owned()]);
        }
    };
    tell("pod-name", fields::text(own, "/pod/name"));
    tell("pod-uid", fields::text(own, "/pod/uid"));
    tell("node-name", fields::text(own, "/node/name"));
    tell("node-uid", fields::text(own, "/node/uid"));
    let id = fields::text(claims, "/jti");
    if !id.is_empty() {
        tell("credential-id", &format!("JTI={id}"));
    }
    Ok(user)
}

/// An object that is there, is the one that was meant, and has not been gone for longer than
/// clocks may differ by.
fn same_object(
    reference: &Value,
    resource: &'static str,
    namespace: &str,
    now: Timestamp,
    find: Find<'_>,
) -> Result<(), Rejected> {
    let (name, uid) = (
        fields::text(reference, "/name"),
        fields::text(reference, "/uid"),
    );
    let gone = || Rejected::Gone {
        resource,
        name: name.to_owned(),
    };
    let object = find(resource, namespace, name).ok_or_else(gone)?;
    let ends = fields::text(&object, "/metadata/deletionTimestamp").parse::<Timestamp>();
    let over = ends.is_ok_and(|ends| ends.as_second() < now.as_second() - LEEWAY);
    if fields::text(&object, "/metadata/uid") != uid || over {
        return Err(gone());
    }
    Ok(())
}

/// A token in a secret is good while the secret holds it.
fn verify_legacy(token: &str, claims: &Value, find: Find<'_>) -> Result<Verified, Rejected> {
    let claim = |name: &str| {
        let found = claims.get(format!("kubernetes.io/serviceaccount/{name}"));
        found.and_then(Value::as_str).unwrap_or_default()
    };
    let (namespace, secret) = (claim("namespace"), claim("secret.name"));
    let (account, uid) = (claim("service-account.name"), claim("service-account.uid"));
    if namespace.is_empty() || secret.is_empty() || account.is_empty() || uid.is_empty() {
        return Err(Rejected::Incomplete("account or secret"));
    }
    let gone = |resource, name: &str| Rejected::Gone {
        resource,
        name: name.to_owned(),
    };
    let kept = find("secrets", namespace, secret).ok_or_else(|| gone("secrets", secret))?;
    let same = STANDARD
        .decode(fields::text(&kept, "/data/token"))
        .is_ok_and(|own| own == token.as_bytes());
    if !same || fields::optional_text(&kept, "/metadata/deletionTimestamp").is_some() {
        return Err(gone("secrets", secret));
    }
    let found = find("serviceaccounts", namespace, account)
        .ok_or_else(|| gone("serviceaccounts", account))?;
    if fields::text(&found, "/metadata/uid") != uid {
        return Err(gone("serviceaccounts", account));
    }
    Ok(Verified {
        user: User::service_account(namespace, account, uid),
        audiences: Vec::new(),
        stale: false,
    })
}
