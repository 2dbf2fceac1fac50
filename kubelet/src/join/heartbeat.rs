//! The node's Lease: renewed four times in its duration, so that the control plane knows that we
//! live. Knows nothing else of the node.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use keelson_client::backoff::Jitter;
use keelson_client::{ApiPath, Client, Error, Resource};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Where the leases of nodes are.
const NAMESPACE: &str = "kube-node-lease";
/// Attempts to renew before the next turn.
const ATTEMPTS: u32 = 5;

/// Renews the Lease.
#[derive(Debug)]
pub struct Heartbeat {
    client: Client,
    node: String,
    duration: Duration,
    node_uid: watch::Receiver<Option<String>>,
    known: Option<Lease>,
}

impl Heartbeat {
    /// A lease of that duration for the node. Its uid, once known, makes it the lease's owner.
    #[must_use]
    pub fn new(
        client: Client,
        node: &str,
        duration: Duration,
        node_uid: watch::Receiver<Option<String>>,
    ) -> Self {
        let period = duration / 4;
        Self {
            client: client.with_limit(period.max(Duration::from_secs(1))),
            node: node.to_owned(),
            duration,
            node_uid,
            known: None,
        }
    }

    /// Runs until the token is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut jitter = Jitter::seeded();
        // The lease says that there is a node: first there has to be one.
        while self.node_uid.borrow_and_update().is_none() {
            if self.node_uid.changed().await.is_err() {
                return;
            }
        }
        loop {
            self.beat().await;
            sleep(jitter.stretch(self.duration / 4, 0.04)).await;
        }
    }

    async fn beat(&mut self) {
        for attempt in 1..=ATTEMPTS {
            match self.renew().await {
                Ok(lease) => {
                    self.known = Some(lease);
                    return;
                }
                Err(error) => {
                    // What we know may be old: the next attempt reads it.
                    self.known = None;
                    if attempt == ATTEMPTS || error.is_transient() {
                        tracing::warn!(%error, "node lease");
                        return;
                    }
                }
            }
        }
    }

    async fn renew(&self) -> Result<Lease, Error> {
        let known = match &self.known {
            Some(lease) => Some(lease.clone()),
            None => match self.client.get::<Lease>(&self.path()).await {
                Err(error) if error.is_not_found() => None,
                outcome => Some(outcome?),
            },
        };
        let lease = self.renewed(known.clone(), Timestamp::now());
        match known {
            Some(_) => self.client.update(&self.path(), &lease).await,
            None => {
                let list = Resource::of::<Lease>().within(NAMESPACE);
                self.client.create(&list, &lease).await
            }
        }
    }

    fn path(&self) -> ApiPath {
        Resource::of::<Lease>().named(NAMESPACE, &self.node)
    }

    fn renewed(&self, known: Option<Lease>, now: Timestamp) -> Lease {
        let uid = self.node_uid.borrow().clone().unwrap_or_default();
        let mut lease = known.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.node.clone()),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        lease.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.node.clone(),
            uid,
            ..OwnerReference::default()
        }]);
        let spec = lease.spec.unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.node.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            renew_time: Some(MicroTime(now)),
            ..spec
        });
        lease
    }
}
