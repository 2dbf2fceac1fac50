//! The ports of health and metrics.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::AgentError;
use crate::config::{KubeProxyConfiguration, listen_address};
use crate::serve::{Board, Handler, serve};

/// Serves health and metrics.
pub(super) async fn listen(
    config: &KubeProxyConfiguration,
    board: &Arc<Board>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), AgentError> {
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    let (health, metrics) = (board.clone(), board.clone());
    let health: Handler = Arc::new(move |path| health.health_server(path));
    let metrics: Handler = Arc::new(move |path| metrics.metrics_server(path));
    for (what, text, port, handler) in [
        (
            "health",
            or(&config.healthz_bind_address, "0.0.0.0:10256"),
            10256,
            health,
        ),
        (
            "metrics",
            or(&config.metrics_bind_address, "127.0.0.1:10249"),
            10249,
            metrics,
        ),
    ] {
        let Some(address) = listen_address(&text, port) else {
            continue;
        };
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tasks.spawn(serve(listener, handler, stop.clone()));
            }
            Err(source) => {
                let error = AgentError::Listen {
                    what,
                    address: text,
                    source,
                };
                if config.bind_address_hard_fail {
                    return Err(error);
                }
                tracing::error!("{error}");
            }
        }
    }
    Ok(())
}
