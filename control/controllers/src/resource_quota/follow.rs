//! Follows the metadata of kinds that a quota once counted, until the program ends, and wakes quotas
//! when an object is gone. Must not know how anything is counted.

use std::collections::BTreeSet;

use keelson_client::cache::{Reflector, Store, reflect};
use keelson_client::{Client, Object as _, Resource};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Wake;
use crate::garbage_collector::tracked::Tracked;

/// Kinds that others watch for their own reasons.
const CACHED: [&str; 3] = ["pods", "services", "persistentvolumeclaims"];

/// Follows kinds as they are named, until the token is cancelled.
pub(super) async fn follow(
    client: Client,
    wake: Wake,
    mut kinds: mpsc::Receiver<Resource>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let mut followed = BTreeSet::new();
    while let Some(Some(kind)) = stop.run_until_cancelled(kinds.recv()).await {
        let cached = kind.group.is_empty() && CACHED.contains(&&*kind.plural);
        if cached || !followed.insert((kind.group.clone(), kind.plural.clone())) {
            continue;
        }
        let (objects, writer) = Store::<Tracked>::new(Vec::new());
        let reflector = Reflector::new(client.metadata_only(), kind.all());
        let wake = wake.clone();
        objects.listen(move |change| {
            if change.current().is_none() {
                wake.wake(&kind.group, &kind.plural, change.latest().namespace());
            }
        });
        tasks.spawn(reflect(reflector, writer, stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
}
