//! Owns every task: the port, the election, the caches, the controllers. Must not know what
//! controllers decide.

use std::sync::Arc;
use std::time::Duration;

use keelson_client::cache::Key;
use keelson_client::events::Recorder;
use keelson_client::kubeconfig::{Config, KubeconfigError};
use keelson_client::leader::{self, Election, Ended, Settings};
use keelson_client::queue::Limits;
use keelson_client::{Client, Queue, footprint, runner};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::accounts::{Account, Accounts};
use crate::caches::Caches;
use crate::controller::{Registration, Work};
use crate::execute::Executor;
use crate::options::Options;
use crate::registry::{self, ChoiceError};
use crate::serve::{Board, ServeError, serve};
use crate::wiring::Wiring;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime or a signal handler does not start.
    #[error("start the program: {0}")]
    Start(std::io::Error),
    /// There is no way to the server.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// `--controllers` is wrong.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The port cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Somebody else leads now.
    #[error("lost the lead: the lease {0} was not renewed in time")]
    Lost(String),
}

/// How long what is under way may take to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// The wait before a controller that panicked is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Runs until the token is cancelled or the lead is lost.
///
/// # Errors
/// The program cannot start, or lost the lead.
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), RunError> {
    let chosen = registry::choose(registry::CONTROLLERS, &options.controllers)?;
    let lacking = registry::lacking(registry::CONTROLLERS, &options.controllers);
    if !lacking.is_empty() {
        warn!(controllers = %lacking.join(", "), "not supported yet, and not run");
    }
    let config = Config::discover(options.kubeconfig.as_deref())?;
    let client = Client::new(&config, "kube-controller-manager")?;
    let board = Arc::new(Board::default());
    let mut tasks = JoinSet::new();
    serve(&options, &client, board.clone(), &mut tasks, stop.clone()).await?;
    let options = Arc::new(options);
    let ended = lead(&options, &config, &client, &board, chosen, &stop).await;
    stop.cancel();
    let drained = timeout(PATIENCE, async {
        while tasks.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        warn!("connections were still open at the end");
    }
    ended
}

async fn lead(
    options: &Arc<Options>,
    config: &Config,
    client: &Client,
    board: &Arc<Board>,
    chosen: Vec<&'static Registration>,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let work = |stop: CancellationToken| async move {
        board.set_leading(true);
        let accounts = Accounts::new(options, config, client);
        match accounts {
            Ok(accounts) => control(options, client, &accounts, board, chosen, stop).await,
            Err(error) => error!(%error, "no accounts for controllers"),
        }
        board.set_leading(false);
    };
    if !options.leader_elect {
        work(stop.clone()).await;
        return Ok(());
    }
    let election = Election {
        client: client.clone(),
        namespace: options.leader_elect_resource_namespace.clone(),
        name: options.leader_elect_resource_name.clone(),
        settings: Settings {
            lease_duration: options.leader_elect_lease_duration,
            renew_deadline: options.leader_elect_renew_deadline,
            retry_period: options.leader_elect_retry_period,
            ..Settings::new(&identity())
        },
    };
    let lease = format!("{}/{}", election.namespace, election.name);
    match leader::run(election, work, stop.clone()).await {
        Ended::Stopped => Ok(()),
        Ended::Lost => Err(RunError::Lost(lease)),
    }
}

/// A name that no other manager has, also not an earlier one on this machine.
fn identity() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let seed = keelson_client::backoff::Jitter::seeded().fraction();
    format!("{host}_{:x}", seed.to_bits())
}

/// Runs the controllers until the token is cancelled.
async fn control(
    options: &Arc<Options>,
    client: &Client,
    accounts: &Accounts,
    board: &Arc<Board>,
    chosen: Vec<&'static Registration>,
    stop: CancellationToken,
) {
    let mut caches = Caches::new(client.clone(), stop.clone());
    let mut running: JoinSet<()> = JoinSet::new();
    let (small, end) = (footprint::stay_small(caches.changes()), stop.clone());
    running.spawn(async move {
        end.run_until_cancelled(small).await;
    });
    let count = chosen.len();
    for registration in chosen {
        let (account, fresh) = accounts.account(registration.account, &stop);
        running.spawn(fresh);
        let name = registration.name;
        let recorded = account.client.clone();
        let source = match registration.account {
            "" => name,
            account => account,
        };
        let (recorder, sink) = Recorder::new(recorded, source, "", stop.clone());
        running.spawn(sink);
        let queue = Queue::<Key>::new(name, limits());
        board.add(queue.clone(), recorder.clone());
        let controller = Controller {
            registration,
            account,
            recorder,
            queue,
            options: options.clone(),
            stop: stop.clone(),
        };
        controller.start(&mut caches, &mut running);
    }
    info!(controllers = count, "controllers are starting");
    let drained = async {
        stop.cancelled().await;
        while running.join_next().await.is_some() {}
    };
    drained.await;
    running.shutdown().await;
    caches.ended().await;
}

/// Upstream's back-off per key; over all keys a rate that only a broken controller reaches.
fn limits() -> Limits {
    Limits {
        per_second: 100.0,
        burst: 1000.0,
        ..Limits::default()
    }
}

struct Controller {
    registration: &'static Registration,
    account: Account,
    recorder: Recorder,
    queue: Queue<Key>,
    options: Arc<Options>,
    stop: CancellationToken,
}

impl Controller {
    /// Builds the controller and spawns its work.
    fn start(self, caches: &mut Caches, running: &mut JoinSet<()>) {
        let name = self.registration.name;
        let mut own = JoinSet::new();
        let mut wiring = Wiring {
            name,
            options: &self.options,
            client: self.account.client.clone(),
            queue: self.queue.clone(),
            recorder: self.recorder.clone(),
            stop: self.stop.clone(),
            account: &self.account,
            caches,
            tasks: &mut own,
            synced: Vec::new(),
        };
        let built = (self.registration.build)(&mut wiring);
        let synced = std::mem::take(&mut wiring.synced);
        let Some(work) = built else {
            info!(controller = name, "has nothing to do with these options");
            return;
        };
        let sight = caches.sight();
        let executor = Executor::new(
            name,
            self.account.client.clone(),
            self.recorder.clone(),
            sight,
        );
        let (executor, work) = (Arc::new(executor), Arc::new(work));
        running.spawn(async move {
            let stop = self.stop.clone();
            let ready = async {
                self.account.ready().await;
                for synced in synced {
                    synced.await;
                }
            };
            if stop.run_until_cancelled(ready).await.is_some() {
                self.supervise(&executor, &work).await;
            }
            own.shutdown().await;
        });
    }

    /// Works the queue off; should that panic, again.
    async fn supervise(&self, executor: &Arc<Executor>, work: &Arc<Work>) {
        while !self.stop.is_cancelled() {
            let (executor, work) = (executor.clone(), work.clone());
            let step = move |key: Key| {
                let (executor, work) = (executor.clone(), work.clone());
                async move {
                    match &*work {
                        Work::Decide(controller) => executor.work(&**controller, &key).await,
                        Work::Act(controller) => controller.act(&key).await,
                    }
                }
            };
            let at_once = self.registration.at_once;
            let run = runner::run(self.queue.clone(), at_once, step, self.stop.clone());
            let mut task = JoinSet::new();
            task.spawn(run);
            let Some(Err(error)) = task.join_next().await else {
                return;
            };
            error!(controller = self.registration.name, %error, "ended in a panic, starting again");
            sleep(RESTART).await;
        }
    }
}
