//! HTTPS on 10257: health for anybody, metrics for those whom the cluster lets read them. Must not
//! know what is counted.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use keelson_client::cache::Key;
use keelson_client::events::Recorder;
use keelson_client::kubeconfig::{Config, KubeconfigError};
use keelson_client::metrics::{QueueMetrics, dropped_events, render};
use keelson_client::site::{self, Authority, Gate, Place, SiteError};
use keelson_client::{Client, Queue};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::options::Options;

/// Why the port is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port or its certificate cannot be had.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// There is no way to who is asked about clients.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
}

/// What the port tells of.
#[derive(Default)]
pub struct Board {
    queues: Mutex<Vec<Queue<Key>>>,
    recorders: Mutex<Vec<Recorder>>,
    leading: AtomicBool,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("leading", &self.leading)
            .finish_non_exhaustive()
    }
}

impl Board {
    /// A controller whose figures are shown.
    pub fn add(&self, queue: Queue<Key>, recorder: Recorder) {
        self.queues.lock().push(queue);
        self.recorders.lock().push(recorder);
    }

    /// Whether this manager leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.store(leading, Ordering::Relaxed);
    }

    fn metrics(&self) -> String {
        let queues = self.queues.lock();
        let queues: Vec<_> = queues
            .iter()
            .map(|queue| queue as &dyn QueueMetrics)
            .collect();
        let leading = u8::from(self.leading.load(Ordering::Relaxed));
        let dropped: u64 = self.recorders.lock().iter().map(Recorder::dropped).sum();
        format!(
            "# HELP leader_election_master_status Whether this one leads\n\
             # TYPE leader_election_master_status gauge\n\
             leader_election_master_status{{name=\"kube-controller-manager\"}} {leading}\n{}{}",
            dropped_events(dropped),
            render(&queues)
        )
    }

    fn page(&self, path: &str) -> Option<(StatusCode, String)> {
        let page = match path {
            "/healthz" | "/livez" | "/readyz" => "ok".to_owned(),
            "/metrics" => self.metrics(),
            _ => return None,
        };
        Some((StatusCode::OK, page))
    }
}

/// Opens the port, unless it is 0, and serves until the token is cancelled. Says where.
///
/// # Errors
/// The port or the certificate cannot be had.
pub async fn serve(
    options: &Options,
    client: &Client,
    board: Arc<Board>,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Result<Option<SocketAddr>, ServeError> {
    if options.secure_port == 0 {
        return Ok(None);
    }
    let files = options.tls_cert_file.clone();
    let place = Place {
        address: SocketAddr::new(options.bind_address, options.secure_port),
        certificate: files.zip(options.tls_private_key_file.clone()),
    };
    let authentication = asked(
        options,
        client,
        options.authentication_kubeconfig.as_deref(),
    )?;
    let authority = match &options.client_ca_file {
        Some(file) => Authority::File(file.clone()),
        None if options.authentication_skip_lookup => Authority::None,
        None => Authority::of_cluster(&authentication, tasks, stop.clone()),
    };
    let gate = Gate::new(
        authority,
        authentication,
        asked(options, client, options.authorization_kubeconfig.as_deref())?,
        options.authorization_always_allow_paths.clone(),
    );
    let pages = Box::new(move |path: &str| board.page(path));
    Ok(Some(site::open(place, gate, pages, tasks, stop).await?))
}

/// The client for who is asked about clients of the port.
fn asked(
    options: &Options,
    client: &Client,
    kubeconfig: Option<&Path>,
) -> Result<Client, KubeconfigError> {
    match kubeconfig {
        None => Ok(client.clone()),
        same if same == options.kubeconfig.as_deref() => Ok(client.clone()),
        Some(path) => Client::new(&Config::from_file(path)?, "kube-controller-manager"),
    }
}
