//! One write becomes one request, or as many as it takes until its outcome is known. Must not know
//! what comes of a refusal.

use std::collections::HashSet;
use std::time::Duration;

use keelson_client::backoff::{Backoff, Jitter};
use keelson_client::path::ApiPath;
use keelson_client::request::{DeleteOptions, Patch, Preconditions, WriteOptions};
use keelson_client::{Client, Error};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Target, name};
use crate::write::{Action, Write, merge};

/// The wait before a creation whose outcome is unknown is asked for again.
const UNCLEAR: Backoff = Backoff {
    base: Duration::from_millis(200),
    most: Duration::from_secs(10),
};

/// What is read of an object that the server sends back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    pub(super) metadata: AnswerMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AnswerMeta {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
}

/// Sends the writes of one controller.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) client: Client,
    /// What we may update but not patch: the roles of upstream's controllers are like that.
    pub(super) no_patch: Mutex<HashSet<Target>>,
}

impl Sender {
    pub(super) async fn send(&self, write: &Write) -> Result<Answer, Error> {
        let path = |name: &str| write.resource.named(&write.namespace, name);
        match &write.action {
            Action::Create { object, or_exists } => self.create(write, object, *or_exists).await,
            Action::Patch {
                name,
                uid,
                version,
                subresource,
                changes,
            } => {
                let mut guarded = json!({"metadata": {"uid": uid}});
                if !version.is_empty() {
                    guarded["metadata"]["resourceVersion"] = json!(version);
                }
                merge_patches(&mut guarded, changes);
                self.patch(write, &path(name), subresource, guarded).await
            }
            Action::Delete {
                name,
                uid,
                version,
                propagation,
                grace,
            } => {
                let version = Some(version.to_string()).filter(|version| !version.is_empty());
                let options = DeleteOptions {
                    grace_period_seconds: *grace,
                    preconditions: Some(Preconditions {
                        uid: Some(uid.to_string()),
                        resource_version: version,
                    }),
                    propagation_policy: *propagation,
                };
                match self.client.delete(&path(name), &options).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => Ok(Answer::default()),
                }
            }
        }
    }

    async fn create(
        &self,
        write: &Write,
        object: &Value,
        or_exists: bool,
    ) -> Result<Answer, Error> {
        let mut object = object.clone();
        object["apiVersion"] = json!(write.resource.api_version());
        object["kind"] = json!(write.resource.kind);
        if write.resource.namespaced {
            object["metadata"]["namespace"] = json!(write.namespace);
        }
        let mut jitter = Jitter::seeded();
        let prefix = object["metadata"]["generateName"]
            .as_str()
            .map(str::to_owned);
        let prefix = prefix.filter(|_| object["metadata"]["name"].is_null());
        let mut unclear = 0;
        loop {
            if let Some(prefix) = prefix.as_ref().filter(|_| unclear == 0) {
                object["metadata"]["name"] = json!(name::generate(prefix, &mut jitter));
            }
            let list = write.resource.within(&write.namespace);
            let error = match self.client.create(&list, &object).await {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            if error.is_already_exists() {
                if or_exists || unclear > 0 {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    return self
                        .client
                        .get(&write.resource.named(&write.namespace, name))
                        .await;
                }
                if prefix.is_some() {
                    continue;
                }
                return Err(error);
            }
            if !is_unclear(&error, unclear > 0) {
                return Err(error);
            }
            sleep(UNCLEAR.after(unclear)).await;
            unclear += 1;
        }
    }

    async fn patch(
        &self,
        write: &Write,
        object: &ApiPath,
        subresource: &'static str,
        changes: Value,
    ) -> Result<Answer, Error> {
        let target = (write.resource.clone(), subresource);
        let path = match subresource {
            "" => object.clone(),
            name => object.clone().subresource(name),
        };
        if !self.no_patch.lock().contains(&target) {
            let patch = Patch::Merge(changes.clone());
            let options = WriteOptions::default();
            match self.client.patch(&path, &patch, &options).await {
                Err(error) if error.is_forbidden() => {}
                outcome => return outcome,
            }
        }
        let answer = self.replace(object, &path, changes).await?;
        self.no_patch.lock().insert(target);
        Ok(answer)
    }

    /// The same change by reading and replacing. The version in it makes the server refuse it if
    /// somebody else was faster.
    async fn replace(
        &self,
        object: &ApiPath,
        path: &ApiPath,
        changes: Value,
    ) -> Result<Answer, Error> {
        let mut current: Value = self.client.get(object).await?;
        merge(&mut current, changes);
        self.client.update(path, &current).await
    }
}

/// Whether the server may have done what it was asked for. After that has happened once, only its
/// own word ends the doubt.
fn is_unclear(error: &Error, was_unclear: bool) -> bool {
    match error {
        Error::Timeout { .. } | Error::Broken { .. } => true,
        Error::Connect { .. } => was_unclear,
        Error::Status { status, .. } => match status.code {
            504 => true,
            429 | 500..=599 => was_unclear,
            _ => false,
        },
        _ => false,
    }
}

/// Puts two merge patches into one, keeping the nulls that remove fields.
fn merge_patches(into: &mut Value, other: &Value) {
    match (into, other) {
        (Value::Object(into), Value::Object(other)) => {
            for (name, value) in other {
                merge_patches(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, other) => *into = other.clone(),
    }
}
