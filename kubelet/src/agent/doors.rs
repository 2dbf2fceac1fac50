//! Opens the servers that the configuration asks for, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use keelson_client::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::start;
use crate::config::Config;
use crate::join::certificates::{self, ServingError};
use crate::node::Node;
use crate::serve::access::{Access, UnsupportedAccess};
use crate::serve::handle::{Offer, Services};
use crate::serve::server::{self, ListenError, Listener};
use crate::serve::streaming::Streaming;
use crate::serve::tls::policy::{PolicyError, TlsPolicy};
use crate::serve::tls::self_signed::{self, SelfSignedError};
use crate::serve::tls::{ReloadingTls, TlsError, TlsFiles};
use crate::serve::unix::{self, UnixError};
use crate::serve::view::NodeView;
use crate::stats::{self, collector::Sources, volumes::Volumes};

/// Why a server can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A port can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The administrator's socket can't be had.
    #[error(transparent)]
    Socket(#[from] UnixError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate can't be made.
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
    /// There is no certificate until the cluster has signed one.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// A cipher suite or version can't be had.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Access control that needs an apiserver.
    #[error(transparent)]
    Access(#[from] UnsupportedAccess),
    /// An address in the configuration is none.
    #[error("{field}: {value:?} is not an IP address")]
    Address {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// A port in the configuration is none.
    #[error("{field}: {value} is not a port (1 to 65535)")]
    Port {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: i32,
    },
}

/// Opens every door; who comes in is asked of the apiserver, where there is one. All doors stand
/// when this returns; what they serve with is given back, so
/// that its streaming sessions can be ended.
///
/// # Errors
/// The first one that can't be opened, naming it.
pub async fn open(
    shared: &Shared,
    view: Arc<dyn NodeView>,
    apiserver: Option<&Client>,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Result<Arc<Services>, DoorError> {
    let (config, node, cri) = (&shared.config, &shared.node, &shared.cri);
    let kubelet = &config.kubelet;
    let idle = kubelet.streaming_connection_idle_timeout.to_std();
    let stats = stats::Collector::new(Sources {
        view: view.clone(),
        cri: cri.clone(),
        cgroups: Some(shared.cgroups.clone()),
        node_name: node.name.clone(),
        root: config.options.root_dir.clone(),
        pod_logs: node.log_root.clone(),
        volumes: Arc::new(Volumes::new(
            &config.options.root_dir,
            start::volume_period(config),
        )),
    });
    let services = Arc::new(Services {
        view,
        stats: Arc::new(stats),
        streaming: Streaming::new(cri.clone(), idle),
        cri: cri.clone(),
        access: Arc::new(access(shared, apiserver)?),
        offer: Offer {
            debugging: kubelet.enable_debugging_handlers,
            system_logs: kubelet.enable_system_log_handler,
            profiling: kubelet.enable_profiling_handler,
            debug_flags: kubelet.enable_debug_flags_handler,
            ..Offer::default()
        },
    });
    let mut listeners = vec![Listener::Local(unix::listen(
        &config.options.status_socket,
    )?)];
    if kubelet.healthz_port != 0 {
        let (host, port) = (&kubelet.healthz_bind_address, kubelet.healthz_port);
        let at = address(("healthzBindAddress", host), ("healthzPort", port))?;
        listeners.push(Listener::Health(server::listen(at).await?));
    }
    if kubelet.enable_server {
        listeners.push(secure(config, node, apiserver.is_some()).await?);
        if kubelet.read_only_port != 0 {
            let port = ("readOnlyPort", kubelet.read_only_port);
            let at = address(("address", &kubelet.address), port)?;
            listeners.push(Listener::ReadOnly(server::listen(at).await?));
        }
    }
    for listener in listeners {
        tasks.spawn(server::serve(listener, services.clone(), shutdown.clone()));
    }
    Ok(services)
}

/// Who is let in on the secure port. Where there is none, nobody needs to be asked.
fn access(shared: &Shared, apiserver: Option<&Client>) -> Result<Access, UnsupportedAccess> {
    let kubelet = &shared.config.kubelet;
    if kubelet.enable_server {
        Access::new(kubelet, &shared.node.name, apiserver)
    } else {
        Ok(Access::closed())
    }
}

async fn secure(config: &Config, node: &Node, in_cluster: bool) -> Result<Listener, DoorError> {
    let kubelet = &config.kubelet;
    let client_ca = path(&kubelet.authentication.x509.client_ca_file);
    let files = match (
        path(&kubelet.tls_cert_file),
        path(&kubelet.tls_private_key_file),
    ) {
        (Some(certificate), Some(key)) => TlsFiles {
            certificate,
            key,
            client_ca,
        },
        _ if in_cluster && kubelet.server_tls_bootstrap => {
            certificates::serving_files(config, &node.name, &node.ips, client_ca)?
        }
        _ => self_signed::ensure(&config.options.cert_dir, &node.name, &node.ips, client_ca)?,
    };
    let policy = TlsPolicy::parse(&kubelet.tls_min_version, &kubelet.tls_cipher_suites)?;
    let tls = Arc::new(ReloadingTls::open(files, policy)?);
    let at = address(("address", &kubelet.address), ("port", kubelet.port))?;
    Ok(Listener::Secure(server::listen(at).await?, tls))
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn address(
    (host_field, host): (&'static str, &str),
    (port_field, port): (&'static str, i32),
) -> Result<SocketAddr, DoorError> {
    let ip: IpAddr = host.parse().map_err(|_| DoorError::Address {
        field: host_field,
        value: host.to_owned(),
    })?;
    let port = u16::try_from(port).map_err(|_| DoorError::Port {
        field: port_field,
        value: port,
    })?;
    Ok(SocketAddr::new(ip, port))
}
