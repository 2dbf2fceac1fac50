//! Ends of containers, as containerd's own events tell of them: when the process is gone, and some
//! tens of milliseconds before CRI tells of it, which first removes what is left of the container
//! and puts its state on disk.
//!
//! They are hints: CRI's event follows each of them and tells more. One that is lost costs those
//! milliseconds, so that nothing is done about it; a runtime that has no such events is left alone.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use prost_types::Any;
use tokio::sync::mpsc::Sender;
use tonic::{Code, Status};
use tracing::debug;

use super::CRI_NAMESPACE;
use crate::client::Client;
use crate::events::EventOrRelist;
use crate::proto::containerd::events::TaskExit;
use crate::proto::containerd::services::events::v1::SubscribeRequest;
use crate::proto::containerd::services::events::v1::events_client::EventsClient;

/// How long to wait before subscribing again. CRI's events tell of the interruption.
const AGAIN: Duration = Duration::from_secs(1);

/// The process of a container has ended, and all others in it with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The container.
    pub container_id: String,
    /// What its process ended with; 128 and the number of the signal that ended it.
    pub exit_code: i32,
    /// When.
    pub at: Timestamp,
}

/// Hands over exits until the consumer is gone, or for ever: also where the runtime has none. One
/// that finds the consumer busy is dropped.
pub(crate) async fn follow(client: &Client, consumer: &Sender<EventOrRelist>) {
    while !consumer.is_closed() {
        match session(client, consumer).await {
            Err(status) if status.code() == Code::Unimplemented => break,
            ended => debug!(?ended, "containerd's events are interrupted"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    consumer.closed().await;
}

async fn session(client: &Client, consumer: &Sender<EventOrRelist>) -> Result<(), Status> {
    let request = SubscribeRequest {
        filters: vec![format!("namespace=={CRI_NAMESPACE},topic==\"/tasks/exit\"")],
    };
    let mut events = EventsClient::new(client.channel());
    let mut stream = events.subscribe(request).await?.into_inner();
    while let Some(envelope) = stream.message().await? {
        if let Some(exit) = envelope.event.as_ref().and_then(decode) {
            drop(consumer.try_send(EventOrRelist::Exit(exit)));
        }
    }
    Ok(())
}

/// The end of a container's own process; other processes in it are not of interest.
fn decode(event: &Any) -> Option<Exit> {
    let exit = TaskExit::decode(event.value.as_slice()).ok()?;
    let at = exit.exited_at?;
    (exit.id == exit.container_id).then_some(Exit {
        exit_code: i32::try_from(exit.exit_status).ok()?,
        at: Timestamp::new(at.seconds, at.nanos).ok()?,
        container_id: exit.container_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, exited_at: Option<prost_types::Timestamp>) -> Any {
        let exit = TaskExit {
            container_id: "c1".to_owned(),
            id: id.to_owned(),
            exit_status: 137,
            exited_at,
        };
        Any {
            type_url: "containerd.events.TaskExit".to_owned(),
            value: exit.encode_to_vec(),
        }
    }

    #[test]
    fn a_containers_own_process_counts_and_others_do_not() {
        let at = prost_types::Timestamp {
            seconds: 5,
            nanos: 7,
        };
        let expected = Exit {
            container_id: "c1".to_owned(),
            exit_code: 137,
            at: Timestamp::new(5, 7).unwrap(),
        };
        assert_eq!(decode(&event("c1", Some(at))), Some(expected));
        assert_eq!(decode(&event("probe", Some(at))), None, "an exec");
        assert_eq!(decode(&event("c1", None)), None);
        let garbage = Any {
            value: vec![0xff; 3],
            ..Any::default()
        };
        assert_eq!(decode(&garbage), None);
    }
}
