//! `keelson up`: applies the steps of the plan one by one and says how each went. Can be repeated:
//! what is there is left alone, what was started with something else is started anew.

mod address;
mod configure;
mod control_plane;
mod credentials;
mod deployed;
mod images;
mod install;
mod pod_network;
mod ready;
pub(crate) mod start;

use crate::cluster::Cluster;
use crate::cluster::issue::IssueError;
use crate::cluster::static_pods;
use crate::configuration::Network;
use crate::daemon::DaemonError;
use crate::demo::DemoError;
use crate::files::FileError;
use crate::layout::Layout;
use crate::plan::{Part, Step, Wishes, steps};
use crate::preflight::{self, Finding};
use crate::units::UnitError;
use keelson_client::kubeconfig::KubeconfigError;
use keelson_cri::CriError;
use keelson_cri::containerd::import::ImportError;
use keelson_cri::image::{ImageError, LayerError};
use keelson_cri::values::CgroupDriver;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

pub use address::{address_here, name_here};
pub use configure::{kept_cluster, network_here, usual_pods, usual_services};
pub use start::usual_cgroup_driver;

/// What `up` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is.
    pub layout: Layout,
    /// What is to run.
    pub wishes: Wishes,
    /// The folder of containerd's programs, where it was named.
    pub containerd: Option<PathBuf>,
    /// The pods' addresses on this node.
    pub network: Network,
    /// The cluster that this machine is to be; none for a node alone.
    pub cluster: Option<Cluster>,
    /// Who makes cgroups, for containerd and the kubelet alike.
    pub cgroup_driver: CgroupDriver,
}

/// Why the node is not up.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The machine lacks something; what and the cure were printed.
    #[error("this machine cannot be a node yet: {0} thing(s) above need a hand")]
    Refused(usize),
    /// A file could not be put in its place.
    #[error(transparent)]
    File(#[from] FileError),
    /// This program could not find or read itself.
    #[error("read this program's own file: {0}")]
    OwnBinary(std::io::Error),
    /// No usable containerd was found.
    #[error(
        "no containerd >= 2 found in {searched}: `make runtime` fetches one, or name its folder with --containerd DIR"
    )]
    NoContainerd {
        /// Where it was looked for.
        searched: String,
    },
    /// A daemon could not be started or stopped.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// systemd did not do what it was asked.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// It was started and does not answer.
    #[error("{name} does not serve: {why}\nthe end of its log (`{log}`):\n{tail}")]
    Silent {
        /// The daemon.
        name: &'static str,
        /// The last failure.
        why: String,
        /// The command that shows its log.
        log: String,
        /// The log's last lines.
        tail: String,
    },
    /// An image could not be built.
    #[error(transparent)]
    Build(#[from] ImageError),
    /// A file of an image could not be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// containerd did not take an image.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A runtime call failed.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// The cgroup driver does not suit this machine.
    #[error(
        "the cgroup driver systemd needs a node that systemd runs: leave --cgroup-driver out, or say cgroupfs"
    )]
    NoSystemd,
    /// A key or certificate could not be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The administrator's kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The control plane's image would not run.
    #[error(
        "this program needs the libraries of this machine, and the control plane's image has none: build it with `make build`, or run a node alone with --standalone"
    )]
    NotStatic,
    /// The machine is a cluster already and should become a node alone.
    #[error(
        "this machine is part of a cluster: run `keelson up` without --standalone and --manifests, or `keelson down` first"
    )]
    IsCluster,
    /// The API server did not take what the cluster needs.
    #[error(transparent)]
    Api(#[from] keelson_client::Error),
    /// The control plane or the node is not ready.
    #[error("the cluster is not ready after {seconds} s: {why}")]
    NoControlPlane {
        /// How long we waited.
        seconds: u64,
        /// What it waits for.
        why: String,
    },
    /// The demo could not be laid out.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The demo's pods did not become ready.
    #[error(
        "pod {pod} is not ready after {seconds} s: `keelson why {pod}` says what it waits for\n{table}"
    )]
    NotReady {
        /// The first pod that is not.
        pod: &'static str,
        /// How long we waited.
        seconds: u64,
        /// How things stand.
        table: String,
    },
}

/// How a step went.
pub(crate) enum Outcome {
    /// It was done now.
    Done,
    /// There was nothing to do.
    There,
}

impl Outcome {
    /// `Done` when something was changed.
    fn changed(changed: bool) -> Self {
        if changed { Self::Done } else { Self::There }
    }
}

/// Makes this machine a node.
///
/// # Errors
/// With the step that failed and why. What was done until then stays; `up` can be run again.
pub async fn up(options: &Options) -> Result<(), UpError> {
    let steps = steps(&options.wishes);
    for (number, step) in steps.iter().enumerate() {
        print!("[{}/{}] {} ... ", number + 1, steps.len(), step.title());
        flush();
        let start = Instant::now();
        match apply(step, options).await {
            Ok(Outcome::Done) => println!("ok {:.1} s", start.elapsed().as_secs_f32()),
            Ok(Outcome::There) => println!("was there"),
            Err(error) => {
                println!("failed");
                return Err(error);
            }
        }
    }
    ready::report(options).await
}

