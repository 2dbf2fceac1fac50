//! Which programs are asked for credentials of an image, what they are told and what they answer
//! (`CredentialProviderConfig`, `credentialprovider.kubelet.k8s.io`). Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keelson_api::duration::Duration as WireDuration;
use keelson_api::yaml;
use serde::{Deserialize, Serialize};

use super::pull_credentials::{Credential, choose, matches};

/// Versions of the protocol that are spoken.
const VERSIONS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
];
/// Versions of the configuration that are read.
const CONFIG_VERSIONS: [&str; 3] = [
    "kubelet.config.k8s.io/v1",
    "kubelet.config.k8s.io/v1beta1",
    "kubelet.config.k8s.io/v1alpha1",
];

/// Why a configuration or an answer can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialPluginError {
    /// It is no configuration of providers.
    #[error("not a CredentialProviderConfig: {0}")]
    Unreadable(String),
    /// A field has a value that can't be used.
    #[error("providers[{index}].{field}: {detail}")]
    Invalid {
        /// Which provider, counted from zero.
        index: usize,
        /// Which field.
        field: &'static str,
        /// What would be right.
        detail: String,
    },
    /// What a program answered.
    #[error("the answer is no CredentialProviderResponse of {expected}: {detail}")]
    Answer {
        /// The version that was asked in.
        expected: String,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    api_version: String,
    kind: String,
    #[serde(default)]
    providers: Vec<Provider>,
}

/// One program and the images that it is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Its file name in the folder of programs.
    pub name: String,
    /// Patterns of images that it knows credentials of.
    #[serde(default)]
    pub match_images: Vec<String>,
    /// How long an answer is good that does not say so itself.
    pub default_cache_duration: Option<WireDuration>,
    /// The version of the protocol.
    #[serde(default)]
    pub api_version: String,
    /// Arguments.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Variables besides those of the kubelet.
    #[serde(default)]
    pub env: Option<Vec<Variable>>,
    /// What it wants to know of the pod's service account.
    #[serde(default)]
    token_attributes: Option<serde_json::Value>,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Reads one configuration file.
///
/// # Errors
/// [`CredentialPluginError::Unreadable`].
pub fn read(text: &str) -> Result<Vec<Provider>, CredentialPluginError> {
    let unreadable = |detail: String| CredentialPluginError::Unreadable(detail);
    let document = yaml::parse_one(text).map_err(|e| unreadable(e.to_string()))?;
    let config: Config =
        serde_json::from_value(document.value).map_err(|e| unreadable(e.to_string()))?;
    let known = CONFIG_VERSIONS.contains(&config.api_version.as_str());
    if !known || config.kind != "CredentialProviderConfig" {
        let (version, kind) = (config.api_version, config.kind);
        return Err(unreadable(format!("{kind} of {version}")));
    }
    Ok(config.providers)
}

/// Refuses what can't be meant.
///
/// # Errors
/// [`CredentialPluginError::Invalid`], for the first such field.
pub fn validate(providers: &[Provider]) -> Result<(), CredentialPluginError> {
    let mut names = BTreeSet::new();
    for (index, provider) in providers.iter().enumerate() {
        let invalid = |field, detail: &str| {
            let detail = detail.to_owned();
            Err(CredentialPluginError::Invalid {
                index,
                field,
                detail,
            })
        };
        let name = provider.name.as_str();
        if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', ' ']) {
            return invalid("name", "must be the name of a file");
        }
        if !names.insert(name) {
            return invalid("name", "is there twice");
        }
        if provider.match_images.iter().all(String::is_empty) {
            return invalid("matchImages", "at least one pattern is required");
        }
        if !VERSIONS.contains(&provider.api_version.as_str()) {
            let detail = format!("must be one of {}", VERSIONS.join(", "));
            return invalid("apiVersion", &detail);
        }
        match provider.default_cache_duration {
            None => return invalid("defaultCacheDuration", "is required"),
            Some(duration) if duration.nanoseconds() < 0 => {
                return invalid("defaultCacheDuration", "must not be negative");
            }
            Some(_) => {}
        }
        if provider.token_attributes.is_some() {
            let detail = "not supported: programs get no tokens of service accounts";
            return invalid("tokenAttributes", detail);
        }
    }
    Ok(())
}

