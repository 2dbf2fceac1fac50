//! Image names: parsing, the default registry and tag, and the pull policy a tag implies.
//!
//! Decides what a short name such as `nginx` stands for. It never talks to a registry.

use std::fmt;

/// A fully spelled image name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// The registry with its port, `docker.io` where none is named.
    pub registry: String,
    /// The path in the registry, with `library/` in front of Docker Hub's official images.
    pub path: String,
    /// The tag, as written.
    pub tag: Option<String>,
    /// The digest, as written: `sha256:...`.
    pub digest: Option<String>,
}

/// Why a text is not an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The name is empty.
    #[error("image name is empty")]
    Empty,
    /// The repository has upper case letters.
    #[error("image name {0:?} must be lower case")]
    Uppercase(String),
    /// The name has white space or characters that no image name has.
    #[error("image name {0:?} is malformed: expected [registry[:port]/]path[:tag][@digest]")]
    Form(String),
    /// The tag is malformed.
    #[error("tag {tag:?} of image {image:?} is malformed")]
    Tag {
        /// The tag as read.
        tag: String,
        /// The whole name.
        image: String,
    },
    /// The digest is malformed.
    #[error("digest {digest:?} of image {image:?} is malformed: expected sha256:<64 hex digits>")]
    Digest {
        /// The digest as read.
        digest: String,
        /// The whole name.
        image: String,
    },
}

const DEFAULT_REGISTRY: &str = "docker.io";

impl ImageReference {
    /// Parses an image name and spells out its registry.
    ///
    /// # Errors
    /// See [`ReferenceError`].
    pub fn parse(image: &str) -> Result<Self, ReferenceError> {
        if image.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let form = || ReferenceError::Form(image.to_owned());
        let (name, digest) = match image.split_once('@') {
            Some((name, digest)) => (name, Some(checked_digest(digest, image)?)),
            None => (image, None),
        };
        let (name, tag) = split_tag(name, image)?;
        let (registry, path) = split_registry(name);
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(image.to_owned()));
        }
        if !path.split('/').all(valid_component) || !valid_registry(registry) {
            return Err(form());
        }
        let path = match (registry, path.contains('/')) {
            (DEFAULT_REGISTRY, false) => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if registry.len() + 1 + path.len() > 255 {
            return Err(form());
        }
        Ok(Self {
            registry: registry.to_owned(),
            path,
            tag,
            digest,
        })
    }

    /// The name without tag and digest.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The tag, or the digest-free default `latest` where neither is given.
    #[must_use]
    pub fn tag_or_latest(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, Some(_)) => None,
            (None, None) => Some("latest"),
        }
    }
}

impl fmt::Display for ImageReference {
    /// The name a runtime knows the image by: registry, path, then tag or digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = self.tag_or_latest() {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// `Always` for the tag `latest` or none, `IfNotPresent` for any other tag or a digest.
#[must_use]
pub fn default_pull_policy(image: &str) -> &'static str {
    match ImageReference::parse(image) {
        Ok(reference) if reference.tag_or_latest() == Some("latest") => "Always",
        _ => "IfNotPresent",
    }
}

fn split_tag<'a>(name: &'a str, image: &str) -> Result<(&'a str, Option<String>), ReferenceError> {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let Some(colon) = name[last..].find(':') else {
        return Ok((name, None));
    };
    let (name, tag) = (&name[..last + colon], &name[last + colon + 1..]);
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let valid = tag.starts_with(word)
        && tag.len() <= 128
        && tag.chars().all(|c| word(c) || c == '.' || c == '-');
    match valid {
        true => Ok((name, Some(tag.to_owned()))),
        false => Err(ReferenceError::Tag {
            tag: tag.to_owned(),
            image: image.to_owned(),
        }),
    }
}

/// The first part is a registry if it could not be a path: a dot, a port, upper case, or
/// `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    let registry_like = |first: &str| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.chars().any(|c| c.is_ascii_uppercase())
    };
    match name.split_once('/') {
        Some((first, rest)) if registry_like(first) => match first {
            "index.docker.io" => (DEFAULT_REGISTRY, rest),
            _ => (first, rest),
        },
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn valid_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let host_ok = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        }),
    };
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()));
    host_ok && port_ok
}

/// Lower case words, joined by `.`, `_`, `__` or any number of `-`.
fn valid_component(component: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_ok = component.starts_with(word) && component.ends_with(word);
    let separators_ok = component
        .split(word)
        .all(|run| matches!(run, "" | "." | "_" | "__") || run.chars().all(|c| c == '-'));
    ends_ok && separators_ok
}

fn checked_digest(digest: &str, image: &str) -> Result<String, ReferenceError> {
    let valid = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let length_ok = match algorithm {
            "sha256" => hex.len() == 64,
            "sha384" => hex.len() == 96,
            "sha512" => hex.len() == 128,
            _ => hex.len() >= 32,
        };
        let hex_ok = hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic()) && length_ok && hex_ok
    });
    match valid {
        true => Ok(digest.to_owned()),
        false => Err(ReferenceError::Digest {
            digest: digest.to_owned(),
            image: image.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageReference, default_pull_policy};

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn spells_names_out() {
        let digest = format!("a@sha256:{HEX}");
        let spelled = format!("docker.io/library/a@sha256:{HEX}");
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("me/app", "docker.io/me/app:latest"),
            ("quay.io/a/b/c:v1", "quay.io/a/b/c:v1"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a:x", "localhost:5000/a:x"),
            ("index.docker.io/library/a", "docker.io/library/a:latest"),
            ("docker.io/a", "docker.io/library/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("a__b-.c", ""),
            (&digest, &spelled),
        ];
        for (image, expected) in cases {
            let got = ImageReference::parse(image)
                .map(|r| r.to_string())
                .unwrap_or_default();
            assert_eq!(got, expected, "{image}");
        }
    }

    #[test]
    fn refuses_malformed_names() {
        let cases = [
            "",
            "Nginx",
            "a b",
            "a:",
            "a:b:c",
            "a:-x",
            "a/",
            "/a",
            "a//b",
            "a@sha256:12",
            "a@sha256:XYZ",
            "a..b",
            "a_",
            "ex..com/a",
            "host:x/a",
        ];
        for image in cases {
            assert!(ImageReference::parse(image).is_err(), "{image} was taken");
        }
    }

    #[test]
    fn pulls_latest_always() {
        let digest = format!("a@sha256:{HEX}");
        let cases = [
            ("a", "Always"),
            ("a:latest", "Always"),
            ("a:1", "IfNotPresent"),
            (digest.as_str(), "IfNotPresent"),
            ("a b", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(default_pull_policy(image), policy, "{image}");
        }
    }
}
