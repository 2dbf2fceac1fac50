//! Registers the node and keeps its status: sent when it changes, and now and then when it does
//! not. What it says is decided by [`super::node_object`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use keelson_client::backoff::{Backoff, Jitter};
use keelson_client::request::{Patch, WriteOptions};
use keelson_client::{Client, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::facts::Facts;
use super::node_object::{adoption, registration, status, status_patch, transitions};
use super::nodes;
use crate::journal::{Journal, Kind};

/// Waits between attempts to register.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(100),
    most: Duration::from_secs(7),
};

/// Keeps the Node object.
#[derive(Debug)]
pub struct Registrar {
    /// Who is told.
    pub client: Client,
    /// What there is to tell.
    pub facts: Facts,
    /// `registerNode`: whether the Node is created if it is not there.
    pub register: bool,
    /// `nodeStatusUpdateFrequency`: how often to look.
    pub every: Duration,
    /// `nodeStatusReportFrequency`: how often to tell although nothing changed.
    pub report_every: Duration,
    /// Where changes of its conditions are noted.
    pub journal: Arc<Journal>,
    /// Told the Node's uid.
    pub uid: watch::Sender<Option<String>>,
}

impl Registrar {
    /// Runs until the token is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(self) {
        let mut known = self.registered().await;
        let mut reported = Instant::now();
        // Pressure is told at once.
        let mut conditions = self.facts.conditions.clone();
        loop {
            let due = reported.elapsed() >= self.report_every;
            match self.update(&known, due).await {
                Ok(None) => {}
                Ok(Some(status)) => {
                    known = status;
                    reported = Instant::now();
                }
                Err(error) if error.is_not_found() => {
                    tracing::warn!("somebody deleted the Node, registering again");
                    known = self.registered().await;
                }
                Err(error) => tracing::warn!(%error, "node status"),
            }
            tokio::select! {
                () = sleep(self.every) => {}
                Ok(()) = conditions.changed() => {}
            }
        }
    }

    /// Until the Node is there and ours; its status.
    async fn registered(&self) -> NodeStatus {
        let mut jitter = Jitter::seeded();
        let mut failures = 0;
        loop {
            match self.try_register().await {
                Ok(node) => {
                    self.uid.send_replace(node.metadata.uid);
                    return node.status.unwrap_or_default();
                }
                Err(error) => {
                    tracing::warn!(%error, "registering the node");
                    sleep(jitter.stretch(BACKOFF.after(failures), 0.5)).await;
                    failures += 1;
                }
            }
        }
    }

    async fn try_register(&self) -> Result<Node, Error> {
        let setting = &self.facts.setting;
        let path = nodes().named("", &setting.name);
        if self.register {
            let node = registration(setting, self.status(None).await);
            match self.client.create(&nodes().all(), &node).await {
                Err(error) if error.is_already_exists() => {}
                outcome => {
                    let made = outcome?;
                    let new = node.status.unwrap_or_default();
                    self.note(&NodeStatus::default(), &new);
                    return Ok(made);
                }
            }
        }
        let known: Node = self.client.get(&path).await?;
        match adoption(setting, &known) {
            None => Ok(known),
            Some(patch) => {
                let options = WriteOptions::default();
                self.client
                    .patch(&path, &Patch::Strategic(patch), &options)
                    .await
            }
        }
    }

    fn note(&self, before: &NodeStatus, now: &NodeStatus) {
        let name = &self.facts.setting.name;
        for reason in transitions(before, now) {
            let text = format!("Node {name} status is now: {reason}");
            let at = Timestamp::now();
            self.journal.record_node(at, Kind::Normal, reason, &text);
        }
    }

    async fn status(&self, before: Option<&NodeStatus>) -> NodeStatus {
        let found = self.facts.look().await;
        let (setting, most_images) = (&self.facts.setting, self.facts.most_images);
        status(setting, &found, before, most_images, Timestamp::now())
    }

    async fn update(&self, known: &NodeStatus, due: bool) -> Result<Option<NodeStatus>, Error> {
        let now = self.status(Some(known)).await;
        let Some(patch) = status_patch(known, &now, due) else {
            return Ok(None);
        };
        self.note(known, &now);
        let path = nodes()
            .named("", &self.facts.setting.name)
            .subresource("status");
        let options = WriteOptions::default();
        let node: Node = self
            .client
            .patch(&path, &Patch::Strategic(patch), &options)
            .await?;
        Ok(Some(node.status.unwrap_or_default()))
    }
}
