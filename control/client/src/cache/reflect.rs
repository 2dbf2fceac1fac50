//! Carries out what [`super::step`] decides: lists and watches go over the wire, objects into the
//! store. Decides nothing but what a failure on the wire is.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::step::{Action, Event, Failure, PAGE, State};
use super::{Object, Writer};
use crate::backoff::Jitter;
use crate::client::Client;
use crate::error::Error;
use crate::path::ApiPath;
use crate::request::{ListOptions, Selection, WatchOptions};
use crate::watch::WatchEvent;

/// A streaming list that is silent for this long comes from a server that streams none.
const SILENCE: Duration = Duration::from_secs(10);
/// How much later than agreed a server may end a watch.
const GRACE: Duration = Duration::from_secs(30);

/// What is reflected.
#[derive(Clone, Debug)]
pub struct Reflector {
    /// Who is asked.
    pub client: Client,
    /// The kind, and perhaps the namespace.
    pub path: ApiPath,
    /// Which objects of it.
    pub selection: Selection,
    /// Whether to try streaming lists first: less memory at the start. Falls back by itself.
    pub streaming: bool,
}

impl Reflector {
    /// All objects of the path, by a streaming list where the server knows it.
    #[must_use]
    pub fn new(client: Client, path: ApiPath) -> Self {
        Self {
            client,
            path,
            selection: Selection::default(),
            streaming: true,
        }
    }

    /// Only objects that fit this field selector.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        selector.clone_into(&mut self.selection.fields);
        self
    }

    /// Only objects that fit this label selector.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        selector.clone_into(&mut self.selection.labels);
        self
    }
}

/// Fills the store until the token is cancelled. To be spawned by whoever owns the store.
pub async fn reflect<T: Object>(
    reflector: Reflector,
    mut writer: Writer<T>,
    stop: CancellationToken,
) {
    let run = run(&reflector, &mut writer);
    stop.run_until_cancelled(run).await;
}

async fn run<T: Object>(reflector: &Reflector, writer: &mut Writer<T>) {
    let mut state = State::new(Jitter::seeded(), reflector.streaming);
    let mut actions = state.step(Event::Go);
    loop {
        let mut event = Event::Go;
        for action in std::mem::take(&mut actions) {
            event = carry_out(reflector, writer, &mut state, action).await;
        }
        actions = state.step(event);
        note_version(writer, &state);
    }
}

/// Does one thing and returns what came of it. Of several actions only the last one takes time
/// and has an outcome.
async fn carry_out<T: Object>(
    reflector: &Reflector,
    writer: &mut Writer<T>,
    state: &mut State,
    action: Action,
) -> Event {
    match action {
        Action::BeginList => writer.begin_list(),
        Action::EndList => writer.end_list(),
        Action::Wait(time) => sleep(time).await,
        Action::List { next, version } => return list(reflector, writer, next, version).await,
        Action::Watch {
            version,
            initial_events,
            timeout_seconds,
        } => {
            let options = WatchOptions {
                selection: reflector.selection.clone(),
                resource_version: version,
                initial_events,
                timeout_seconds,
            };
            return watch(reflector, writer, state, &options).await;
        }
    }
    Event::Go
}

async fn list<T: Object>(
    reflector: &Reflector,
    writer: &mut Writer<T>,
    next: String,
    version: String,
) -> Event {
    let options = ListOptions {
        selection: reflector.selection.clone(),
        limit: PAGE,
        continue_token: next,
        resource_version: version,
    };
    match reflector.client.list::<T>(&reflector.path, &options).await {
        Err(error) => failed(&error, false),
        Ok(list) => {
            for object in list.items {
                writer.apply(object);
            }
            Event::Page {
                version: list.metadata.resource_version,
                next: list.metadata.continue_token,
            }
        }
    }
}

async fn watch<T: Object>(
    reflector: &Reflector,
    writer: &mut Writer<T>,
    state: &mut State,
    options: &WatchOptions,
) -> Event {
    let opened = reflector.client.watch(&reflector.path, options).await;
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return failed(&error, options.initial_events),
    };
    let start = Instant::now();
    let end = start + Duration::from_secs(options.timeout_seconds.into()) + GRACE;
    loop {
        let next = timeout_at(end, stream.next::<T>());
        let event = if state.is_listing() {
            match timeout(SILENCE, next).await {
                Ok(event) => event,
                Err(_) => return Event::Failed(Failure::NoStreaming),
            }
        } else {
            next.await
        };
        let event = match event {
            Err(_) => return Event::Failed(Failure::Other(None)),
            Ok(Err(error)) => return failed(&error, false),
            Ok(Ok(None)) => {
                let lived = start.elapsed();
                return Event::Ended { lived };
            }
            Ok(Ok(Some(event))) => event,
        };
        match take_in(reflector, writer, event) {
            failure @ Event::Failed(_) => return failure,
            event => finish_list(writer, &state.step(event)),
        }
        note_version(writer, state);
    }
}

/// Tells the store how far it is, unless it is in the middle of a list.
fn note_version<T: Object>(writer: &mut Writer<T>, state: &State) {
    if !state.is_listing() {
        writer.seen(state.version());
    }
}

/// Inside a stream the only thing to do is to note that the initial objects are complete.
fn finish_list<T: Object>(writer: &mut Writer<T>, actions: &[Action]) {
    if actions.contains(&Action::EndList) {
        writer.end_list();
    }
}

fn take_in<T: Object>(
    reflector: &Reflector,
    writer: &mut Writer<T>,
    event: WatchEvent<T>,
) -> Event {
    match event {
        WatchEvent::Applied(object) => {
            let version = object.resource_version().to_owned();
            writer.apply(object);
            Event::Applied { version }
        }
        WatchEvent::Deleted(object) => {
            writer.remove(&object.key());
            Event::Applied {
                version: object.resource_version().to_owned(),
            }
        }
        WatchEvent::Bookmark {
            resource_version,
            initial_end,
        } => Event::Bookmark {
            version: resource_version,
            initial_end,
        },
        WatchEvent::Failed(status) => failed(
            &Error::Status {
                request: format!("watch {}", reflector.path),
                status: Box::new(status),
            },
            false,
        ),
    }
}

/// What a failure means for the reflector. It is the one who decides to go on, so it logs.
fn failed(error: &Error, asked_to_stream: bool) -> Event {
    if error.is_expired() {
        debug!(%error, "version is no longer known, listing again");
        return Event::Failed(Failure::Expired);
    }
    let code = error.status().map_or(0, |status| status.code);
    if asked_to_stream && (code == 400 || code == 422) {
        debug!(%error, "server streams no lists, falling back to pages");
        return Event::Failed(Failure::NoStreaming);
    }
    warn!(%error, "cannot follow, will try again");
    Event::Failed(Failure::Other(error.retry_after()))
}
