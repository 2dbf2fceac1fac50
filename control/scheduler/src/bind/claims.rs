//! Claims that wait for their first consumer, before the pod is bound: each gets its volume, or the
//! node that its new volume has to be reachable from; then it is waited for until all are bound.

use std::time::Duration;

use keelson_client::request::{Patch, WriteOptions};
use keelson_client::{Client, Error, Resource, Store};
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::timeout;

use crate::intern::Word;
use crate::model::storage::Choice;
use crate::wire::storage::{ClaimObject, SELECTED_NODE};

/// How long volumes may take, as upstream's `bindTimeoutSeconds`.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why a pod was not bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The server refused, or was not reached.
    #[error(transparent)]
    Api(#[from] Error),
    /// A claim was not bound in time.
    #[error("binding volumes: {claim} was not bound within {}s", PATIENCE.as_secs())]
    Late {
        /// The first of those that were not.
        claim: String,
    },
    /// A claim's new volume is wanted elsewhere by now, or it went.
    #[error("binding volumes: {claim} is gone or wanted elsewhere")]
    Elsewhere {
        /// Which.
        claim: String,
    },
}

impl BindError {
    /// Whether the watch will say the rest: the pod is gone, or bound by somebody else.
    #[must_use]
    pub fn will_be_told(&self) -> bool {
        match self {
            Self::Api(error) => error.is_not_found() || error.is_conflict(),
            Self::Late { .. } | Self::Elsewhere { .. } => false,
        }
    }
}

/// Carries out the choices, and waits for all claims to be bound.
///
/// # Errors
/// A write was refused, or a claim was not bound.
pub async fn bind_claims(
    client: &Client,
    store: &Store<ClaimObject>,
    choices: &[Choice],
    uids: &[Word],
    node: &str,
) -> Result<(), BindError> {
    for (choice, uid) in choices.iter().zip(uids) {
        write(client, choice, uid, node).await?;
    }
    let mut changes = store.revision();
    let wait = async {
        while waiting(store, choices, node)?.is_some() {
            if changes.changed().await.is_err() {
                break;
            }
        }
        Ok(())
    };
    match timeout(PATIENCE, wait).await {
        Ok(outcome) => outcome,
        Err(_) => match waiting(store, choices, node)? {
            None => Ok(()),
            Some(claim) => Err(BindError::Late { claim }),
        },
    }
}

async fn write(client: &Client, choice: &Choice, uid: &Word, node: &str) -> Result<(), Error> {
    let core = |plural, kind, namespaced| Resource::fixed("", "v1", plural, kind, namespaced);
    let (namespace, name) = (choice.claim.namespace.text(), choice.claim.name.text());
    let (path, patch) = match &choice.volume {
        Some(volume) => (
            core("persistentvolumes", "PersistentVolume", false).named("", volume.text()),
            json!({
                "metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}},
                "spec": {"claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": namespace, "name": name, "uid": uid.text()}},
            }),
        ),
        None => (
            core("persistentvolumeclaims", "PersistentVolumeClaim", true).named(namespace, name),
            json!({"metadata": {"annotations": {SELECTED_NODE: node}}}),
        ),
    };
    let options = WriteOptions::default();
    let patch = Patch::Merge(patch);
    let written = client.patch::<IgnoredAny>(&path, &patch, &options);
    written.await.map(drop)
}

/// A claim that is not bound yet, if there is one.
fn waiting(
    store: &Store<ClaimObject>,
    choices: &[Choice],
    node: &str,
) -> Result<Option<String>, BindError> {
    let mut waits = None;
    for choice in choices {
        let key = &choice.claim;
        let claim = store.get(key.namespace.text(), key.name.text());
        let claim = claim.map(|claim| claim.claim());
        let elsewhere = claim.as_ref().is_none_or(|claim| {
            let selected = claim.selected_node.text();
            claim.deleting || (!selected.is_empty() && selected != node)
        });
        if elsewhere {
            let claim = key.to_string();
            return Err(BindError::Elsewhere { claim });
        }
        if !claim.is_some_and(|claim| claim.bound) {
            waits = Some(key.to_string());
        }
    }
    Ok(waits)
}
