//! Tells the API how pods are, ends the objects of pods that are gone, and keeps the pictures of
//! static pods. What is sent is decided by [`super::status_patch`] and [`super::mirror`].
//!
//! Guarantees: statuses converge, whatever is lost; an object is ended only when the runtime has
//! nothing of its pod any more; no write ever meets another pod of the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use keelson_client::request::{DeleteOptions, Patch, WriteOptions};
use keelson_client::{ApiPath, Client, Error, Object as _, Resource, Store};
use keelson_cri::Client as Runtime;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::api_pods::ApiPod;
use super::mirror;
use super::status_patch::patch;
use crate::agent::pod_loop::{Records, Wanted};
use crate::agent::records::Record;
use crate::model::{Mono, PodOrigin, PodUid};
use crate::node::Node;
use crate::observe::{clock, listing};
use crate::status::{NodeFacts, pod_status};

/// Changes that come together are told together.
const TOGETHER: Duration = Duration::from_millis(10);
/// How long to wait after something could not be told.
const RETRY: Duration = Duration::from_secs(2);

/// Reports on pods.
#[derive(Debug)]
pub struct Publisher {
    /// Who is told.
    pub client: Client,
    /// The runtime, asked before an object is ended.
    pub cri: Runtime,
    /// What this node is.
    pub node: Arc<Node>,
    /// The pods at hand.
    pub records: Records,
    /// The pods as the API has them.
    pub pods: Store<ApiPod>,
    /// What all sources want; `None` until each has spoken.
    pub wanted: Wanted,
    /// The Node's uid, once it is registered.
    pub node_uid: watch::Receiver<Option<String>>,
    /// Answers to our patches that are newer than what the store has.
    pub sent: BTreeMap<PodUid, ApiPod>,
}

/// What is known of a pod at hand, taken out from under the lock.
struct Report {
    namespace: String,
    name: String,
    uid: PodUid,
    status: PodStatus,
    /// The pod itself, if it is static.
    static_pod: Option<Arc<Pod>>,
}

