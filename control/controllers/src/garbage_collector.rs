//! Removes objects whose owners are gone, and carries out how owners that leave treat what they
//! own. [`monitors`] follows the metadata of every kind that can be deleted, [`decide`] decides
//! (pure), [`collect`] asks and writes. A key is a kind, a namespace and a name.

use std::sync::Arc;
use std::time::Duration;

use keelson_client::cache::Key;
use keelson_client::runner::Outcome;

use crate::controller::{Act, Acting, Registration, Work};
use crate::wiring::Wiring;

pub mod collect;
pub mod decide;
pub mod monitors;
pub mod tracked;

use collect::Collector;
use monitors::Monitors;

/// When to look again while kinds are still being listed for the first time.
const NOT_READY: Duration = Duration::from_millis(500);

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "garbage-collector-controller",
    alias: "garbagecollector",
    account: "generic-garbage-collector",
    by_default: true,
    at_once: 20,
    build: |wiring: &mut Wiring<'_>| {
        let monitors = Arc::new(Monitors::new(wiring.queue.clone()));
        let (client, stop) = (wiring.client.clone(), wiring.stop.clone());
        wiring.spawn(monitors::follow(monitors.clone(), client.clone(), stop));
        Some(Work::act(GarbageCollector {
            collector: Collector::new(client, monitors.clone(), wiring.recorder.clone()),
            monitors,
        }))
    },
};

struct GarbageCollector {
    collector: Collector,
    monitors: Arc<Monitors>,
}

impl Act for GarbageCollector {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(async move {
            // Who does not know all that is owned can't say that nothing is.
            if !self.monitors.are_complete() {
                return Ok(Outcome::Again(NOT_READY));
            }
            self.collector.look_at(key).await
        })
    }
}
