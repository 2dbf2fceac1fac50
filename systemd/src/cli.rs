//! The command line of the front door: what each command takes, and who does it.

use crate::cluster::{Cluster, Range, Role};
use crate::configuration::Network;
use crate::down::ForgetNetwork;
use crate::join::hash::CaHash;
use crate::join::{Invitation, Target};
use crate::layout::Layout;
use crate::plan::Wishes;
use crate::token::Token;
use crate::{certs, daemon, down, image, join, status, token, up, why};
use clap::{Args, Parser, Subcommand, ValueEnum};
use keelson_cri::values::CgroupDriver;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// A host becomes a node.
#[derive(Parser)]
#[command(name = "keelson", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this machine a cluster of one node, or with --standalone a node alone
    Up(Up),
    /// Make this machine a node of a cluster elsewhere
    Join(Join),
    /// Tokens by which machines join the cluster
    #[command(subcommand)]
    Token(token::command::Command),
    /// Certificates: how long they are good, and new ones
    #[command(subcommand)]
    Certs(certs::Command),
    /// Stop them and take everything away that they made
    Down(Down),
    /// What runs, and what each pod waits for
    Status(Status),
    /// The decisions behind the state of one pod
    Why(Why),
    /// Build an image from a folder, build the pause image, import an archive
    #[command(subcommand)]
    Image(image::Image),
}

#[derive(Args)]
struct Root {
    /// Keep all files below this folder instead of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    root: Root,
    /// A node without a control plane
    #[arg(long)]
    standalone: bool,
    /// Run the manifests of this folder, on a node without a control plane
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Run pods that talk to each other
    #[arg(long)]
    demo: bool,
    /// Only find out whether this machine can be a node
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    runtime: Runtime,
    /// The pods' IPv4 range, on a node without a control plane
    #[arg(long, value_name = "CIDR", default_value_t = Network::default().subnet)]
    subnet: String,
    #[command(flatten)]
    cluster: ClusterFlags,
}

/// What runs containers.
#[derive(Args)]
struct Runtime {
    /// The folder of a containerd >= 2 and its shim
    #[arg(long, value_name = "DIR")]
    containerd: Option<PathBuf>,
    /// Who makes cgroups: systemd where it runs the node, else cgroupfs
    #[arg(long, value_name = "DRIVER")]
    cgroup_driver: Option<Driver>,
}

impl Runtime {
    fn options(self, layout: Layout, wishes: Wishes, cluster: Option<Cluster>) -> up::Options {
        up::Options {
            cgroup_driver: match self.cgroup_driver {
                Some(driver) => driver.into(),
                None => up::usual_cgroup_driver(&layout),
            },
            layout,
            wishes,
            containerd: self.containerd.map(absolute),
            network: up::network_here(),
            cluster,
        }
    }
}

/// What identifies a cluster, by kubeadm's names. What is not given is as it was, or as usual.
#[derive(Args)]
struct ClusterFlags {
    /// The node's name, instead of the host's
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The address that others reach this machine at
    #[arg(long, value_name = "IP")]
    apiserver_advertise_address: Option<IpAddr>,
    /// The ranges of the cluster's pods, one for each family
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pod_network_cidr: Vec<Range>,
    /// The range of services
    #[arg(long, value_name = "CIDR")]
    service_cidr: Option<Range>,
}

impl ClusterFlags {
    /// The cluster that is meant.
    fn cluster(&self, layout: &Layout) -> Result<Cluster, String> {
        let kept = up::kept_cluster(layout);
        let (address, node) = here(
            self.apiserver_advertise_address,
            self.node_name
                .as_ref()
                .or(kept.as_ref().map(|kept| &kept.node)),
        )?;
        let mut cluster = kept.unwrap_or_else(|| Cluster {
            role: Role::ControlPlane,
            node: String::new(),
            address,
            services: up::usual_services(),
            pods: up::usual_pods(),
        });
        cluster.address = address;
        cluster.node = node;
        if let Some(range) = self.service_cidr {
            cluster.services = range;
        }
        if !self.pod_network_cidr.is_empty() {
            cluster.pods.clone_from(&self.pod_network_cidr);
        }
        Ok(cluster)
    }
}

/// This machine's address and name, where none are given.
fn here(address: Option<IpAddr>, name: Option<&String>) -> Result<(IpAddr, String), String> {
    let address = address.or_else(up::address_here).ok_or(
        "this machine has no address but loopback's: give it one, name one with --apiserver-advertise-address, or run a node alone with --standalone",
    )?;
    let name = name.cloned().unwrap_or_else(up::name_here);
    let name = name.trim().to_lowercase();
    if name.is_empty() {
        return Err("this machine has no name: give one with --node-name".to_owned());
    }
    Ok((address, name))
}

