//! Garbage collection of what no pod needs any more: images, and what pods left on disk.
//!
//! Dead containers and sandboxes of living pods are the reconciler's business
//! (`crate::reconcile`); here is what has no pod to go with.

pub mod images;
pub mod leftovers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keelson_cri::config::ImageSpec;
use keelson_cri::{Client, CriError};

use self::images::{DiskUse, ImageFacts, Limits, Seen};
use crate::agent::pod_loop::Records;
use crate::cgroup;
use crate::journal::{Journal, Kind};
use crate::metrics::names;
use crate::metrics::record::measured;
use crate::node::Node;
use crate::observe::clock;
use crate::user_namespaces::UserNamespaces;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Time between two collections.
const PERIOD: Duration = Duration::from_secs(300);

/// A wish for all unused images to be removed, answered when that is done.
pub type Request = oneshot::Sender<()>;

/// Collects, for ever.
#[derive(Debug)]
pub struct Collector {
    /// The runtime.
    pub cri: Client,
    /// The pods.
    pub records: Records,
    /// Where things are.
    pub node: Arc<Node>,
    /// For the pod cgroups that no pod owns.
    pub cgroups: Arc<cgroup::Manager>,
    /// For the ids of pods whose directory goes.
    pub user_namespaces: Arc<UserNamespaces>,
    /// What was collected is told here.
    pub journal: Arc<Journal>,
    /// When images are collected.
    pub limits: Limits,
}

impl Collector {
    /// Collects now and then. Dropping the future ends it.
    pub async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut due = Instant::now() + PERIOD;
        loop {
            let request = tokio::select! {
                () = tokio::time::sleep_until(due) => None,
                Some(request) = requests.recv() => Some(request),
            };
            let mut limits = self.limits;
            match request.is_some() {
                true => (limits.high_percent, limits.low_percent) = (0, 0),
                false => {
                    self.collect_leftovers().await;
                    due = Instant::now() + PERIOD;
                }
            }
            if let Err(error) = self.collect_images(&mut seen, &limits).await {
                self.tell(Kind::Warning, "ImageGCFailed", &error.to_string());
            }
            if let Some(request) = request {
                // Nobody waits any more when the agent ends.
                let _ = request.send(());
            }
        }
    }

    async fn collect_images(
        &self,
        seen: &mut BTreeMap<String, Seen>,
        limits: &Limits,
    ) -> Result<(), CriError> {
        let images = measured("list_images", self.cri.list_images()).await?;
        let facts: Vec<ImageFacts> = images
            .iter()
            .map(|i| ImageFacts {
                id: i.id.clone(),
                size: i.size,
                pinned: i.pinned,
            })
            .collect();
        let now = clock::mono();
        let in_use = self.images_in_use();
        images::note(now, &facts, &in_use, seen);
        let info = measured("image_fs_info", self.cri.image_fs_info()).await?;
        let mount = info.images.first().map(|f| PathBuf::from(&f.mountpoint));
        let disk = mount.as_deref().and_then(disk_use);
        for (id, cause) in images::plan(now, &facts, seen, disk, limits) {
            let image = ImageSpec {
                image: id.clone(),
                ..Default::default()
            };
            measured("remove_image", self.cri.remove_image(image)).await?;
            names::IMAGE_GARBAGE_COLLECTED_TOTAL.inc(&[cause.as_str()]);
            seen.remove(&id);
            self.tell(
                Kind::Normal,
                "ImageDeleted",
                &format!("removed unused image {id}"),
            );
        }
        Ok(())
    }

    /// Images of every container that exists, and those that wait for a start.
    fn images_in_use(&self) -> BTreeSet<String> {
        let records = self.records.lock();
        let containers = records.values().flat_map(|r| &r.observed.containers);
        let running = containers.map(|c| c.image_ref.to_string());
        let ready = records.values().flat_map(|r| r.memory.containers.values());
        let ready = ready.filter_map(|c| c.image.ready.as_ref().map(ToString::to_string));
        running.chain(ready).collect()
    }

    async fn collect_leftovers(&self) {
        let known: BTreeSet<String> = self
            .records
            .lock()
            .keys()
            .map(ToString::to_string)
            .collect();
        let (node, cgroups) = (self.node.clone(), self.cgroups.clone());
        let ids = self.user_namespaces.clone();
        let sweep = move || leftovers::sweep(&node, &cgroups, &ids, &known);
        let swept = tokio::task::spawn_blocking(sweep);
        let swept = swept.await.unwrap_or_default();
        for what in swept.removed {
            self.tell(Kind::Normal, "OrphanRemoved", &what);
        }
        for problem in swept.problems {
            self.tell(Kind::Warning, "OrphanCleanUpFailed", &problem);
        }
    }

    fn tell(&self, kind: Kind, reason: &'static str, message: &str) {
        self.journal
            .record_node(clock::now().wall, kind, reason, message);
    }
}

fn disk_use(path: &std::path::Path) -> Option<DiskUse> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let block = stat.f_frsize;
    Some(DiskUse {
        capacity: stat.f_blocks.saturating_mul(block),
        available: stat.f_bavail.saturating_mul(block),
    })
}
