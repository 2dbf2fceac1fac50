//! Wiring: reads the configuration, builds the parts, owns every task and the drain.

pub mod discover;
pub mod doors;
pub mod fitness;
pub mod intake;
pub mod log_list;
pub mod pod_loop;
pub mod pressure;
pub mod process;
pub mod records;
mod remembered;
mod resizes;
pub mod saver;
pub mod shared;
pub mod size_limits;
pub mod sources;
pub mod start;
pub mod view;
pub mod wakes;
pub mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keelson_client::footprint;
use keelson_cri::containerd::Problem;
use keelson_cri::values::CgroupDriver;
use keelson_cri::{Client, CriError, Endpoint};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::doors::DoorError;
use self::pod_loop::{Inputs, Parts, PodLoop, Records, Wanted};
use self::records::Record;
use self::saver::Saver;
use self::shared::Shared;
use self::start::Found;
use crate::cgroup::{self, CgroupError};
use crate::checkpoint::{CheckpointError, Store};
use crate::config::Config;
use crate::execute::credential_plugins::{CredentialPlugins, PluginError};
use crate::join::certificates::AccessError;
use crate::join::{self, Cluster};
use crate::journal::{Journal, Kind};
use crate::node::Node;
use crate::observe::clock;
use crate::pod_files::dns::parse_resolv_conf;
use crate::serve::streaming::Streaming;
use crate::user_namespaces::{UserNamespaceError, UserNamespaces, subordinate};

/// How long servers have to finish their answers.
const DRAIN: Duration = Duration::from_secs(2);
/// How long to wait for the runtime between two tries at start.
const RUNTIME_RETRY: Duration = Duration::from_millis(500);
/// How often waiting for the runtime is told.
const RUNTIME_TOLD_EVERY: u32 = 60;

