//! Events about objects: aggregated, limited and written without holding anybody up. [`correlate`]
//! decides (pure), this file sends. Must not know why something is worth an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::client::Client;
use crate::error::Error;
use crate::path::Resource;
use crate::request::{Patch, WriteOptions};

pub mod correlate;

use correlate::{Correlator, Decision, Occurrence};

/// Events that wait to be sent; more are dropped, as they help nobody any more.
const WAITING: usize = 256;
/// How often one event is sent before it is dropped.
const ATTEMPTS: u32 = 12;
/// How long to wait between two attempts.
const RETRY: Duration = Duration::from_secs(10);

/// Takes events from anywhere. Clones write through the same task.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Occurrence>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder, and the task that sends what it is given, to be spawned by its owner.
    /// `component` and `host` say where events come from.
    pub fn new(
        client: Client,
        component: &str,
        host: &str,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let sink = Sink {
            client,
            source: EventSource {
                component: Some(component.to_owned()),
                host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            },
        };
        let task = async move {
            stop.run_until_cancelled(sink.run(receiver)).await;
        };
        let dropped = Arc::default();
        (Self { sender, dropped }, task)
    }

    /// How many events were dropped, because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Something happened to an object. Never waits: dropped when too many wait already.
    pub fn record(&self, about: ObjectReference, warning: bool, reason: &str, message: &str) {
        let occurrence = Occurrence {
            about,
            kind: if warning { "Warning" } else { "Normal" },
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        if self.sender.try_send(occurrence).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            debug!(reason, "event dropped, too many are waiting");
        }
    }
}

struct Sink {
    client: Client,
    source: EventSource,
}

impl Sink {
    async fn run(self, mut receiver: mpsc::Receiver<Occurrence>) {
        let start = Instant::now();
        let mut correlator = Correlator::default();
        while let Some(occurrence) = receiver.recv().await {
            let at = Timestamp::now();
            let decision = correlator.take(start.elapsed(), occurrence);
            self.send(&mut correlator, decision, at).await;
        }
    }

    async fn send(&self, correlator: &mut Correlator, decision: Decision, at: Timestamp) {
        for _ in 0..ATTEMPTS {
            let outcome = match &decision {
                Decision::Drop => return,
                Decision::Create(entry) => self.create(&entry.occurrence, at, correlator).await,
                Decision::Repeat(entry) => match self.repeat(entry, at).await {
                    // It has lived out its time on the server.
                    Err(error) if error.is_not_found() => {
                        self.create(&entry.occurrence, at, correlator).await
                    }
                    outcome => outcome,
                },
            };
            match outcome {
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY).await,
                Err(error) => return debug!(%error, "event refused"),
                Ok(()) => return,
            }
        }
    }

    async fn create(
        &self,
        occurrence: &Occurrence,
        at: Timestamp,
        correlator: &mut Correlator,
    ) -> Result<(), Error> {
        let about = &occurrence.about;
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let name = about.name.as_deref().unwrap_or_default();
        let name = format!("{name}.{:016x}", at.as_nanosecond());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: about.clone(),
            type_: Some(occurrence.kind.to_owned()),
            reason: Some(occurrence.reason.clone()),
            message: Some(occurrence.message.clone()),
            count: Some(1),
            first_timestamp: Some(Time(at)),
            last_timestamp: Some(Time(at)),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            source: Some(self.source.clone()),
            ..Event::default()
        };
        let events = Resource::of::<Event>().within(namespace);
        self.client
            .create::<_, serde_json::Value>(&events, &event)
            .await?;
        correlator.created(occurrence, namespace, &name);
        Ok(())
    }

    async fn repeat(&self, entry: &correlate::Entry, at: Timestamp) -> Result<(), Error> {
        let path = Resource::of::<Event>().named(&entry.namespace, &entry.name);
        let patch = Patch::Strategic(json!({
            "count": entry.count,
            "lastTimestamp": Time(at),
            "message": entry.occurrence.message,
        }));
        let options = WriteOptions::default();
        self.client
            .patch::<serde_json::Value>(&path, &patch, &options)
            .await?;
        Ok(())
    }
}

/// A reference to an object, as events have them.
#[must_use]
pub fn reference(resource: &Resource, namespace: &str, name: &str, uid: &str) -> ObjectReference {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ObjectReference {
        api_version: Some(resource.api_version()),
        kind: Some(resource.kind.clone().into_owned()),
        namespace: some(namespace),
        name: some(name),
        uid: some(uid),
        ..ObjectReference::default()
    }
}
