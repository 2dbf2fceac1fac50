//! Keeps the list of running containers' logs, for the task that rotates them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pod_loop::Records;
use super::records::Record;
use crate::logs::layout::LogOwner;
use crate::logs::rotator::RunningLog;
use crate::model::ContainerState;
use crate::node::Node;

/// Many changes come at once; one look at them is enough.
const GATHER: Duration = Duration::from_secs(1);

/// Follows `changes` and publishes the list whenever it is another one. Ends with its sender.
pub async fn run(
    records: Records,
    node: Arc<Node>,
    mut changes: watch::Receiver<u64>,
    list: watch::Sender<Arc<Vec<RunningLog>>>,
) {
    while changes.changed().await.is_ok() {
        tokio::time::sleep(GATHER).await;
        changes.mark_unchanged();
        let running: Vec<RunningLog> = {
            let records = records.lock();
            records
                .values()
                .flat_map(|record| logs_of(record, &node))
                .collect()
        };
        list.send_if_modified(|known| {
            let differs = **known != running;
            if differs {
                *known = Arc::new(running);
            }
            differs
        });
    }
}

fn logs_of(record: &Record, node: &Node) -> Vec<RunningLog> {
    let owner = LogOwner {
        namespace: &record.spec.namespace,
        pod: &record.spec.name,
        uid: record.spec.uid.as_str(),
    };
    let running = record.observed.containers.iter();
    running
        .filter(|container| container.state == ContainerState::Running)
        .map(|container| RunningLog {
            container_id: container.id.to_string(),
            path: owner.log_file(&node.log_root, &container.name, container.attempt),
        })
        .collect()
}
