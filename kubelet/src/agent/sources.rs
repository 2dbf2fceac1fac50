//! Runs the sources that the configuration names and makes one wish of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pod_loop::Wanted;
use crate::config::Config;
use crate::journal::{Journal, Kind};
use crate::model::DesiredPod;
use crate::observe::clock;
use crate::pod_source::http::HttpSource;
use crate::pod_source::merge::merge;
use crate::pod_source::static_files::StaticFiles;
use crate::pod_source::{SourceProblem, SourceSnapshot};

/// How long a source that can't watch its folder waits before it tries again.
const RETRY: Duration = Duration::from_secs(10);

type Snapshots = watch::Receiver<Arc<SourceSnapshot>>;

/// Starts every source, and the task that merges them.
pub fn start(
    config: &Config,
    node_name: &str,
    of_api: Option<Snapshots>,
    journal: Arc<Journal>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Wanted {
    let kubelet = &config.kubelet;
    let mut sources = Vec::new();
    if !kubelet.static_pod_path.is_empty() {
        let folder = PathBuf::from(&kubelet.static_pod_path);
        let audit = kubelet.file_check_frequency.to_std();
        let (sender, receiver) = watch::channel(Arc::default());
        sources.push(receiver);
        let (name, stop) = (node_name.to_owned(), stop.clone());
        let journal = journal.clone();
        tasks.spawn(async move {
            let again = || StaticFiles::new(folder.clone(), name.clone(), audit);
            watch_folder(again, sender, journal, stop).await;
        });
    }
    if !kubelet.static_pod_url.is_empty() {
        let (sender, receiver) = watch::channel(Arc::default());
        sources.push(receiver);
        let source = HttpSource::new(
            kubelet.static_pod_url.clone(),
            kubelet.static_pod_url_header.clone(),
            node_name.to_owned(),
            kubelet.http_check_frequency.to_std(),
        );
        tasks.spawn(source.run(sender, stop.clone()));
    }
    sources.extend(of_api);
    let (wanted, receiver) = watch::channel(None);
    tasks.spawn(merge_all(sources, wanted, journal));
    receiver
}

/// Watches the folder, and starts over where the kernel has no watches left.
async fn watch_folder(
    source: impl Fn() -> StaticFiles,
    snapshots: watch::Sender<Arc<SourceSnapshot>>,
    journal: Arc<Journal>,
    stop: CancellationToken,
) {
    while let Err(error) = source().run(snapshots.clone(), stop.clone()).await {
        let text = format!("watching the manifest folder: {error}");
        journal.record_node(clock::now().wall, Kind::Warning, "SourceFailed", &text);
        tokio::time::sleep(RETRY).await;
    }
}

/// Publishes what all sources want together, whenever one of them says something new.
async fn merge_all(
    mut sources: Vec<Snapshots>,
    wanted: watch::Sender<Option<Arc<Vec<Arc<DesiredPod>>>>>,
    journal: Arc<Journal>,
) {
    let mut told: Vec<SourceProblem> = Vec::new();
    loop {
        let latest: Vec<Arc<SourceSnapshot>> = sources
            .iter_mut()
            .map(|source| source.borrow_and_update().clone())
            .collect();
        let merged = merge(latest.iter().map(Arc::as_ref));
        for problem in merged
            .problems
            .iter()
            .filter(|problem| !told.contains(problem))
        {
            let text = problem.to_string();
            journal.record_node(clock::now().wall, Kind::Warning, "InvalidManifest", &text);
        }
        told = merged.problems;
        if merged.ready {
            wanted.send_replace(Some(Arc::new(merged.pods)));
        }
        if sources.is_empty() {
            return std::future::pending().await;
        }
        let changes = sources.iter_mut().map(|source| Box::pin(source.changed()));
        let (changed, index, _) = futures_util::future::select_all(changes).await;
        if changed.is_err() {
            // It ended: what it said last stays.
            sources.remove(index);
        }
    }
}
