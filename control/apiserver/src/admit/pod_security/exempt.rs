//! What a cluster's `PodSecurityConfiguration` says: levels where namespaces name none, and who is
//! exempt. Pure.

use serde_json::Value;

use super::policy::Labels;
use crate::admit::{Notes, fields};

const KIND: &str = "PodSecurityConfiguration";
const GROUP: &str = "pod-security.admission.config.k8s.io/";
/// Where the audit log says why nothing was judged.
const NOTE: &str = "pod-security.kubernetes.io/exempt";

/// The configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configuration {
    /// What holds where labels are silent.
    pub(super) defaults: Labels,
    /// Users whose requests are not judged.
    usernames: Vec<String>,
    /// Runtime classes whose pods are not judged.
    runtime_classes: Vec<String>,
    /// Namespaces in which nothing is judged.
    pub(in crate::admit) namespaces: Vec<String>,
}

impl Configuration {
    /// Reads a document.
    pub(in crate::admit) fn read(document: &Value) -> Result<Self, String> {
        let (version, kind) = (
            fields::text(document, "/apiVersion"),
            fields::text(document, "/kind"),
        );
        let known = version
            .strip_prefix(GROUP)
            .is_some_and(|version| matches!(version, "v1" | "v1beta1" | "v1alpha1"));
        if kind != KIND || !known {
            return Err(format!(
                "expected {KIND} of {GROUP}v1, found {kind:?} of {version:?}"
            ));
        }
        let defaults = Labels::of_configuration(&fields::text_map(document, "/defaults"))?;
        let texts = |path| {
            fields::texts(document, path)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let configuration = Self {
            defaults,
            usernames: texts("/exemptions/usernames"),
            runtime_classes: texts("/exemptions/runtimeClasses"),
            namespaces: texts("/exemptions/namespaces"),
        };
        Ok(configuration)
    }

    /// Whether a request is not judged, whatever its pod is like.
    pub(super) fn passes_request(&self, namespace: &str, user: &str, notes: &mut Notes) -> bool {
        let why = if has(&self.namespaces, namespace) {
            "namespace"
        } else if has(&self.usernames, user) {
            "user"
        } else {
            return false;
        };
        notes.audit.insert(NOTE.to_owned(), why.to_owned());
        true
    }

    /// Whether a pod is not judged.
    pub(super) fn passes_pod(&self, spec: &Value) -> bool {
        fields::optional_text(spec, "/runtimeClassName")
            .is_some_and(|class| has(&self.runtime_classes, class))
    }

    /// Whether a pod of a request is not judged.
    pub(super) fn passes_asked(&self, spec: &Value, notes: &mut Notes) -> bool {
        let passes = self.passes_pod(spec);
        if passes {
            notes
                .audit
                .insert(NOTE.to_owned(), "runtimeClass".to_owned());
        }
        passes
    }

    /// Whether nothing is judged in a namespace; says so where its labels ask for something.
    pub(super) fn passes_namespace(&self, name: &str, policy: Labels, notes: &mut Notes) -> bool {
        let passes = has(&self.namespaces, name);
        if passes && policy != self.defaults {
            notes.warnings.push(format!(
                "namespace {name:?} is exempt from Pod Security, and the policy ({policy}) will be ignored"
            ));
        }
        passes
    }
}

fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|one| one == name)
}
