//! Carries plans out: one request per write, in order, groups of creations and deletions at once.
//! Decides what a failed request means for the rest of the plan. Must not know why something is
//! written.
//!
//! # Guarantees
//! - An object without a name is made once, also when the answer to its creation is lost: it is
//!   named here, and asked for by that name until the server's answer is clear.
//! - Nothing is decided for a key before the caches show what was written for it ([`Ledger`]).

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use keelson_client::cache::Key;
use keelson_client::events::Recorder;
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Resource};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::caches::Sight;
use crate::controller::{ActError, Event, Failure, Input, Plan, Reconcile, Verb};
use crate::ledger::{Ledger, Written};
use crate::write::{Action, Write};
use send::Sender;

mod name;
mod send;

/// So many creations or deletions of one plan are under way at once.
const AT_ONCE: usize = 64;
/// A cache that is behind is looked at again after this time, should nothing wake the key before.
const GLANCE: Duration = Duration::from_secs(10);

/// A plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The controller has a bug.
    #[error("deciding panicked; the other keys of this controller go on")]
    Panicked,
    /// The server refused.
    #[error(transparent)]
    Refused(#[from] Box<Error>),
}

/// Carries out what one controller decides.
#[derive(Debug)]
pub struct Executor {
    name: &'static str,
    sender: Sender,
    recorder: Recorder,
    sight: Sight,
    start: Instant,
    ledger: Mutex<Ledger>,
    failures: Mutex<HashMap<Key, Failure>>,
}

impl Executor {
    /// The executor of a controller.
    #[must_use]
    pub fn new(name: &'static str, client: Client, recorder: Recorder, sight: Sight) -> Self {
        Self {
            name,
            sender: Sender {
                client,
                no_patch: Mutex::new(HashSet::new()),
            },
            recorder,
            sight,
            start: Instant::now(),
            ledger: Mutex::new(Ledger::default()),
            failures: Mutex::new(HashMap::new()),
        }
    }

    /// Decides and acts on one key.
    ///
    /// # Errors
    /// The server refused something, or the decision panicked: the key has to be tried again.
    pub async fn work(&self, controller: &dyn Reconcile, key: &Key) -> Result<Outcome, ActError> {
        let seen = |written: &Written| self.sight.is_seen(written);
        let wait = self.ledger.lock().wait(self.start.elapsed(), key, seen);
        if let Some(wait) = wait {
            return Ok(Outcome::Again(wait.min(GLANCE)));
        }
        let failure = self.failures.lock().remove(key);
        let input = Input {
            now: Timestamp::now(),
            key,
            failure: failure.as_ref(),
        };
        let decided = catch_unwind(AssertUnwindSafe(|| controller.reconcile(&input)));
        let plan = decided.map_err(|_| ExecuteError::Panicked)?;
        self.carry_out(key, plan).await
    }

    async fn carry_out(&self, key: &Key, plan: Plan) -> Result<Outcome, ActError> {
        let Plan {
            writes,
            requeue,
            events,
        } = plan;
        let written = self.write_all(key, &writes).await;
        for event in &events {
            self.tell(event);
        }
        match written {
            Ok(()) => Ok(requeue.map_or(Outcome::Settled, Outcome::Again)),
            Err((write, error)) => self.failed(key, write, error),
        }
    }

