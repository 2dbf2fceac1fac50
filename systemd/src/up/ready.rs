//! Waits for the demo's pods and shows what runs.

use super::{Options, Outcome, UpError};
use crate::demo::{HOST_PORT, PODS};
use crate::layout::Layout;
use crate::pod_table::{Row, find, render};
use crate::status::pods;
use crate::web;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long two pods may take; a slow disk needs some of it.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often the kubelet is asked.
const STEP: Duration = Duration::from_millis(100);

/// Waits until every pod of the demo is ready.
pub(super) async fn wait(layout: &Layout) -> Result<Outcome, UpError> {
    let start = Instant::now();
    let mut waited = false;
    loop {
        // A kubelet that does not answer for a moment is asked again.
        let rows = pods(layout).await.unwrap_or_default();
        let Some(pod) = PODS.into_iter().find(|pod| !is_ready(&rows, pod)) else {
            return Ok(Outcome::changed(waited));
        };
        if start.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            return Err(UpError::NotReady {
                pod,
                seconds,
                table: render(&rows),
            });
        }
        sleep(STEP).await;
        waited = true;
    }
}

fn is_ready(rows: &[Row], pod: &str) -> bool {
    find(rows, "default", pod).is_some_and(|row| row.is_ready)
}

/// Prints what runs, what it answers, and what to try next.
pub(super) async fn report(options: &Options) -> Result<(), UpError> {
    let layout = &options.layout;
    let rows = pods(layout).await.unwrap_or_default();
    println!("\n{}", render(&rows));
    if options.wishes.demo && options.cluster.is_none() {
        for address in addresses(&rows) {
            match web::get(address).await {
                Ok(answer) => println!("http://{address}/  {}", answer.trim_end()),
                Err(error) => println!("http://{address}/  no answer: {error}"),
            }
        }
        println!();
    }
    if let Some(cluster) = &options.cluster {
        if options.wishes.demo {
            super::deployed::show(options, cluster).await?;
        }
        if cluster.has_control_plane() {
            println!("{}\n", crate::status::cluster(layout).await);
        }
    }
    print!("{}", advice(options));
    Ok(())
}

/// The web server's addresses: through the port of the host, then its own.
fn addresses(rows: &[Row]) -> Vec<SocketAddr> {
    let host = SocketAddr::from((Ipv4Addr::LOCALHOST, HOST_PORT));
    let web = find(rows, "default", PODS[0]).into_iter();
    let own = web
        .flat_map(|row| &row.ips)
        .filter_map(|ip| ip.parse::<IpAddr>().ok());
    std::iter::once(host)
        .chain(own.map(|ip| SocketAddr::from((ip, HOST_PORT))))
        .collect()
}

fn advice(options: &Options) -> String {
    let keelson = options.layout.binary();
    let keelson = keelson.display();
    let manifests = super::configure::manifests(options);
    let cluster = match &options.cluster {
        Some(cluster) if cluster.has_control_plane() => format!(
            "  export KUBECONFIG={}\n  kubectl get nodes,pods -A\n  {keelson} token create --print-join-command    what another machine joins by\n",
            options.layout.kubeconfig("admin").display()
        ),
        Some(cluster) => {
            return format!(
                "node {} is part of the cluster at {}; try next:\n  {keelson} status\n  make down                             and the machine is as it was\n",
                cluster.node,
                cluster.server()
            );
        }
        None => String::new(),
    };
    format!(
        "\
Try next:
{cluster}  {keelson} status
  {keelson} why web
  ls {manifests}                        drop a pod manifest in, edit it, delete it
  tail -f {logs}/default_client*/caller/0.log
  make down                             and everything is gone
",
        manifests = manifests.display(),
        logs = options.layout.pod_logs().display(),
    )
}
