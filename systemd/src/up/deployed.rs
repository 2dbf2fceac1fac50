//! The demo of a cluster: web servers of a Deployment behind a Service, asked for real, and one of
//! them lost while somebody watches.

use super::{Options, Outcome, UpError, flush};
use crate::api::{self, Answering};
use crate::cluster::Cluster;
use crate::demo::deployment::{self, DEPLOYMENT, NODE_PORT, REPLICAS};
use crate::web;
use keelson_client::Client;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long all web servers may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the API server is asked.
const STEP: Duration = Duration::from_millis(100);

/// Has the Deployment and its Service, and waits until every web server answers.
pub(super) async fn run(options: &Options, cluster: &Cluster) -> Result<Outcome, UpError> {
    let client = api::client(&cluster.observer(&options.layout))?;
    for (kind, object) in deployment::objects() {
        api::apply(&client, &kind, object).await?;
    }
    let waited = until_all_answer(&client, cluster, &[]).await?;
    Ok(Outcome::changed(waited))
}

/// Waits until there are as many ready web servers as there should be, none of them of those that
/// `went`, and the Service answers; true when that was not so at once.
async fn until_all_answer(
    client: &Client,
    cluster: &Cluster,
    went: &[String],
) -> Result<bool, UpError> {
    let start = Instant::now();
    let mut waited = false;
    loop {
        let ready = ready_pods(client).await.unwrap_or_default();
        let all = ready.len() == REPLICAS && !ready.iter().any(|pod| went.contains(&pod.name));
        if all && web::get(node_port(cluster)).await.is_ok() {
            return Ok(waited);
        }
        if start.elapsed() > PATIENCE {
            return Err(UpError::NoControlPlane {
                seconds: PATIENCE.as_secs(),
                why: what_waits(client, cluster, ready.len()).await,
            });
        }
        sleep(STEP).await;
        waited = true;
    }
}

/// Too few web servers: a node that takes no pods in says so itself.
async fn what_waits(client: &Client, cluster: &Cluster, ready: usize) -> String {
    let node = api::node(client, &cluster.node).await.unwrap_or_default();
    let pressure = match node.pressure() {
        none if none.is_empty() => none,
        what => format!(
            ". Node {} takes no new pods, {what}: free some (`df -h /var/lib` where it is the disk)",
            cluster.node
        ),
    };
    format!(
        "{ready} of {REPLICAS} web servers of deployment {DEPLOYMENT} are ready, or their service does not answer: `kubectl get pods,events` says more{pressure}"
    )
}

async fn ready_pods(client: &Client) -> Result<Vec<Answering>, keelson_client::Error> {
    api::ready_pods(client, deployment::SELECTOR).await
}

fn node_port(cluster: &Cluster) -> SocketAddr {
    SocketAddr::from((cluster.address, NODE_PORT))
}

/// Shows what answers, and that what is lost comes back.
pub(super) async fn show(options: &Options, cluster: &Cluster) -> Result<(), UpError> {
    let client = api::client(&cluster.observer(&options.layout))?;
    ask(node_port(cluster)).await;
    if let Some(ip) = api::cluster_ip(&client, DEPLOYMENT).await? {
        ask(SocketAddr::from((ip, deployment::PORT))).await;
    }
    let Some(lost) = ready_pods(&client).await?.into_iter().next() else {
        return Ok(());
    };
    print!("\ndeleting pod {} ... ", lost.name);
    flush();
    let start = Instant::now();
    api::delete_pod(&client, &lost.name).await?;
    let before = [lost.name];
    until_all_answer(&client, cluster, &before).await?;
    println!(
        "{REPLICAS} are ready again after {:.1} s:",
        start.elapsed().as_secs_f32()
    );
    for pod in ready_pods(&client).await? {
        println!("  {}  {}  on {}", pod.name, pod.ip, pod.node);
    }
    println!();
    Ok(())
}

async fn ask(address: SocketAddr) {
    match web::get(address).await {
        Ok(answer) => println!("http://{address}/  {}", answer.trim_end()),
        Err(error) => println!("http://{address}/  no answer: {error}"),
    }
}