/// Issues those certificates of this machine's cluster anew whose names are `wanted`, and has the
/// programs read them.
///
/// # Errors
/// When one cannot be issued or written.
pub fn renew(
    layout: &Layout,
    cluster: &Cluster,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(), UpError> {
    let options = Options {
        layout: layout.clone(),
        wishes: Wishes::default(),
        containerd: None,
        network: network_here(),
        cluster: Some(cluster.clone()),
        cgroup_driver: usual_cgroup_driver(layout),
    };
    credentials::forget(layout, wanted)?;
    credentials::issue(&options, cluster)?;
    control_plane::place(&options, cluster)?;
    Ok(())
}

async fn apply(step: &Step, options: &Options) -> Result<Outcome, UpError> {
    match step {
        Step::Binary => install::binary(&options.layout),
        Step::Preflight => look(options).map(|()| Outcome::Done),
        Step::Configuration => configure::files(options),
        Step::Containerd => start::containerd(options).await,
        Step::PauseImage => images::pause(&options.layout).await,
        Step::DemoImage => images::demo(&options.layout).await,
        Step::DemoManifests => configure::demo(options),
        Step::Kubelet => start::kubelet(options).await,
        Step::Ready => ready::wait(&options.layout).await,
        Step::Cluster(part) => match &options.cluster {
            Some(cluster) => apply_part(*part, options, cluster).await,
            None => Ok(Outcome::There),
        },
    }
}

async fn apply_part(part: Part, options: &Options, cluster: &Cluster) -> Result<Outcome, UpError> {
    match part {
        Part::Credentials => credentials::issue(options, cluster),
        Part::Image => control_plane::image(options).await,
        Part::Manifests | Part::Proxy => control_plane::place(options, cluster),
        Part::Network => pod_network::configure(options, cluster).await,
        Part::Ready => control_plane::wait(options, cluster).await,
        Part::Demo => deployed::run(options, cluster).await,
    }
}

/// Only looks whether this machine can be a node, and prints what was found.
///
/// # Errors
/// When it cannot.
pub fn check(options: &Options) -> Result<(), String> {
    look(options).map_err(|error| error.to_string())?;
    println!("this machine can be a node");
    Ok(())
}

fn look(options: &Options) -> Result<(), UpError> {
    let layout = &options.layout;
    if options.cluster.is_none() && layout.cluster().exists() {
        return Err(UpError::IsCluster);
    }
    if options.cgroup_driver == CgroupDriver::Systemd && !start::by_systemd(layout) {
        return Err(UpError::NoSystemd);
    }
    preflight::load_overlay();
    let ports = if start::is_running(layout, "kubelet") {
        Vec::new()
    } else {
        ports(options)
    };
    let mut facts = preflight::observe(&layout.lib, &ports);
    if facts.uid == 0 && layout.binary().exists() {
        facts.network = trial(options).err().map(|error| error.to_string());
    }
    let findings = preflight::judge(&facts);
    if !findings.is_empty() {
        println!();
    }
    for finding in &findings {
        match finding {
            Finding::Refused { what, cure } => println!("    !! {what}\n       {cure}"),
            Finding::Note(text) => println!("    note: {text}"),
        }
    }
    let refused = findings
        .iter()
        .filter(|one| matches!(one, Finding::Refused { .. }))
        .count();
    if refused > 0 {
        Err(UpError::Refused(refused))
    } else {
        Ok(())
    }
}

fn trial(options: &Options) -> Result<(), preflight::NetworkError> {
    let leases = options.layout.run.join("trial");
    let config = crate::configuration::trial_network(&options.layout, &options.network, &leases);
    let outcome = preflight::try_network(&options.layout.cni_bin().join("bridge"), &config);
    // A leftover lease of the trial is in a folder that nobody else reads, and ends with the boot.
    let _ = crate::files::forget(&leases);
    outcome
}

/// Ports that must be free before the kubelet starts. A control plane that was placed here before
/// may still run: pods outlive the kubelet.
fn ports(options: &Options) -> Vec<u16> {
    let alone = options.wishes.demo && options.cluster.is_none();
    let demo = alone.then_some(crate::demo::HOST_PORT);
    let is_new = !options.layout.proxy_config().exists();
    let cluster = options.cluster.as_ref().filter(|_| is_new);
    let cluster = cluster.map(static_pods::ports);
    [10250, 10248]
        .into_iter()
        .chain(demo)
        .chain(cluster.into_iter().flatten())
        .collect()
}

fn flush() {
    // Progress that cannot be shown is no reason to stop.
    let _ = std::io::stdout().flush();
}

/// How long a daemon may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
