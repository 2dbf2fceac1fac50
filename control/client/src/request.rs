//! Decides what requests look like: query parameters, patch types, delete options. Pure: nothing
//! is sent here.

use serde::Serialize;
use serde_json::Value;

use crate::path::{ApiPath, escape};

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `labelSelector`; empty selects all.
    pub labels: String,
    /// `fieldSelector`; empty selects all.
    pub fields: String,
}

/// How to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Which objects.
    pub selection: Selection,
    /// At most that many in one answer; 0 for no limit.
    pub limit: u32,
    /// Where the last answer ended (`metadata.continue`).
    pub continue_token: String,
    /// `resourceVersion`: empty for the newest, `0` for what the server has at hand.
    pub resource_version: String,
}

/// How to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Which objects.
    pub selection: Selection,
    /// From which version on.
    pub resource_version: String,
    /// Whether the stream begins with all objects and then says so (a streaming list).
    pub initial_events: bool,
    /// After how many seconds the server ends the stream.
    pub timeout_seconds: u32,
}

/// How to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Who writes (`fieldManager`); empty for what the server makes of the user agent.
    pub field_manager: String,
    /// Whether fields of other managers are taken over (apply only).
    pub force: bool,
    /// Whether everything is done but the storing.
    pub dry_run: bool,
}

/// A change to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// A list of operations (RFC 6902).
    Json(Value),
    /// Fields to set, null to remove (RFC 7386).
    Merge(Value),
    /// Like merge, but lists with keys are merged by them. Built-in kinds only.
    Strategic(Value),
    /// The fields that we want; the server keeps who owns which.
    Apply(Value),
}

impl Patch {
    /// The content type that names the kind of patch.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json-patch+json",
            Self::Merge(_) => "application/merge-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Apply(_) => "application/apply-patch+yaml",
        }
    }

    /// What is sent.
    #[must_use]
    pub fn body(&self) -> &Value {
        match self {
            Self::Json(body) | Self::Merge(body) | Self::Strategic(body) | Self::Apply(body) => {
                body
            }
        }
    }
}

/// How to delete, and what must be true for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    /// How long the object may take to end; its own choice if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<u32>,
    /// What the object must still be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
    /// What becomes of what it owns: `Foreground`, `Background`, `Orphan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<&'static str>,
}

/// What must be true of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Removes the object with this uid at once, without grace.
    #[must_use]
    pub fn now(uid: &str) -> Self {
        Self {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            propagation_policy: None,
        }
    }
}

/// A URL that is being put together.
struct Url {
    text: String,
    has_query: bool,
}

impl Url {
    fn of(path: &ApiPath) -> Self {
        Self {
            text: path.url(),
            has_query: false,
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            return self;
        }
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        escape(value, &mut self.text);
        self
    }

    fn with_number(self, name: &str, value: u32) -> Self {
        if value == 0 {
            return self;
        }
        self.with(name, &value.to_string())
    }

    fn with_flag(self, name: &str, value: bool) -> Self {
        self.with(name, if value { "true" } else { "" })
    }

    fn selecting(self, selection: &Selection) -> Self {
        self.with("labelSelector", &selection.labels)
            .with("fieldSelector", &selection.fields)
    }
}

/// Path and query of a list.
#[must_use]
pub fn list_url(path: &ApiPath, options: &ListOptions) -> String {
    // The version is part of the continue token.
    let version = if options.continue_token.is_empty() {
        options.resource_version.as_str()
    } else {
        ""
    };
    Url::of(path)
        .selecting(&options.selection)
        .with_number("limit", options.limit)
        .with("continue", &options.continue_token)
        .with("resourceVersion", version)
        .text
}

/// Path and query of a watch.
#[must_use]
pub fn watch_url(path: &ApiPath, options: &WatchOptions) -> String {
    let not_older = if options.initial_events {
        "NotOlderThan"
    } else {
        ""
    };
    Url::of(path)
        .with_flag("watch", true)
        .with_flag("allowWatchBookmarks", true)
        .selecting(&options.selection)
        .with("resourceVersion", &options.resource_version)
        .with_flag("sendInitialEvents", options.initial_events)
        .with("resourceVersionMatch", not_older)
        .with_number("timeoutSeconds", options.timeout_seconds)
        .text
}

/// Path and query of a write.
#[must_use]
pub fn write_url(path: &ApiPath, options: &WriteOptions) -> String {
    Url::of(path)
        .with("fieldManager", &options.field_manager)
        .with_flag("force", options.force)
        .with("dryRun", if options.dry_run { "All" } else { "" })
        .text
}

#[cfg(test)]
mod tests {
    use super::{
        DeleteOptions, ListOptions, Selection, WatchOptions, WriteOptions, list_url, watch_url,
        write_url,
    };
    use crate::path::Resource;
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn urls() {
        let pods = Resource::of::<Pod>();
        let selection = Selection {
            labels: "a in (b,c)".into(),
            fields: "spec.nodeName=n".into(),
        };
        let list = ListOptions {
            selection: selection.clone(),
            limit: 500,
            resource_version: "0".into(),
            ..ListOptions::default()
        };
        assert_eq!(
            list_url(&pods.all(), &list),
            "/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&fieldSelector=spec.nodeName%3Dn\
             &limit=500&resourceVersion=0"
        );
        let next = ListOptions {
            continue_token: "x".into(),
            selection: Selection::default(),
            ..list
        };
        assert_eq!(
            list_url(&pods.all(), &next),
            "/api/v1/pods?limit=500&continue=x"
        );
        let watch = WatchOptions {
            initial_events: true,
            timeout_seconds: 300,
            ..WatchOptions::default()
        };
        assert_eq!(
            watch_url(&pods.within("n"), &watch),
            "/api/v1/namespaces/n/pods?watch=true&allowWatchBookmarks=true&sendInitialEvents=true\
             &resourceVersionMatch=NotOlderThan&timeoutSeconds=300"
        );
        let write = WriteOptions {
            field_manager: "me".into(),
            force: true,
            dry_run: false,
        };
        assert_eq!(
            write_url(&pods.named("n", "p").subresource("status"), &write),
            "/api/v1/namespaces/n/pods/p/status?fieldManager=me&force=true"
        );
    }

    #[test]
    fn deletes_only_the_one_that_is_meant() {
        let text = serde_json::to_string(&DeleteOptions::now("u")).unwrap();
        assert_eq!(
            text,
            r#"{"gracePeriodSeconds":0,"preconditions":{"uid":"u"}}"#
        );
        assert_eq!(
            serde_json::to_string(&DeleteOptions::default()).unwrap(),
            "{}"
        );
    }
}
