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
    /// Reads them; what they are silent of is the default. What cannot be read counts as the
    /// strictest, and is an error beside.
    pub(super) fn read(
        labels: &BTreeMap<String, String>,
        default: Self,
    ) -> (Self, Vec<LabelError>) {
        let mut errors = Vec::new();
        let mut one = |mode: &str, default: Policy| Policy {
            level: level(labels, mode, &mut errors).unwrap_or(default.level),
            version: version(labels, mode, &mut errors).unwrap_or(default.version),
        };
        let enforce = one("enforce", default.enforce);
        let audit = one("audit", default.audit);
        let mut warn = one("warn", default.warn);
        // Who enforces without warning is warned all the same: workloads are not enforced.
        let says = |mode: &str| labels.contains_key(&format!("{PREFIX}{mode}"));
        if says("enforce") && !says("warn") && enforce.level != Level::Privileged {
            warn = enforce;
        }
        let all = Self {
            enforce,
            audit,
            warn,
        };
        (all, errors)
    }

    /// Reads the defaults of a configuration, whose keys are those of the labels without prefix.
    pub(super) fn of_configuration(defaults: &BTreeMap<String, String>) -> Result<Self, String> {
        let prefixed = |(key, value): (&String, &String)| (format!("{PREFIX}{key}"), value.clone());
        let labels: BTreeMap<_, _> = defaults.iter().map(prefixed).collect();
        let mut one = Vec::new();
        let mut policy = |mode: &str| Policy {
            level: level(&labels, mode, &mut one).unwrap_or_default(),
            version: version(&labels, mode, &mut one).flatten(),
        };
        let read = Self {
            enforce: policy("enforce"),
            audit: policy("audit"),
            warn: policy("warn"),
        };
        match one.first() {
            Some((key, _, why)) => Err(format!("defaults: {key}: {why}")),
            None => Ok(read),
        }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            enforce,
            audit,
            warn,
        } = self;
        let shown = [("enforce", enforce), ("audit", audit), ("warn", warn)];
        let all = shown
            .into_iter()
            .filter(|(_, policy)| **policy != Policy::default());
        let all: Vec<_> = all
            .map(|(mode, policy)| format!("{mode}={policy}"))
            .collect();
        out.write_str(&all.join(", "))
    }
}

fn level(
    labels: &BTreeMap<String, String>,
    mode: &str,
    errors: &mut Vec<LabelError>,
) -> Option<Level> {
    let key = format!("{PREFIX}{mode}");
    Some(match labels.get(&key)?.as_str() {
        "privileged" => Level::Privileged,
        "baseline" => Level::Baseline,
        "restricted" => Level::Restricted,
        other => {
            errors.push(error(
                &key,
                other,
                "must be one of privileged, baseline, restricted",
            ));
            Level::Restricted
        }
    })
}

fn version(
    labels: &BTreeMap<String, String>,
    mode: &str,
    errors: &mut Vec<LabelError>,
) -> Option<Option<u32>> {
    let key = format!("{PREFIX}{mode}-version");
    let text = labels.get(&key).map(String::as_str)?;
    if text == "latest" {
        return Some(None);
    }
    let minor = text
        .strip_prefix("v1.")
        .filter(|minor| *minor == "0" || !minor.starts_with('0'));
    let minor = minor.and_then(|minor| minor.parse().ok());
    if minor.is_none() {
        errors.push(error(&key, text, "must be \"latest\" or \"v1.x\""));
    }
    Some(minor)
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