/// Why the agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state directory can't be used.
    #[error(transparent)]
    State(#[from] CheckpointError),
    /// The runtime's address is no address, or the runtime is not one that we can use.
    #[error(transparent)]
    Runtime(#[from] CriError),
    /// Pods can't run with this runtime.
    #[error("pods can't run with this container runtime:{}", fitness::listed(.0))]
    Unfit(Vec<Problem>),
    /// The cgroup tree can't be used.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// This machine or configuration can't be worked with.
    #[error(transparent)]
    Refused(#[from] process::Refusal),
    /// The kubeconfig can't be used.
    #[error(transparent)]
    Cluster(#[from] AccessError),
    /// A server can't be opened.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Pods can't be given ids of their own.
    #[error(transparent)]
    UserNamespaces(#[from] UserNamespaceError),
    /// Programs for credentials of images can't be used.
    #[error(transparent)]
    CredentialPlugins(#[from] PluginError),
    /// Something about this machine can't be read.
    #[error("{step}: {source}")]
    Machine {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Runs the agent until `stop` resolves. Containers go on without it.
///
/// `ready` is called once the agent has seen the runtime and serves.
///
/// # Errors
/// [`AgentError`] when it can't start; once started it does not give up.
pub async fn run(
    config: Config,
    ready: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    process::check(&config.kubelet, &swaps)?;
    for refused in process::settle(&config.kubelet) {
        tracing::warn!("{refused}");
    }
    let store = Arc::new(Store::open(&config.options.state_dir)?);
    let mut stop = std::pin::pin!(stop);
    // Cluster and runtime may not be there for long: stopping must not wait for them.
    let (cluster, shared) = tokio::select! {
        () = &mut stop => return Ok(()),
        opened = open(config, &store) => opened?,
    };
    let saver = Saver::new(store.clone());
    let (turned, turned_at) = watch::channel(clock::mono());
    let (changes, changed) = watch::channel(0);

    let mut tasks = JoinSet::new();
    let news = shared.follow(&mut tasks);
    let report = report_to(shared.journal.clone());
    tasks.spawn(saver.clone().run(report));
    let collect = shared.collect(&mut tasks);
    let view = Arc::new(shared.view(turned_at, changed.clone()));
    let shutdown = CancellationToken::new();
    let mut servers = JoinSet::new();
    let apiserver = cluster.as_ref().map(Cluster::client);
    let services = doors::open(&shared, view, apiserver, &mut servers, &shutdown).await?;
    shared.rotate_logs(changed, &mut tasks, &mut servers, &shutdown);
    let (evict, evictions) = mpsc::channel(size_limits::QUEUED);
    let (tell_outdated, outdated) = mpsc::channel(size_limits::QUEUED);
    tasks.spawn(footprint::stay_small(changes.subscribe()));
    let stats = services.stats.clone();
    shared.watch_sizes(changes.subscribe(), stats, &mut tasks, evict.clone());
    let conditions = shared.watch_pressure(services.stats.clone(), collect, &mut tasks, evict);
    let executor = shared.executor(cluster.as_ref().map(Cluster::objects));
    let parts = join::Parts {
        config: &shared.config,
        node: &shared.node,
        cri: &shared.cri,
        records: &shared.records,
        turned: turned.subscribe(),
        changes: changes.subscribe(),
        outdated: tell_outdated,
        journal: &shared.journal,
        conditions: conditions.clone(),
    };
    let wanted = begin(cluster, parts, &mut tasks, &shutdown);
    let pods = PodLoop::new(Parts {
        executor,
        policy: start::policy(&shared.config),
        admission: start::admission(&shared.config, &shared.node),
        records: shared.records,
        conditions,
        journal: shared.journal,
        saver: saver.clone(),
        boot_id: store.boot_id(),
        turned,
        changes,
    });
    ready();
    let told = (news, evictions, outdated);
    pods.run(Inputs::new(wanted, told), stop).await;
    drain(servers, &services.streaming, &shutdown).await;
    tasks.shutdown().await;
    for error in saver.flush().await {
        tracing::error!(%error, "the last checkpoints");
    }
    Ok(())
}

/// Opens what the agent's parts share, and the way to the cluster.
async fn open(config: Config, store: &Store) -> Result<(Option<Cluster>, Shared), AgentError> {
    let journal = Arc::new(Journal::default());
    let cri = client(&config)?;
    let (cluster, node, cgroups) = look_around(&config, &cri).await?;
    start::describe(&node, cgroups.version());
    let user_namespaces = user_namespaces(&config, &node, &journal)?;
    let options = &config.options;
    let credential_plugins = CredentialPlugins::load(
        options.image_credential_provider_config.as_deref(),
        options.image_credential_provider_bin_dir.as_deref(),
    )?;
    let shared = Shared {
        records: restore(store, &journal)?,
        config,
        cri,
        node,
        cgroups,
        user_namespaces,
        journal,
        credential_plugins: Arc::new(credential_plugins),
    };
    Ok((cluster, shared))
}

/// Ends streaming sessions and lets the servers and the log rotation end by themselves, for a
/// moment.
async fn drain(mut tasks: JoinSet<()>, streaming: &Streaming, shutdown: &CancellationToken) {
    shutdown.cancel();
    let all = async {
        streaming.shutdown().await;
        while tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tasks.shutdown().await;
    }
}

fn node_name(config: &Config) -> Result<String, AgentError> {
    let asked = config.options.hostname_override.as_deref();
    discover::node_name(asked).map_err(|source| AgentError::Machine {
        step: "read the host name",
        source,
    })
}

/// Starts the sources of pods and, in a cluster, the reports to it.
fn begin(
    cluster: Option<Cluster>,
    parts: join::Parts<'_>,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Wanted {
    let joined = cluster.map(|cluster| {
        let joined = cluster.follow_pods(&parts, tasks, shutdown);
        (cluster, joined)
    });
    let of_api = joined.as_ref().map(|(_, joined)| joined.source.clone());
    let (name, journal) = (&parts.node.name, parts.journal.clone());
    let wanted = sources::start(parts.config, name, of_api, journal, tasks, shutdown);
    if let Some((cluster, joined)) = joined {
        cluster.report(parts, joined, wanted.clone(), tasks, shutdown);
    }
    wanted
}

fn client(config: &Config) -> Result<Client, CriError> {
    let kubelet = &config.kubelet;
    let runtime: Endpoint = kubelet.container_runtime_endpoint.parse()?;
    let deadlines = start::deadlines(config);
    Ok(match kubelet.image_service_endpoint.as_str() {
        "" => Client::new(&runtime, deadlines),
        images => Client::with_image_service(&runtime, &images.parse()?, deadlines),
    })
}

/// Opens the way to the cluster, waits for the runtime, finds out what this node is and opens its
/// cgroup tree.
async fn look_around(
    config: &Config,
    cri: &Client,
) -> Result<(Option<Cluster>, Arc<Node>, Arc<cgroup::Manager>), AgentError> {
    let cluster = Cluster::open(config, &node_name(config)?).await?;
    let node = describe_node(config, cri).await?;
    let cgroups = cgroups(config, cri, &node).await?;
    Ok((cluster, Arc::new(node), Arc::new(cgroups)))
}

async fn describe_node(config: &Config, cri: &Client) -> Result<Node, AgentError> {
    let at = |step| move |source| AgentError::Machine { step, source };
    let version = fitness::runtime_version(cri).await?;
    let status = until_answered(|| cri.status()).await?;
    let resolv = match config.kubelet.resolv_conf.as_str() {
        "" => None,
        path => std::fs::read_to_string(path)
            .ok()
            .map(|text| parse_resolv_conf(&text)),
    };
    let default = status
        .handlers
        .iter()
        .find(|handler| handler.name.is_empty());
    let found = Found {
        machine: discover::machine().map_err(at("read /proc/meminfo"))?,
        name: node_name(config)?,
        ips: discover::node_ips(&config.options.node_ip),
        resolv,
        runtime: version.name,
        recursive_read_only: default.is_some_and(|h| h.recursive_read_only_mounts),
    };
    Ok(start::node(config, found))
}

async fn until_answered<T, F>(ask: impl Fn() -> F) -> Result<T, CriError>
where
    F: Future<Output = Result<T, CriError>>,
{
    let mut tries = 0_u32;
    loop {
        match ask().await {
            Err(error) if error.is_unavailable() => {
                if tries.is_multiple_of(RUNTIME_TOLD_EVERY) {
                    tracing::warn!(%error, "waiting for the container runtime");
                }
                tries += 1;
                tokio::time::sleep(RUNTIME_RETRY).await;
            }
            answered => return answered,
        }
    }
}

async fn cgroups(
    config: &Config,
    cri: &Client,
    node: &Node,
) -> Result<cgroup::Manager, AgentError> {
    let driver = match until_answered(|| cri.cgroup_driver()).await {
        Ok(CgroupDriver::Systemd) => cgroup::Driver::Systemd,
        Ok(CgroupDriver::Cgroupfs) => cgroup::Driver::Cgroupfs,
        // An older runtime does not tell: the configuration must.
        Err(error) if error.is_unimplemented() => match config.kubelet.cgroup_driver.as_str() {
            "systemd" => cgroup::Driver::Systemd,
            _ => cgroup::Driver::Cgroupfs,
        },
        Err(error) => return Err(error.into()),
    };
    let manager = cgroup::Manager::detect(driver, &config.kubelet.cgroup_root)?;
    if config.kubelet.fail_cgroup_v1 && manager.version() == cgroup::Version::V1 {
        return Err(process::Refusal::CgroupV1.into());
    }
    for note in manager.notes() {
        tracing::warn!("{note}");
    }
    manager.set_up_qos(&cgroup::node_limits(&start::enforced(config, node)), 0)?;
    Ok(manager)
}

/// Divides the ids of the host among pods; what pods have already they keep.
fn user_namespaces(
    config: &Config,
    node: &Node,
    journal: &Journal,
) -> Result<Arc<UserNamespaces>, AgentError> {
    let per_pod = start::ids_per_pod(config);
    let all = subordinate::ids_for_pods(per_pod).map_err(UserNamespaceError::from)?;
    let pods = u32::try_from(config.kubelet.max_pods).unwrap_or(u32::MAX);
    let (opened, failures) = UserNamespaces::open(node.paths.clone(), all, per_pod, pods)?;
    for error in failures {
        let at = clock::now().wall;
        journal.record_node(at, Kind::Warning, "UserNamespace", &error.to_string());
    }
    Ok(Arc::new(opened))
}

fn restore(store: &Store, journal: &Journal) -> Result<Records, CheckpointError> {
    let (saved, damaged) = store.load(clock::now())?;
    for error in damaged {
        let at = clock::now().wall;
        journal.record_node(at, Kind::Warning, "CheckpointDamaged", &error.to_string());
    }
    let restored = saved.into_iter().map(|(desired, memory)| {
        let mut record = Record::new(&desired);
        record.memory = memory;
        record.observed.resources_held = true;
        (desired.uid, record)
    });
    Ok(Arc::new(Mutex::new(restored.collect::<BTreeMap<_, _>>())))
}

fn report_to(journal: Arc<Journal>) -> impl Fn(CheckpointError) {
    move |error| {
        let at = clock::now().wall;
        journal.record_node(at, Kind::Warning, "CheckpointFailed", &error.to_string());
    }
}