/// The repository that an image is of, in full: what programs are asked about.
#[must_use]
pub fn repository(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let name = match name[last..].find(':') {
        Some(colon) => &name[..last + colon],
        None => name,
    };
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

impl Provider {
    /// Whether it is to be asked about a repository.
    #[must_use]
    pub fn knows(&self, repository: &str) -> bool {
        let mut patterns = self.match_images.iter();
        patterns.any(|pattern| matches(pattern, repository))
    }

    /// What it is told about an image, as JSON.
    #[must_use]
    pub fn request(&self, repository: &str) -> String {
        serde_json::json!({
            "kind": "CredentialProviderRequest",
            "apiVersion": self.api_version,
            "image": repository,
        })
        .to_string()
    }

    /// Reads what it answers.
    ///
    /// # Errors
    /// [`CredentialPluginError::Answer`].
    pub fn answer(&self, text: &[u8]) -> Result<Answer, CredentialPluginError> {
        let wrong = |detail: String| CredentialPluginError::Answer {
            expected: self.api_version.clone(),
            detail,
        };
        let answer: WireAnswer = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        if answer.kind != "CredentialProviderResponse" || answer.api_version != self.api_version {
            let (kind, version) = (answer.kind, answer.api_version);
            return Err(wrong(format!("it is {kind} of {version}")));
        }
        let good_for = answer.cache_duration.or(self.default_cache_duration);
        let good_for = good_for.filter(|d| d.nanoseconds() > 0);
        Ok(Answer {
            good_for: good_for.map_or(Duration::ZERO, WireDuration::to_std),
            scope: answer.cache_key_type,
            credentials: answer.auth.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAnswer {
    kind: String,
    api_version: String,
    cache_key_type: Scope,
    cache_duration: Option<WireDuration>,
    auth: Option<BTreeMap<String, Credential>>,
}

/// For which images an answer is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Scope {
    /// For images of that repository.
    Image,
    /// For images of that registry.
    Registry,
    /// For every image.
    Global,
}

impl Scope {
    /// All, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Image, Self::Registry, Self::Global];

    /// What an answer about a repository is kept under.
    #[must_use]
    pub fn key(self, repository: &str) -> String {
        match self {
            Self::Image => repository.to_owned(),
            Self::Registry => repository.split('/').next().unwrap_or_default().to_owned(),
            Self::Global => String::new(),
        }
    }
}

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How long it may be kept.
    pub good_for: Duration,
    /// For what it may be used again.
    pub scope: Scope,
    credentials: BTreeMap<String, Credential>,
}

impl Answer {
    /// Its credentials for a repository, the best first.
    #[must_use]
    pub fn fitting(&self, repository: &str) -> Vec<Credential> {
        choose(self.credentials.clone().into_iter().collect(), repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: cloud
  matchImages: ["*.registry.example.com", "registry.io:5000/team"]
  defaultCacheDuration: 1h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get]
  env: [{name: PROFILE, value: a}]
"#;

    #[test]
    fn images_are_named_in_full() {
        for (image, expected) in [
            ("busybox", "docker.io/library/busybox"),
            ("team/app:1", "docker.io/team/app"),
            ("r.io:5000/a/b:1@sha256:00", "r.io:5000/a/b"),
            ("localhost/a", "localhost/a"),
            ("r.io/a@sha256:00", "r.io/a"),
        ] {
            assert_eq!(repository(image), expected, "{image}");
        }
    }

    #[test]
    fn patterns_say_who_is_asked() {
        let providers = read(CONFIG).unwrap();
        validate(&providers).unwrap();
        for (image, expected) in [
            ("eu.registry.example.com/a", true),
            ("registry.example.com/a", false),
            ("registry.io:5000/team/app", true),
            ("registry.io:5000/other", false),
            ("registry.io/team/app", false),
        ] {
            assert_eq!(providers[0].knows(image), expected, "{image}");
        }
    }

    #[test]
    fn a_useless_configuration_is_refused() {
        let check = |from: &str, to: &str, expected: &str| {
            let read = read(&CONFIG.replace(from, to)).and_then(|list| validate(&list));
            let error = read.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "kubelet.config.k8s.io/v1",
            "x/v1",
            "CredentialProviderConfig of x/v1",
        );
        check(
            "name: cloud",
            "name: a/b",
            "providers[0].name: must be the name",
        );
        check(
            "k8s.io/v1\n  args",
            "k8s.io/v9\n  args",
            "providers[0].apiVersion: must be one of",
        );
        check(
            "  defaultCacheDuration: 1h\n",
            "",
            "defaultCacheDuration: is required",
        );
        check("Duration: 1h", "Duration: -1h", "must not be negative");
        check(
            "args: [get]",
            "tokenAttributes: {}",
            "tokenAttributes: not supported",
        );
    }

    fn answer(text: &str) -> Result<Answer, CredentialPluginError> {
        read(CONFIG).unwrap()[0].answer(text.as_bytes())
    }

    #[test]
    fn an_answer_says_how_long_and_for_what_it_is_good() {
        let head = r#""kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1""#;
        let said = answer(&format!(
            r#"{{{head}, "cacheKeyType": "Registry", "cacheDuration": "10m",
                "auth": {{"*.registry.example.com": {{"username": "u", "password": "p"}},
                    "other.io": {{"username": "x", "password": "y"}}}}}}"#
        ));
        let said = said.unwrap();
        assert_eq!(
            (said.good_for, said.scope),
            (Duration::from_secs(600), Scope::Registry)
        );
        let fit = said.fitting("eu.registry.example.com/a");
        assert_eq!(
            fit.iter().map(|c| c.username.as_str()).collect::<Vec<_>>(),
            ["u"]
        );
        let brief = answer(&format!(r#"{{{head}, "cacheKeyType": "Image"}}"#)).unwrap();
        assert_eq!(brief.good_for, Duration::from_secs(3600));
        assert_eq!(brief.fitting("eu.registry.example.com/a"), []);
        let error = answer(r#"{"kind": "X", "apiVersion": "v1", "cacheKeyType": "Image"}"#);
        assert!(error.unwrap_err().to_string().contains("it is X of v1"));
    }

    #[test]
    fn answers_are_kept_under_what_they_are_good_for() {
        let keys = Scope::ALL.map(|scope| scope.key("r.io:5000/a/b"));
        assert_eq!(keys, ["r.io:5000/a/b", "r.io:5000", ""]);
    }
}
