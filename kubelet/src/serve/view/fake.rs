//! A node of two pods for the tests of the servers.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{LogTarget, LogUnavailable, NodeView, TargetError};
use crate::journal::Journal;
use crate::serve::route::{ContainerTarget, PodTarget};

/// One running pod `web` with container `app`, one pending pod `late`.
pub(crate) struct FakeNode {
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) log: PathBuf,
    pub(crate) running: watch::Sender<bool>,
    pub(crate) stale: Mutex<Option<String>>,
    pub(crate) journal: Journal,
}

impl FakeNode {
    pub(crate) fn new(log: PathBuf) -> Self {
        let web = serde_json::json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u-web",
                "annotations": {"kubernetes.io/config.source": "file"}},
            "spec": {"containers": [{"name": "app", "image": "x"}]},
            "status": {"phase": "Running", "qosClass": "BestEffort", "podIP": "10.88.0.2", "containerStatuses": [
                {"name": "app", "image": "x", "imageID": "", "ready": true, "restartCount": 2,
                 "containerID": "containerd://c-app",
                 "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}
        });
        let late = serde_json::json!({
            "metadata": {"name": "late", "namespace": "default", "uid": "u-late"},
            "spec": {"containers": [{"name": "app", "image": "y"}]},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "app", "image": "y", "imageID": "", "ready": false, "restartCount": 0,
                 "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
        });
        let pods = [web, late].map(|pod| Arc::new(serde_json::from_value(pod).unwrap()));
        Self {
            pods: pods.into(),
            log,
            running: watch::Sender::new(true),
            stale: Mutex::new(None),
            journal: Journal::default(),
        }
    }
}

impl NodeView for FakeNode {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.clone()
    }

    fn running_pods(&self) -> Vec<Arc<Pod>> {
        self.pods[..1].to_vec()
    }

    fn container_log(
        &self,
        target: &ContainerTarget,
        _previous: bool,
    ) -> Result<LogTarget, LogUnavailable> {
        assert_eq!((&*target.pod, &*target.container), ("web", "app"));
        Ok(LogTarget {
            path: self.log.clone(),
            running: self.running.subscribe(),
        })
    }

    fn container_id(&self, target: &ContainerTarget) -> Result<String, TargetError> {
        let (container, pod) = (target.container.clone(), target.pod.clone());
        match (&*pod, &*container) {
            ("web", "app") => Ok("c-app".to_owned()),
            ("late", "app") => Err(TargetError::NotRunning { container, pod }),
            ("web" | "late", _) => Err(TargetError::NoContainer { container, pod }),
            _ => Err(TargetError::NoPod { pod }),
        }
    }

    fn sandbox_id(&self, target: &PodTarget) -> Result<String, TargetError> {
        match &*target.pod {
            "web" => Ok("s-web".to_owned()),
            _ => Err(TargetError::NoPod {
                pod: target.pod.clone(),
            }),
        }
    }

    fn sync_loop_fresh(&self) -> Result<(), String> {
        self.stale.lock().clone().map_or(Ok(()), Err)
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn config_json(&self) -> serde_json::Value {
        serde_json::json!({"maxPods": 110})
    }
}
