//! The socket of the node's administrator: the same routes without TLS, and what `keelson status`
//! and `keelson why` print. Only root and the kubelet's own user get an answer.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};

use super::body::{Body, json, text};
use super::query::Query;
use super::view::NodeView;
use crate::journal::{Entry, why};

/// Where the socket is unless configured.
pub const DEFAULT_PATH: &str = "/run/keelson/kubelet.sock";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {path:?}: {source}")]
pub struct UnixError {
    path: PathBuf,
    source: io::Error,
}

/// Listens on `path`, in place of a socket that a former run left there.
pub fn listen(path: &Path) -> Result<UnixListener, UnixError> {
    let bind = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::symlink_metadata(path) {
            Ok(data) if data.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|source| UnixError {
        path: path.to_owned(),
        source,
    })
}

/// Whether the other end is root or ourselves.
pub fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred();
    peer.is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

/// One line of `keelson status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodLine {
    namespace: String,
    name: String,
    phase: String,
    ready: String,
    restarts: i32,
    ip: String,
    /// What it waits for first.
    waits_for: Option<String>,
}

#[derive(Debug, Serialize)]
struct Status {
    healthy: bool,
    pods: Vec<PodLine>,
    node: Vec<Entry>,
}

/// `/status`: every pod in a line, and the node's own journal. JSON with `?output=json`.
pub fn status(view: &dyn NodeView, query: &Query) -> Response<Body> {
    let pods = view.pods();
    let status = Status {
        healthy: view.sync_loop_fresh().is_ok(),
        pods: pods.iter().map(|pod| pod_line(view, pod)).collect(),
        node: view.journal().node(),
    };
    if query.first("output") == Some("json") {
        return rendered(&status);
    }
    text(StatusCode::OK, status_text(&status))
}

/// `/why?namespace=NS&pod=NAME`: what a pod waits for. JSON with `output=json`.
pub fn why_answer(view: &dyn NodeView, query: &Query, now: Timestamp) -> Response<Body> {
    let Some(name) = query.first("pod").filter(|name| !name.is_empty()) else {
        return text(
            StatusCode::BAD_REQUEST,
            "parameter pod is missing: /why?pod=NAME\n",
        );
    };
    let namespace = query.first("namespace").unwrap_or("default");
    let Some(pod) = view.pod(namespace, name) else {
        let message = format!("pod {namespace}/{name} is not on this node\n");
        return text(StatusCode::NOT_FOUND, message);
    };
    let answer = why(&view.pod_view(&pod), view.journal(), now);
    match query.first("output") {
        Some("json") => rendered(&answer),
        _ => text(StatusCode::OK, answer.to_string()),
    }
}

fn rendered(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => json(StatusCode::OK, bytes),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn pod_line(view: &dyn NodeView, pod: &k8s_openapi::api::core::v1::Pod) -> PodLine {
    let told = view.pod_view(pod);
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let total = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let ready = containers
        .iter()
        .filter(|container| container.ready)
        .count();
    let wait = told.waits.first();
    PodLine {
        namespace: told.namespace,
        name: told.name,
        phase: told.phase,
        ready: format!("{ready}/{total}"),
        restarts: containers
            .iter()
            .map(|container| container.restart_count)
            .sum(),
        ip: status.pod_ip.unwrap_or_default(),
        waits_for: wait.map(|wait| format!("{}: {}", wait.subject, wait.reason)),
    }
}

fn status_text(status: &Status) -> String {
    let head = [
        "NAMESPACE",
        "NAME",
        "READY",
        "PHASE",
        "RESTARTS",
        "IP",
        "WAITS FOR",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for pod in &status.pods {
        rows.push([
            pod.namespace.clone(),
            pod.name.clone(),
            pod.ready.clone(),
            pod.phase.clone(),
            pod.restarts.to_string(),
            pod.ip.clone(),
            pod.waits_for.clone().unwrap_or_default(),
        ]);
    }
    let mut page = match status.healthy {
        true => String::from("kubelet: healthy\n"),
        false => String::from("kubelet: the pod loop has not turned lately\n"),
    };
    page += &table(&rows);
    for entry in status.node.iter().rev().take(5).rev() {
        page += &format!("{} {}: {}\n", entry.at, entry.reason, entry.message);
    }
    page
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut table = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        table += line.trim_end();
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_replaces_a_dead_one_but_no_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run/kubelet.sock");
        drop(listen(&path).unwrap());
        let listener = listen(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = UnixStream::connect(&path).await.unwrap();
        assert!(is_trusted(&listener.accept().await.unwrap().0));
        drop(client);
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(listen(&file).unwrap_err().to_string().contains("file"));
    }

    #[test]
    fn columns_line_up() {
        let rows = [["A", "BB"], ["ccc", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A    BB\nccc\n");
    }
}
