//! Levels, their versions, and the labels of namespaces that name them. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::admit::fields;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// The version whose rules `latest` stands for.
const CURRENT: u32 = 36;

/// How much a pod may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// A level as of a version; none stands for the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) level: Level,
    version: Option<u32>,
}

impl Policy {
    /// The minor version whose rules apply.
    pub(super) fn minor(self) -> u32 {
        self.version.unwrap_or(CURRENT).min(CURRENT)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            None => write!(out, "{level}:latest"),
            Some(minor) => write!(out, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace's labels say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) enforce: Policy,
    pub(super) audit: Policy,
    pub(super) warn: Policy,
}

/// Field, reason, message.
pub(super) type LabelError = (String, String, String);

impl Labels {
    /// Reads them. What cannot be read counts as the strictest, and is an error beside.
    pub(super) fn read(labels: &BTreeMap<String, String>) -> (Self, Vec<LabelError>) {
        let mut errors = Vec::new();
        let mut one = |mode: &str| Policy {
            level: level(labels, mode, &mut errors),
            version: version(labels, mode, &mut errors),
        };
        let (enforce, audit, mut warn) = (one("enforce"), one("audit"), one("warn"));
        // Who enforces without warning is warned all the same: workloads are not enforced.
        let says_nothing = !labels.contains_key(&format!("{PREFIX}warn"));
        if says_nothing && enforce.level != Level::Privileged {
            warn = enforce;
        }
        let all = Self {
            enforce,
            audit,
            warn,
        };
        (all, errors)
    }
}

fn level(labels: &BTreeMap<String, String>, mode: &str, errors: &mut Vec<LabelError>) -> Level {
    let key = format!("{PREFIX}{mode}");
    match labels.get(&key).map(String::as_str) {
        None | Some("privileged") => Level::Privileged,
        Some("baseline") => Level::Baseline,
        Some("restricted") => Level::Restricted,
        Some(other) => {
            errors.push(error(
                &key,
                other,
                "must be one of privileged, baseline, restricted",
            ));
            Level::Restricted
        }
    }
}

fn version(
    labels: &BTreeMap<String, String>,
    mode: &str,
    errors: &mut Vec<LabelError>,
) -> Option<u32> {
    let key = format!("{PREFIX}{mode}-version");
    let text = labels.get(&key).map(String::as_str)?;
    if text == "latest" {
        return None;
    }
    let minor = text
        .strip_prefix("v1.")
        .filter(|minor| *minor == "0" || !minor.starts_with('0'));
    let minor = minor.and_then(|minor| minor.parse().ok());
    if minor.is_none() {
        errors.push(error(&key, text, "must be \"latest\" or \"v1.x\""));
    }
    minor
}

fn error(key: &str, value: &str, why: &str) -> LabelError {
    (
        format!("metadata.labels[{key}]"),
        "FieldValueInvalid".to_owned(),
        format!("Invalid value: {value:?}: {why}"),
    )
}

/// Whether the labels that matter here are the same.
pub(super) fn same_labels(old: &Value, new: &Value) -> bool {
    let own = |object: &Value| -> Vec<(String, String)> {
        fields::labels(object)
            .into_iter()
            .filter(|(key, _)| key.starts_with(PREFIX))
            .collect()
    };
    own(old) == own(new)
}
