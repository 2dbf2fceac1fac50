//! Which credentials of a pod's `imagePullSecrets` fit an image. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use crate::model::objects::Data;

/// The registry of images that name none.
const DEFAULT_REGISTRY: &str = "index.docker.io";

/// A name and password for a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Credential {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, DockerEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DockerEntry {
    username: String,
    password: String,
    auth: String,
}

/// The credentials that fit, those for the longest matching place first. Secrets of other types and
/// entries that cannot be read are passed over, as the reference does.
#[must_use]
pub fn fitting(secrets: &[Data], image: &str) -> Vec<Credential> {
    choose(secrets.iter().flat_map(entries).collect(), image)
}

/// Of credentials for places those that fit, those for the longest matching place first.
pub(super) fn choose(mut all: Vec<(String, Credential)>, image: &str) -> Vec<Credential> {
    all.sort_by(|a, b| b.0.cmp(&a.0));
    let (fits, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(place, _)| matches(place, image));
    let default = others
        .into_iter()
        .filter(|(place, _)| place == DEFAULT_REGISTRY && is_of_default_registry(image));
    fits.into_iter()
        .chain(default)
        .map(|(_, credential)| credential)
        .collect()
}

fn entries(secret: &Data) -> Vec<(String, Credential)> {
    let new = secret.get(".dockerconfigjson").map(|text| {
        let config = serde_json::from_slice::<DockerConfig>(text);
        config.unwrap_or_default().auths
    });
    let old = || {
        secret
            .get(".dockercfg")
            .and_then(|text| serde_json::from_slice(text).ok())
    };
    let entries: BTreeMap<String, DockerEntry> = new.or_else(old).unwrap_or_default();
    let pairs = entries.into_iter();
    pairs
        .filter_map(|(place, entry)| Some((plain_place(&place), entry.credential()?)))
        .collect()
}

impl DockerEntry {
    fn credential(self) -> Option<Credential> {
        if self.auth.is_empty() {
            return Some(Credential {
                username: self.username,
                password: self.password,
            });
        }
        let decoded = STANDARD.decode(&self.auth);
        let decoded = decoded
            .or_else(|_| STANDARD_NO_PAD.decode(&self.auth))
            .ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (username, password) = text.split_once(':')?;
        Some(Credential {
            username: username.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        })
    }
}

/// Host, port and path of a registry, without scheme and version of its API.
fn plain_place(place: &str) -> String {
    let place = place.split_once("://").map_or(place, |(_, rest)| rest);
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let versionless = ["/v1/", "/v2/"]
        .iter()
        .find_map(|version| path.strip_prefix(version))
        .map(|rest| format!("/{rest}"));
    let path = versionless.as_deref().unwrap_or(path);
    format!("{host}{}", if path == "/" { "" } else { path })
}

/// Whether credentials for that place are for the image. Parts of the host may be patterns.
pub(super) fn matches(place: &str, image: &str) -> bool {
    let (place_host, place_path) = split(place);
    let (image_host, image_path) = split(image);
    let port = |host: &str| host.split_once(':').map(|(_, port)| port.to_owned());
    let parts = |host: &str| -> Vec<String> {
        let name = host.split(':').next().unwrap_or_default();
        name.split('.').map(str::to_owned).collect()
    };
    let (wanted, given) = (parts(place_host), parts(image_host));
    port(place_host) == port(image_host)
        && wanted.len() == given.len()
        && wanted
            .iter()
            .zip(&given)
            .all(|(glob, part)| fits(glob.as_bytes(), part.as_bytes()))
        && image_path.starts_with(place_path)
}

fn split(place: &str) -> (&str, &str) {
    place.split_at(place.find('/').unwrap_or(place.len()))
}

/// `*` for any number of characters, `?` for one.
fn fits(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| fits(rest, &text[skip..])),
        (Some((b'?', glob)), Some((_, text))) => fits(glob, text),
        (Some((wanted, glob)), Some((found, text))) => wanted == found && fits(glob, text),
        _ => false,
    }
}

fn is_of_default_registry(image: &str) -> bool {
    match image.split_once('/') {
        None => !image.is_empty(),
        Some(("docker.io" | "index.docker.io", _)) => true,
        Some((first, _)) => !first.is_empty() && !first.contains(['.', ':']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(key: &str, text: &str) -> Data {
        Data::from([(key.to_owned(), text.as_bytes().to_vec())])
    }

    fn names(entries: &str, image: &str) -> Vec<String> {
        let text = format!(r#"{{"auths": {entries}}}"#);
        let found = fitting(&[secret(".dockerconfigjson", &text)], image);
        found
            .into_iter()
            .map(|credential| credential.username)
            .collect()
    }

    #[test]
    fn the_place_decides() {
        let entries = r#"{"https://registry.example.com/v2/": {"username": "a"},
            "registry.example.com/team": {"username": "b"},
            "*.example.com": {"username": "c"},
            "registry.example.com:5000": {"username": "d"},
            "https://index.docker.io/v1/": {"username": "e"}}"#;
        let check = |image: &str, expected: &[&str]| {
            assert_eq!(names(entries, image), expected, "{image}");
        };
        check("registry.example.com/app:1", &["a", "c"]);
        check("registry.example.com/team/app", &["b", "a", "c"]);
        check("registry.example.com:5000/app", &["d"]);
        check("other.example.com/app", &["c"]);
        check("a.b.example.com/app", &[]);
        check("busybox", &["e"]);
        check("docker.io/library/busybox", &["e"]);
        check("team/app:2", &["e"]);
        check("localhost:5000/app", &[]);
    }

    #[test]
    fn names_and_passwords_in_all_forms() {
        let ann = Credential {
            username: "ann".into(),
            password: "p:w".into(),
        };
        for (key, text) in [
            (
                ".dockerconfigjson",
                r#"{"auths": {"r.io": {"auth": "YW5uOnA6dw=="}}}"#,
            ),
            (
                ".dockerconfigjson",
                r#"{"auths": {"r.io": {"auth": "YW5uOnA6dw"}}}"#,
            ),
            (
                ".dockercfg",
                r#"{"r.io": {"username": "ann", "password": "p:w"}}"#,
            ),
        ] {
            assert_eq!(
                fitting(&[secret(key, text)], "r.io/x"),
                std::slice::from_ref(&ann),
                "{text}"
            );
        }
        for (key, text) in [
            (".dockerconfigjson", "nonsense"),
            (
                ".dockerconfigjson",
                r#"{"auths": {"r.io": {"auth": "%%"}}}"#,
            ),
            ("other", "{}"),
        ] {
            assert_eq!(fitting(&[secret(key, text)], "r.io/x"), [], "{text}");
        }
    }
}
