//! What the agent's start is made of: watches, the name server, routes, and what keeps it small.

use std::time::Duration;

use keelson_client::cache::{Reflector, reflect};
use keelson_client::footprint::stay_small;
use keelson_client::{Client, Object, Resource, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::AgentError;
use crate::config::KubeProxyConfiguration;
use crate::dns::host::{Dns, DnsError};
use crate::dns::{Settings, link};
use crate::pod_routes::apply::PodRoutes;

/// The cluster's DNS, or nothing left of it.
pub(super) async fn name_server(
    settings: Option<Settings>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<Option<Dns>, AgentError> {
    match settings {
        Some(settings) => Ok(Some(Dns::start(settings, tasks, stop).await?)),
        None => {
            link::release().map_err(DnsError::from)?;
            Ok(None)
        }
    }
}

pub(super) fn pod_routes(node: &str, config: &KubeProxyConfiguration) -> PodRoutes {
    let texts = config.cluster_cidr.split(',').map(str::trim);
    PodRoutes::new(node, texts.filter_map(|text| text.parse().ok()).collect())
}

/// How often the kernel is asked whether somebody else wrote.
pub(super) fn period(config: &KubeProxyConfiguration) -> Duration {
    match config.sync_period().to_std() {
        Duration::ZERO => Duration::from_secs(30),
        period => period,
    }
}

/// What starts watches.
pub(super) struct Watch<'a> {
    pub client: Client,
    pub tasks: &'a mut JoinSet<()>,
    pub stopping: &'a CancellationToken,
}

impl Watch<'_> {
    pub(super) fn start<T: Object>(
        &mut self,
        resource: &Resource,
        narrow: impl FnOnce(Reflector) -> Reflector,
    ) -> Store<T> {
        let (store, writer) = Store::new(Vec::new());
        let reflector = narrow(Reflector::new(self.client.clone(), resource.all()));
        self.tasks
            .spawn(reflect(reflector, writer, self.stopping.clone()));
        store
    }
}

/// Gives memory back whenever what was going on is over; what is sent counts what goes on.
pub(super) fn keep_small(
    tasks: &mut JoinSet<()>,
    stopping: &CancellationToken,
) -> watch::Sender<u64> {
    let busy = watch::Sender::new(0);
    let (changes, until) = (busy.subscribe(), stopping.clone());
    tasks.spawn(async move {
        until.run_until_cancelled(stay_small(changes)).await;
    });
    busy
}