    async fn write_all<'w>(
        &self,
        key: &Key,
        writes: &'w [Write],
    ) -> Result<(), (&'w Write, Error)> {
        let mut rest = writes;
        let mut room = 1;
        while let Some(first) = rest.first() {
            let alike = rest.iter().take_while(|write| is_alike(first, write));
            let count = alike.count().min(room);
            let (group, after) = rest.split_at(count);
            let sent = join_all(group.iter().map(|write| self.write(key, write))).await;
            for (write, outcome) in group.iter().zip(sent) {
                outcome.map_err(|error| (write, error))?;
            }
            let goes_on = after.first().is_some_and(|next| is_alike(first, next));
            room = if goes_on { (room * 2).min(AT_ONCE) } else { 1 };
            rest = after;
        }
        Ok(())
    }

    async fn write(&self, key: &Key, write: &Write) -> Result<(), Error> {
        let sent = self.sender.send(write).await;
        self.tell_of(write, &sent);
        let resource = write.resource.clone();
        let written = match &write.action {
            Action::Delete { name, uid, .. } => {
                sent?;
                Written::Deleted {
                    resource,
                    key: Key::new(&write.namespace, name),
                    uid: uid.clone(),
                }
            }
            _ => match sent?.metadata.resource_version.parse() {
                Ok(version) => Written::Version { resource, version },
                // Nothing can be said about how far a cache is.
                Err(_) => return Ok(()),
            },
        };
        let now = self.start.elapsed();
        self.ledger.lock().note(now, key, written);
        Ok(())
    }

    fn failed(&self, key: &Key, write: &Write, error: Error) -> Result<Outcome, ActError> {
        if error.is_conflict() || (error.is_not_found() && write.verb() == Verb::Change) {
            return Ok(Outcome::Later);
        }
        if is_namespace_leaving(&error) {
            return Ok(Outcome::Settled);
        }
        let failure = Failure {
            verb: write.verb(),
            resource: write.resource.plural.to_string(),
            message: said(&error),
        };
        self.failures.lock().insert(key.clone(), failure);
        Err(ExecuteError::Refused(Box::new(error)).into())
    }

    fn tell(&self, event: &Event) {
        let about = &event.about;
        let reference = keelson_api::core::ObjectReference {
            api_version: Some(about.api_version.clone()),
            kind: Some(about.kind.clone()),
            namespace: Some(about.namespace.to_string()).filter(|text| !text.is_empty()),
            name: Some(about.name.to_string()),
            uid: Some(about.uid.to_string()),
            ..Default::default()
        };
        self.recorder
            .record(reference, event.warning, event.reason, &event.message);
    }

    /// Tells the people of an owner what became of a creation or deletion.
    fn tell_of(&self, write: &Write, sent: &Result<send::Answer, Error>) {
        let Some(about) = &write.told_to else {
            return;
        };
        let kind = write.resource.kind.to_lowercase();
        let (warning, reason, message) = match (&write.action, sent) {
            (Action::Create { .. }, Ok(made)) => {
                let name = &made.metadata.name;
                (false, "SuccessfulCreate", format!("Created {kind}: {name}"))
            }
            (Action::Create { .. }, Err(error)) if is_namespace_leaving(error) => return,
            (Action::Create { .. }, Err(error)) => {
                let message = format!("Error creating: {}", said(error));
                (true, "FailedCreate", message)
            }
            (Action::Delete { name, .. }, Ok(_)) => {
                (false, "SuccessfulDelete", format!("Deleted {kind}: {name}"))
            }
            (Action::Delete { .. }, Err(error)) => {
                let message = format!("Error deleting: {}", said(error));
                (true, "FailedDelete", message)
            }
            (Action::Patch { .. }, _) => return,
        };
        let about = about.clone();
        self.tell(&Event {
            about,
            warning,
            reason,
            message,
        });
    }

    /// The controller's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// Whether two writes may go out together.
fn is_alike(one: &Write, other: &Write) -> bool {
    let together = matches!(one.verb(), Verb::Create | Verb::Delete);
    std::ptr::eq(one, other)
        || (together && one.verb() == other.verb() && one.resource == other.resource)
}

/// What the server said, without our request before it.
fn said(error: &Error) -> String {
    let status = error.status().map(|status| status.message.clone());
    status.unwrap_or_else(|| error.to_string())
}

/// Whether nothing can be made because the namespace is being removed.
fn is_namespace_leaving(error: &Error) -> bool {
    error.status().is_some_and(|status| {
        let mut causes = status.details.causes.iter();
        causes.any(|cause| cause.reason == "NamespaceTerminating")
    })
}

/// A kind and a subresource of it (or nothing).
type Target = (Resource, &'static str);
