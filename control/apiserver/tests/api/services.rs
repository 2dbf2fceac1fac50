//! Services get addresses and ports of their own, however many are made at once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::harness::Server;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, kind: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}})
}

#[tokio::test]
async fn no_two_services_share_an_address_or_a_port() {
    let range = [
        "--in-memory",
        "--service-cluster-ip-range=10.5.0.0/27",
        "--service-node-port-range=30000-30019",
    ];
    let server = Server::with(&range).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.admin().await);
    }
    let makers = clients
        .into_iter()
        .enumerate()
        .map(|(at, mut client)| async move {
            let mut made = Vec::new();
            for number in 0..5 {
                let wish = service(&format!("s-{at}-{number}"), "NodePort");
                let reply = client.post(SERVICES, &wish).await;
                assert_eq!(reply.code, 201, "{reply:?}");
                let spec = &reply.value["spec"];
                made.push((
                    spec["clusterIP"].to_string(),
                    spec["ports"][0]["nodePort"].to_string(),
                ));
            }
            made
        });
    let mut tasks = tokio::task::JoinSet::new();
    for maker in makers {
        tasks.spawn(maker);
    }
    let made: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let addresses: BTreeSet<_> = made.iter().map(|(address, _)| address).collect();
    let ports: BTreeSet<_> = made.iter().map(|(_, port)| port).collect();
    assert_eq!((addresses.len(), ports.len()), (20, 20), "{made:?}");
    let mut client = server.admin().await;
    let full = client
        .post(SERVICES, &service("one-more", "NodePort"))
        .await;
    assert_eq!(full.code, 500, "{full:?}");
    client.delete(&format!("{SERVICES}/s-0-0")).await;
    let freed = client
        .post(SERVICES, &service("one-more", "NodePort"))
        .await;
    assert_eq!(freed.code, 201, "{freed:?}");
}

#[tokio::test]
async fn a_full_range_is_widened_by_another() {
    let small = ["--in-memory", "--service-cluster-ip-range=10.5.0.0/30"];
    let server = Server::with(&small).await;
    let mut client = server.admin().await;
    while client.get("/readyz").await.code != 200 {}
    assert_eq!(
        client.post(SERVICES, &service("a", "ClusterIP")).await.code,
        201
    );
    assert_eq!(
        client.post(SERVICES, &service("b", "ClusterIP")).await.code,
        500
    );
    let mut wish = service("c", "ClusterIP");
    wish["spec"]["clusterIP"] = json!("10.6.0.3");
    assert_eq!(client.post(SERVICES, &wish).await.code, 422);
    let more = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.6.0.0/28"]}});
    let ranges = "/apis/networking.k8s.io/v1/servicecidrs";
    assert_eq!(client.post(ranges, &more).await.code, 201);
    assert_eq!(client.post(SERVICES, &wish).await.code, 201);
    let made = client.post(SERVICES, &service("b", "ClusterIP")).await;
    let address = made.value["spec"]["clusterIP"].to_string();
    assert!(address.starts_with("\"10.6.0."), "{made:?}");
    let not_ready = json!({"status": {"conditions": [{"type": "Ready", "status": "False",
        "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let changed = client
        .patch(
            &format!("{ranges}/more/status"),
            "merge-patch+json",
            &not_ready,
        )
        .await;
    assert_eq!(changed.code, 200, "{changed:?}");
    // A list that asks for the newest has the caches catch up.
    client.get(ranges).await;
    assert_eq!(
        client.post(SERVICES, &service("d", "ClusterIP")).await.code,
        500
    );
}

#[tokio::test]
async fn addresses_can_be_asked_for_once() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let mut wish = service("a", "ClusterIP");
    wish["spec"]["clusterIP"] = json!("10.96.0.50");
    let made = client.post(SERVICES, &wish).await;
    assert_eq!(
        made.value["spec"]["clusterIPs"],
        json!(["10.96.0.50"]),
        "{made:?}"
    );
    assert_eq!(made.value["spec"]["ipFamilies"], json!(["IPv4"]));
    wish["metadata"]["name"] = json!("b");
    let taken = client.post(SERVICES, &wish).await;
    assert_eq!(taken.code, 422, "{taken:?}");
    assert!(
        taken.value["message"]
            .as_str()
            .unwrap()
            .contains("already allocated")
    );
    wish["spec"]["clusterIP"] = json!("192.0.2.1");
    assert_eq!(client.post(SERVICES, &wish).await.code, 422);
    let address = "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.50";
    assert_eq!(
        client.get(address).await.value["spec"]["parentRef"]["name"],
        "a"
    );
    client.delete(&format!("{SERVICES}/a")).await;
    assert_eq!(client.get(address).await.code, 404);
}

#[tokio::test]
async fn a_service_changes_its_type() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let made = client
        .post(SERVICES, &service("a", "ClusterIP"))
        .await
        .value;
    let path = format!("{SERVICES}/a");
    let wish = json!({"spec": {"type": "NodePort"}});
    let opened = client.patch(&path, "merge-patch+json", &wish).await;
    let port = opened.value["spec"]["ports"][0]["nodePort"].as_u64();
    assert!(port.is_some_and(|port| port >= 30000), "{opened:?}");
    assert_eq!(opened.value["spec"]["clusterIP"], made["spec"]["clusterIP"]);
}