/// How this machine joins. The digest is called as kubeadm calls it too.
#[derive(Args)]
struct Join {
    /// The API server, as ADDRESS:6443
    server: Target,
    /// The token, from `keelson token create`
    #[arg(long, value_name = "TOKEN")]
    token: Token,
    /// The digest of the cluster's authority, as that prints it
    #[arg(
        long,
        value_name = "sha256:HEX",
        alias = "discovery-token-ca-cert-hash"
    )]
    ca_hash: CaHash,
    /// The node's name, instead of the host's
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The address that others reach this machine at
    #[arg(long, value_name = "IP", alias = "node-ip")]
    apiserver_advertise_address: Option<IpAddr>,
    #[command(flatten)]
    runtime: Runtime,
    #[command(flatten)]
    root: Root,
}

#[derive(Clone, Copy, ValueEnum)]
enum Driver {
    Cgroupfs,
    Systemd,
}

impl From<Driver> for CgroupDriver {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Cgroupfs => Self::Cgroupfs,
            Driver::Systemd => Self::Systemd,
        }
    }
}

#[derive(Args)]
struct Down {
    #[command(flatten)]
    root: Root,
    /// Remove images, volumes, logs and the binary too
    #[arg(long)]
    purge: bool,
}

#[derive(Args)]
struct Status {
    #[command(flatten)]
    root: Root,
}

#[derive(Args)]
struct Why {
    /// The pod's name
    pod: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    #[command(flatten)]
    root: Root,
}

/// Runs one of the front door's programs with its arguments and says how it went. Only `down`
/// needs `forget`.
#[must_use]
pub fn main(name: &str, args: &[OsString], forget: ForgetNetwork) -> ExitCode {
    if name == "__session" {
        eprintln!("keelson: {}", daemon::become_daemon(args));
        return ExitCode::FAILURE;
    }
    let words = ["keelson".into(), name.into()]
        .into_iter()
        .chain(args.iter().cloned());
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads it: then nobody misses it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command, forget)),
        Err(error) => report(Err(format!("start the event loop: {error}"))),
    }
}

async fn run(command: Command, forget: ForgetNetwork) -> ExitCode {
    report(match command {
        Command::Up(up) => go_up(up).await,
        Command::Join(join) => go_join(join).await,
        Command::Token(token) => token::command::run(token)
            .await
            .map_err(|error| error.to_string()),
        Command::Certs(certs) => certs::run(certs).map_err(|error| error.to_string()),
        Command::Down(down) => down::down(&layout(&down.root), down.purge, forget).await,
        Command::Status(status) => status::status(&layout(&status.root))
            .await
            .map_err(|error| error.to_string()),
        Command::Why(why) => why::why(&layout(&why.root), &why.namespace, &why.pod)
            .await
            .map_err(|error| error.to_string()),
        Command::Image(image) => image::run(image).await.map_err(|error| error.to_string()),
    })
}

async fn go_up(args: Up) -> Result<(), String> {
    let layout = layout(&args.root);
    let alone = args.standalone || args.manifests.is_some();
    let cluster = if alone {
        None
    } else {
        Some(args.cluster.cluster(&layout)?)
    };
    let is_worker = cluster.as_ref().is_some_and(|one| !one.has_control_plane());
    let wishes = Wishes {
        manifests: args.manifests.map(absolute),
        demo: args.demo && !is_worker,
        cluster: cluster.is_some(),
        worker: is_worker,
    };
    let mut options = args.runtime.options(layout, wishes, cluster);
    options.network.subnet = args.subnet;
    if args.check {
        up::check(&options)
    } else {
        up::up(&options).await.map_err(|e| e.to_string())
    }
}

async fn go_join(args: Join) -> Result<(), String> {
    let layout = layout(&args.root);
    let (address, node) = here(args.apiserver_advertise_address, args.node_name.as_ref())?;
    let invitation = Invitation {
        target: args.server,
        token: args.token,
        ca: args.ca_hash,
        node,
        address,
    };
    let cluster = join::introduce(&layout, &invitation).await;
    let cluster = cluster.map_err(|error| error.to_string())?;
    let wishes = Wishes {
        cluster: true,
        worker: true,
        ..Wishes::default()
    };
    let options = args.runtime.options(layout, wishes, Some(cluster));
    up::up(&options).await.map_err(|error| error.to_string())
}

fn layout(root: &Root) -> Layout {
    Layout::new(&absolute(root.root.clone()))
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn report(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("keelson: {message}");
            ExitCode::FAILURE
        }
    }
}
