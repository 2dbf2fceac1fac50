//! Bootstrap tokens: secrets in `kube-system` that a new node proves itself with. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::admit::fields;
use crate::auth::User;

/// The group that all who come with such a token are in.
const GROUP: &str = "system:bootstrappers";

/// Why a token is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// It does not look like a bootstrap token: somebody else may know it.
    #[error("not a bootstrap token")]
    NotOurs,
    /// There is no such token, or it is not for this, or its time is over.
    #[error("bootstrap token {id:?} is not valid: {why}")]
    Invalid {
        /// The public half.
        id: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A group that bootstrap tokens do not give.
    #[error(
        "bootstrap token {id:?} names group {group:?}, which does not begin with system:bootstrappers:"
    )]
    Group {
        /// The public half.
        id: String,
        /// The group.
        group: String,
    },
}

/// The two halves of a token, if it looks like one.
pub(crate) fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

/// The name of the secret that a token is kept in.
pub(crate) fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// Decides. `find` finds a secret of `kube-system` by its name.
pub(crate) fn verify(
    token: &str,
    now: Timestamp,
    find: &dyn Fn(&str) -> Option<Value>,
) -> Result<User, Rejected> {
    let (id, secret) = split(token).ok_or(Rejected::NotOurs)?;
    let invalid = |why| Rejected::Invalid {
        id: id.to_owned(),
        why,
    };
    let kept = find(&secret_name(id)).ok_or_else(|| invalid("there is no such token"))?;
    if fields::optional_text(&kept, "/metadata/deletionTimestamp").is_some() {
        return Err(invalid("it is being deleted"));
    }
    if fields::text(&kept, "/type") != "bootstrap.kubernetes.io/token" {
        return Err(invalid("the secret is of another type"));
    }
    if !equal(&data(&kept, "token-secret"), secret) {
        return Err(invalid("the secret half is wrong"));
    }
    if data(&kept, "token-id") != id {
        return Err(invalid("the secret is of another token"));
    }
    if is_over(&data(&kept, "expiration"), now) {
        return Err(invalid("it has expired"));
    }
    if data(&kept, "usage-bootstrap-authentication") != "true" {
        return Err(invalid("it is not for authentication"));
    }
    let groups = groups(id, &data(&kept, "auth-extra-groups"))?;
    Ok(User::known(&format!("system:bootstrap:{id}"), groups))
}

fn data(secret: &Value, key: &str) -> String {
    let encoded = fields::map(secret, "/data").and_then(|data| data.get(key)?.as_str());
    let bytes = encoded
        .and_then(|text| STANDARD.decode(text).ok())
        .unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Compares without telling by time how much fits.
fn equal(a: &str, b: &str) -> bool {
    let differing = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differing == 0
}

/// A time that cannot be read is over.
fn is_over(expiration: &str, now: Timestamp) -> bool {
    !expiration.is_empty() && !expiration.parse::<Timestamp>().is_ok_and(|end| end > now)
}

fn groups(id: &str, extra: &str) -> Result<Vec<String>, Rejected> {
    let mut found = vec![GROUP.to_owned()];
    for group in extra.split(',').filter(|group| !group.is_empty()) {
        let tail = group
            .strip_prefix("system:bootstrappers:")
            .unwrap_or_default();
        let fine = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b':' || byte == b'-'
        };
        let ends_well = tail.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !ends_well || tail.len() > 256 || !tail.bytes().all(fine) {
            return Err(Rejected::Group {
                id: id.to_owned(),
                group: group.to_owned(),
            });
        }
        if !found.iter().any(|own| own == group) {
            found.push(group.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(changes: &[(&str, &str)]) -> Value {
        let mut data = json!({"token-id": "abcdef", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true", "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"});
        for (key, value) in changes {
            data[*key] = json!(value);
        }
        for (_, value) in data.as_object_mut().unwrap() {
            *value = json!(STANDARD.encode(value.as_str().unwrap()));
        }
        json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "data": data})
    }

    fn check(token: &str, changes: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let kept = secret(changes);
        let found = verify(token, now, &|name| {
            (name == "bootstrap-token-abcdef").then(|| kept.clone())
        });
        let found = found
            .map(|user| user.groups)
            .map_err(|error| error.to_string());
        let expected =
            expected.map(|list| list.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            found,
            expected.map_err(str::to_owned),
            "{token} {changes:?}"
        );
    }

    const TOKEN: &str = "abcdef.0123456789abcdef";

    #[test]
    fn tokens_prove_new_nodes() {
        let groups = [
            "system:bootstrappers",
            "system:bootstrappers:kubeadm:default-node-token",
            "system:authenticated",
        ];
        check(TOKEN, &[], Ok(&groups));
        check(
            TOKEN,
            &[("expiration", "2026-01-02T00:00:00Z")],
            Ok(&groups),
        );
    }

    #[test]
    fn bad_tokens_are_refused() {
        let invalid = |why: &str| format!("bootstrap token \"abcdef\" is not valid: {why}");
        check("abcdef.0123456789ABCDEF", &[], Err("not a bootstrap token"));
        check("abc.def", &[], Err("not a bootstrap token"));
        check(
            "abcdef.0123456789abcdee",
            &[],
            Err(&invalid("the secret half is wrong")),
        );
        check(
            TOKEN,
            &[("expiration", "2025-12-31T23:59:59Z")],
            Err(&invalid("it has expired")),
        );
        check(
            TOKEN,
            &[("expiration", "soon")],
            Err(&invalid("it has expired")),
        );
        check(
            TOKEN,
            &[("usage-bootstrap-authentication", "false")],
            Err(&invalid("it is not for authentication")),
        );
        check(
            TOKEN,
            &[("token-id", "ghijkl")],
            Err(&invalid("the secret is of another token")),
        );
        check(
            TOKEN,
            &[("auth-extra-groups", "system:masters")],
            Err(
                "bootstrap token \"abcdef\" names group \"system:masters\", which does not begin with system:bootstrappers:",
            ),
        );
        let none = verify("ghijkl.0123456789abcdef", Timestamp::UNIX_EPOCH, &|_| None).unwrap_err();
        assert_eq!(
            none.to_string(),
            "bootstrap token \"ghijkl\" is not valid: there is no such token"
        );
    }
}