impl Publisher {
    /// Runs until the token is cancelled.
    pub async fn run(mut self, turned: watch::Receiver<Mono>, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep(turned)).await;
    }

    async fn keep(&mut self, mut turned: watch::Receiver<Mono>) {
        self.pods.synced().await;
        let mut revision = self.pods.revision();
        let mut registered = self.node_uid.clone();
        loop {
            registered.mark_unchanged();
            turned.mark_unchanged();
            revision.mark_unchanged();
            let told = self.tell_all().await;
            tokio::select! {
                changed = turned.changed() => if changed.is_err() { return },
                changed = revision.changed() => if changed.is_err() { return },
                // Pictures of static pods wait for it.
                changed = registered.changed() => if changed.is_err() { return },
                () = sleep(RETRY), if !told => {}
            }
            sleep(TOGETHER).await;
        }
    }

    /// One look at everything. False if something is still to be told.
    async fn tell_all(&mut self) -> bool {
        let api = self.current();
        let reports = self.reports();
        let mut all_told = true;
        for report in &reports {
            let outcome = self.tell(report, api.get(&key(report))).await;
            all_told &= done(outcome, &report.name);
        }
        let at_hand: BTreeSet<&PodUid> = reports.iter().map(|report| &report.uid).collect();
        let statics: BTreeSet<_> = reports
            .iter()
            .filter(|report| report.static_pod.is_some())
            .map(key)
            .collect();
        let wanted_known = self.wanted.borrow().is_some();
        let ended = api.iter().filter(|(key, pod)| match pod.mirror_of() {
            // A picture of nothing.
            Some(_) => wanted_known && !statics.contains(*key),
            None => pod.is_leaving() && wanted_known && !at_hand.contains(&pod.uid()),
        });
        for (_, pod) in ended {
            match self.end(pod).await {
                Ok(ended) => all_told &= ended,
                Err(error) => all_told &= done(Err(error), pod.name()),
            }
        }
        all_told
    }

    /// The API's pods, with our own newest patches in them.
    fn current(&mut self) -> BTreeMap<(String, String), ApiPod> {
        let mut current = BTreeMap::new();
        let mut newer = BTreeMap::new();
        for pod in self.pods.all() {
            let uid = pod.uid();
            let sent = self.sent.remove(&uid);
            let pod = match sent {
                Some(sent) if version(&sent) > version(&pod) => {
                    newer.insert(uid, sent.clone());
                    sent
                }
                _ => (*pod).clone(),
            };
            current.insert((pod.namespace().to_owned(), pod.name().to_owned()), pod);
        }
        self.sent = newer;
        current
    }

    fn reports(&self) -> Vec<Report> {
        let facts = NodeFacts {
            host_ips: self.node.ips.clone(),
            runtime: self.node.runtime.as_str().into(),
            recursive_read_only: self.node.recursive_read_only,
        };
        let now = clock::now();
        let records = self.records.lock();
        let report = |(uid, record): (&PodUid, &Record)| Report {
            namespace: record.spec.namespace.to_string(),
            name: record.spec.name.to_string(),
            uid: uid.clone(),
            status: pod_status(
                now,
                &record.pod,
                &record.spec,
                &record.observed,
                &record.memory,
                &facts,
            ),
            static_pod: (record.origin != PodOrigin::Api).then(|| record.pod.clone()),
        };
        records.iter().map(report).collect()
    }

    async fn tell(&mut self, report: &Report, api: Option<&ApiPod>) -> Result<(), Error> {
        if let Some(static_pod) = &report.static_pod {
            if !self.picture(static_pod, api).await? {
                return Ok(());
            }
        } else if api.is_none_or(|api| api.uid() != report.uid) {
            return Ok(());
        }
        let Some(api) = api else { return Ok(()) };
        let mut status = report.status.clone();
        if report.static_pod.is_some() {
            status.observed_generation = api.0.metadata.generation;
        }
        let Some(patch) = patch(&api.0, &status) else {
            return Ok(());
        };
        let path = path(api).subresource("status");
        let (patch, options) = (Patch::Strategic(patch), WriteOptions::default());
        let answer: ApiPod = self.client.patch(&path, &patch, &options).await?;
        self.sent.insert(answer.uid(), answer);
        Ok(())
    }

    /// Keeps the picture of a static pod. True if it is there and right.
    async fn picture(&self, static_pod: &Pod, api: Option<&ApiPod>) -> Result<bool, Error> {
        let Some(node_uid) = self.node_uid.borrow().clone() else {
            return Ok(false);
        };
        match mirror::step(static_pod, api, &self.node.name, &node_uid) {
            mirror::Step::Keep => Ok(true),
            mirror::Step::Blocked => Ok(false),
            mirror::Step::Create(pod) => {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
                let list = Resource::of::<Pod>().within(namespace);
                let made = self.client.create::<_, ApiPod>(&list, &*pod).await;
                made.map(|_| false)
            }
            mirror::Step::Remove(uid) => {
                if let Some(api) = api {
                    let now = DeleteOptions::now(uid.as_str());
                    self.client.delete(&path(api), &now).await?;
                }
                Ok(false)
            }
        }
    }

    /// Ends the object of a pod of which nothing is left. False if something is.
    async fn end(&self, pod: &ApiPod) -> Result<bool, Error> {
        let uid = pod.uid();
        let is_picture = pod.mirror_of().is_some();
        if !is_picture && self.is_in_runtime(&uid).await {
            return Ok(false);
        }
        let now = DeleteOptions::now(uid.as_str());
        self.client.delete(&path(pod), &now).await.map(|()| true)
    }

    async fn is_in_runtime(&self, uid: &PodUid) -> bool {
        match listing::outline(&self.cri).await {
            Ok(pods) => pods.contains_key(uid),
            // Nobody knows: the next look will tell.
            Err(_) => true,
        }
    }
}

fn key(report: &Report) -> (String, String) {
    (report.namespace.clone(), report.name.clone())
}

fn path(pod: &ApiPod) -> ApiPath {
    Resource::of::<Pod>().named(pod.namespace(), pod.name())
}

/// Versions can be compared, by their number.
fn version(pod: &ApiPod) -> u64 {
    pod.resource_version().parse().unwrap_or(0)
}

/// Whether there is nothing more to do: an object that is gone, or another one by now, needs no
/// telling.
fn done(outcome: Result<(), Error>, name: &str) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) if error.is_not_found() || error.is_conflict() => true,
        Err(error) => {
            tracing::warn!(pod = name, %error, "cannot report on a pod");
            false
        }
    }
}
