//! `keelson status`: the pods of the node, as a table, and what those that are not ready wait for.

use crate::api;
use crate::kubelet_socket::{AskError, ask};
use crate::layout::Layout;
use crate::pod_table::{Row, render, rows};
use hyper::body::Bytes;

/// Why there is no status to show.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The kubelet did not answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What it answered is no list of pods.
    #[error("read the kubelet's list of pods: {0}")]
    Read(#[from] serde_json::Error),
}

/// The pods that the kubelet of `layout` runs.
///
/// # Errors
/// When it does not run or answers something else.
pub async fn pods(layout: &Layout) -> Result<Vec<Row>, StatusError> {
    let list: Bytes = ask(&layout.kubelet_socket(), "/pods").await?;
    Ok(rows(&serde_json::from_slice(&list)?))
}

/// A line about the API server and the nodes.
pub(crate) async fn cluster(layout: &Layout) -> String {
    let client = match api::admin(layout) {
        Ok(client) => client,
        Err(error) => return format!("API server: {error}"),
    };
    let server = client.server();
    match api::nodes(&client).await {
        Ok(nodes) => {
            let ready = nodes.iter().filter(|node| node.is_ready()).count();
            let waiting = nodes.iter().filter(|node| !node.is_ready());
            let waiting: String = waiting
                .map(|node| format!("\nnode {}: {}", node.metadata.name, node.waits_for()))
                .collect();
            let all = nodes.len();
            format!("API server at https://{server}: serves; {ready} of {all} nodes ready{waiting}")
        }
        Err(error) => format!("API server at https://{server}: {error}"),
    }
}

/// Prints the table.
///
/// # Errors
/// When the kubelet does not run or answers something else.
pub async fn status(layout: &Layout) -> Result<(), StatusError> {
    let rows = pods(layout).await?;
    print!("{}", render(&rows));
    if layout.kubeconfig("admin").exists() {
        println!("\n{}", cluster(layout).await);
    }
    for row in rows.iter().filter(|row| !row.is_ready) {
        println!(
            "`keelson why {} -n {}` says what it waits for",
            row.name, row.namespace
        );
    }
    Ok(())
}
