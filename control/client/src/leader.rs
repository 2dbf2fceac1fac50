//! One of many leads, by a Lease. [`step`] decides (pure), this file reads and writes the Lease
//! and runs what the leader does. Must not know what that is.
//!
//! # Guarantees
//! - Work is cancelled, at the latest, when the renew deadline has passed without a renewal, which
//!   is before any other may take the lease over.
//! - Told to stop, the leader gives the lease back after its work has ended.
//!
//! # Assumptions
//! Clocks of different machines run equally fast; they need not agree.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::client::Client;
use crate::error::Error;
use crate::path::{ApiPath, Resource};

pub mod step;

pub use step::Settings;
use step::{Action, Event, Holding, State};

/// How an election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// We were told to stop.
    Stopped,
    /// We led and lost the lease: the work was cancelled. Usually the process should end.
    Lost,
}

/// Which Lease it is about.
#[derive(Clone, Debug)]
pub struct Election {
    /// Who is asked.
    pub client: Client,
    /// The Lease's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are and how long things take.
    pub settings: Settings,
}

/// Waits until we lead, then runs the work until we are told to stop or lose the lease. The work
/// is given a token that is cancelled when it has to end, and is waited for.
pub async fn run<W: Future<Output = ()>>(
    election: Election,
    work: impl FnOnce(CancellationToken) -> W,
    stop: CancellationToken,
) -> Ended {
    let lease = Access::new(&election);
    let mut state = State::new(election.settings.clone());
    let start = Instant::now();
    let elected = elect(&lease, &mut state, start);
    if stop.run_until_cancelled(elected).await.is_none() {
        return Ended::Stopped;
    }
    info!(lease = %lease.path, "leading");
    let token = CancellationToken::new();
    let mut work = std::pin::pin!(work(token.clone()));
    let ended = tokio::select! {
        () = &mut work => Ended::Stopped,
        () = stop.cancelled() => Ended::Stopped,
        () = renew(&lease, &mut state, start) => Ended::Lost,
    };
    token.cancel();
    // What the work still has to finish is done while the lease is ours.
    let deadline = start + state.deadline();
    if timeout_at(deadline, work).await.is_err() {
        warn!(lease = %lease.path, "work did not end before the lease did");
    }
    if ended == Ended::Stopped {
        for action in state.step(start.elapsed(), Timestamp::now(), Event::Release) {
            lease.carry_out(&action).await;
        }
    }
    ended
}

/// Until we lead.
async fn elect(lease: &Access, state: &mut State, start: Instant) {
    let mut event = Event::Go;
    loop {
        let actions = state.step(start.elapsed(), Timestamp::now(), event);
        if state.leads() {
            return;
        }
        event = Event::Go;
        for action in actions {
            event = lease.carry_out(&action).await;
        }
    }
}

/// While we lead.
async fn renew(lease: &Access, state: &mut State, start: Instant) {
    let mut event = lease.carry_out(&state.wait()).await;
    loop {
        let deadline = start + state.deadline();
        let actions = state.step(start.elapsed(), Timestamp::now(), event);
        if !state.leads() {
            return;
        }
        event = Event::Go;
        for action in actions {
            match timeout_at(deadline, lease.carry_out(&action)).await {
                Ok(outcome) => event = outcome,
                Err(_) => event = Event::Failed,
            }
        }
    }
}

/// The Lease on the wire.
struct Access {
    client: Client,
    path: ApiPath,
    list: ApiPath,
    namespace: String,
    name: String,
}

impl Access {
    fn new(election: &Election) -> Self {
        let leases = Resource::of::<Lease>();
        let limit = election.settings.renew_deadline / 2;
        Self {
            client: election
                .client
                .with_limit(limit.max(Duration::from_secs(1))),
            path: leases.named(&election.namespace, &election.name),
            list: leases.within(&election.namespace),
            namespace: election.namespace.clone(),
            name: election.name.clone(),
        }
    }

    async fn carry_out(&self, action: &Action) -> Event {
        let outcome = match action {
            Action::Wait(time) => {
                sleep(*time).await;
                return Event::Go;
            }
            Action::Read => self.read().await,
            Action::Create(holding) => self.create(holding).await,
            Action::Update(holding) => self.update(holding).await,
        };
        outcome.unwrap_or_else(|error| {
            if !error.is_conflict() && !error.is_already_exists() {
                warn!(%error, "leader election");
            }
            Event::Failed
        })
    }

    async fn read(&self) -> Result<Event, Error> {
        match self.client.get::<Lease>(&self.path).await {
            Ok(lease) => Ok(Event::Read(Some(holding(lease)))),
            Err(error) if error.is_not_found() => Ok(Event::Read(None)),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, holding: &Holding) -> Result<Event, Error> {
        let made: Lease = self.client.create(&self.list, &self.lease(holding)).await?;
        Ok(Event::Wrote(self::holding(made)))
    }

    async fn update(&self, holding: &Holding) -> Result<Event, Error> {
        let made: Lease = self.client.update(&self.path, &self.lease(holding)).await?;
        Ok(Event::Wrote(self::holding(made)))
    }

    fn lease(&self, holding: &Holding) -> Lease {
        let version = holding.version.clone();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                resource_version: Some(version).filter(|version| !version.is_empty()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holding.holder.clone()),
                lease_duration_seconds: i32::try_from(holding.duration.as_secs()).ok(),
                acquire_time: holding.acquired.map(MicroTime),
                renew_time: holding.renewed.map(MicroTime),
                lease_transitions: Some(holding.transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holding(lease: Lease) -> Holding {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or(0);
    Holding {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        acquired: spec.acquire_time.map(|time| time.0),
        renewed: spec.renew_time.map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or(0),
        version: lease.metadata.resource_version.unwrap_or_default(),
    }
}
