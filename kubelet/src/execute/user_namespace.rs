//! The ids of a pod with `hostUsers: false`: taken before its first sandbox, given back when it is
//! torn down.

use k8s_openapi::api::core::v1::Pod;
use keelson_cri::config::{IdMapping, Mount};

use super::{Executor, Failure, Job};
use crate::metrics::record::measured;
use crate::model::FailReason;
use crate::pod_files::create_pod_dir;
use crate::user_namespaces::IdRange;

impl Executor {
    /// The ids for a sandbox that is about to be made; `None` where the pod keeps the host's.
    pub(super) async fn new_ids(
        &self,
        job: &Job,
        handler: &str,
    ) -> Result<Option<IdRange>, Failure> {
        if !has_own(&job.pod) {
            return Ok(None);
        }
        self.check_handler(handler).await?;
        self.ids(job, FailReason::Sandbox).await
    }

    /// The ids that the pod has, or takes now; `None` where it keeps the host's.
    pub(super) async fn ids(
        &self,
        job: &Job,
        reason: FailReason,
    ) -> Result<Option<IdRange>, Failure> {
        if !has_own(&job.pod) {
            return Ok(None);
        }
        let (all, paths) = (self.user_namespaces.clone(), self.node.paths.clone());
        let uid = job.uid.clone();
        let take = move || {
            create_pod_dir(&paths, uid.as_str()).map_err(|error| error.to_string())?;
            all.of(uid.as_str()).map_err(|error| error.to_string())
        };
        match tokio::task::spawn_blocking(take).await {
            Ok(Ok(range)) => Ok(Some(range)),
            Ok(Err(message)) => Err(Failure::new(reason, message)),
            Err(error) => Err(Failure::new(reason, error)),
        }
    }

    /// A runtime that knows nothing of user namespaces would run the pod with the host's ids.
    async fn check_handler(&self, handler: &str) -> Result<(), Failure> {
        let status = measured("status", self.cri.status()).await;
        let status = status.map_err(|error| Failure::call(FailReason::Sandbox, &error))?;
        let found = status.handlers.iter().find(|known| known.name == handler);
        if found.is_some_and(|known| known.user_namespaces) {
            return Ok(());
        }
        let who = match handler {
            "" => "runtime".to_owned(),
            name => format!("RuntimeClass handler {name:?}"),
        };
        let text =
            format!("can't set `spec.hostUsers: false`, {who} does not support user namespaces");
        Err(Failure::new(FailReason::Sandbox, text))
    }
}

fn has_own(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_users) == Some(false)
}

/// Lets files show the owners inside of the pod that they have on the host: the mount is mapped, the
/// files are not changed.
pub(super) fn map_owners(mounts: &mut [Mount], mappings: &[IdMapping]) {
    for mount in mounts {
        mount.uid_mappings = mappings.to_vec();
        mount.gid_mappings = mappings.to_vec();
    }
}
