//! The control plane: its image, its static pods, and the wait until it serves.

use super::credentials::ledger;
use super::{Options, Outcome, UpError, configure, images};
use crate::api;
use crate::cluster::Cluster;
use crate::cluster::kubeconfig::{Proof, kubeconfig};
use crate::cluster::static_pods::{self, NAMESPACE, Setting};
use crate::files::{FileError, make_folder, put};
use crate::kubelet_socket::ask;
use crate::layout::Layout;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the control plane and the node may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often they are asked.
const STEP: Duration = Duration::from_millis(200);

/// Has the image.
pub(super) async fn image(options: &Options) -> Result<Outcome, UpError> {
    let program = own_program(&options.layout)?;
    if static_pods::needs_interpreter(&program) {
        return Err(UpError::NotStatic);
    }
    images::control_plane(&options.layout, &static_pods::image(&program), &program).await
}

fn own_program(layout: &Layout) -> Result<Vec<u8>, UpError> {
    std::fs::read(layout.binary()).map_err(UpError::OwnBinary)
}

/// Places the manifests.
pub(super) fn place(options: &Options, cluster: &Cluster) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    make_folder(&layout.kubelet_certificates())?;
    if cluster.has_control_plane() {
        make_folder(&layout.store())?;
    } else {
        share_identity(layout, cluster)?;
    }
    let config = static_pods::proxy_config(layout, cluster);
    let mut changed = put(&layout.proxy_config(), config.as_bytes(), 0o644)?;
    let image = static_pods::image(&own_program(layout)?);
    let setting = Setting {
        layout,
        cluster,
        image: &image,
        ledger: &ledger(layout),
    };
    for (name, text) in static_pods::manifests(&setting) {
        let path = configure::manifests(options).join(format!("{name}.yaml"));
        changed |= put(&path, text.as_bytes(), 0o600)?;
    }
    Ok(Outcome::changed(changed))
}

/// A worker's proxy shows the kubelet's certificate: the control plane lets nodes read services.
fn share_identity(layout: &Layout, cluster: &Cluster) -> Result<(), UpError> {
    let ca = authority(layout)?;
    let user = format!("system:node:{}", cluster.node);
    let pem = layout.kubelet_client();
    let text = kubeconfig(&cluster.server(), &ca, &user, Proof::File(&pem));
    put(&layout.kubeconfig("kube-proxy"), text.as_bytes(), 0o600)?;
    Ok(())
}

/// The certificate of the cluster's authority.
fn authority(layout: &Layout) -> Result<String, FileError> {
    let path = layout.pki().join("ca.crt");
    std::fs::read_to_string(&path).map_err(|source| FileError {
        act: "read",
        path,
        source,
    })
}

/// Waits until every part runs what it should run, the API server serves and the node is ready.
pub(super) async fn wait(options: &Options, cluster: &Cluster) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    let start = Instant::now();
    let mut waited = false;
    let image = static_pods::image(&own_program(layout)?);
    let client = api::client(&cluster.observer(layout))?;
    loop {
        let why = match parts_are_ready(layout, cluster, &image).await {
            Ok(()) => match api::node(&client, &cluster.node).await {
                Ok(node) if node.is_ready() => break,
                Ok(node) => format!("node {}: {}", cluster.node, node.waits_for()),
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        if start.elapsed() > PATIENCE {
            return Err(UpError::NoControlPlane {
                seconds: PATIENCE.as_secs(),
                why,
            });
        }
        sleep(STEP).await;
        waited = true;
    }
    if cluster.has_control_plane() {
        crate::join::invite(&client, cluster, &authority(layout)?).await?;
    } else {
        crate::join::forget_token(layout)?;
    }
    images::remove_other_control_planes(layout, &image).await;
    Ok(Outcome::changed(waited))
}

/// What keeps a part from being ready, if anything does.
pub(super) async fn what_waits(layout: &Layout, cluster: &Cluster) -> Option<String> {
    let image = static_pods::image(&own_program(layout).ok()?);
    parts_are_ready(layout, cluster, &image).await.err()
}

/// The kubelet is asked, which knows the pods before there is an API.
async fn parts_are_ready(layout: &Layout, cluster: &Cluster, image: &str) -> Result<(), String> {
    let list = ask(&layout.kubelet_socket(), "/pods").await;
    let list = list.map_err(|error| error.to_string())?;
    let list: Value = serde_json::from_slice(&list).map_err(|error| error.to_string())?;
    let pods = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let here = static_pods::pods(cluster);
    match here.iter().find(|name| !is_ready(pods, name, image)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "pod {name} is not ready: `{} why {name} -n {NAMESPACE}` says what it waits for",
            layout.binary().display()
        )),
    }
}

fn is_ready(pods: &[Value], name: &str, image: &str) -> bool {
    let of_manifest = |pod: &&Value| {
        pod["metadata"]["namespace"] == NAMESPACE
            && pod["metadata"]["labels"]["component"] == *name
            && pod["spec"]["containers"][0]["image"] == *image
    };
    let conditions = pods
        .iter()
        .find(of_manifest)
        .and_then(|pod| pod["status"]["conditions"].as_array());
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}
