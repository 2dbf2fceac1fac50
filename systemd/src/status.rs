//! `keelson status`: the pods of the node, as a table, and what those that are not ready wait for.

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

/// Prints the table.
///
/// # Errors
/// When the kubelet does not run or answers something else.
pub async fn status(layout: &Layout) -> Result<(), StatusError> {
    let rows = pods(layout).await?;
    print!("{}", render(&rows));
    for row in rows.iter().filter(|row| !row.is_ready) {
        println!(
            "`keelson why {} -n {}` says what it waits for",
            row.name, row.namespace
        );
    }
    Ok(())
}
