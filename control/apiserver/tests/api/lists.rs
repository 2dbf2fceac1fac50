//! Lists: pages, selectors, forms, versions.

use serde_json::{Value, json};

use super::harness::{Client, Server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn fill(client: &mut Client, count: usize) {
    for at in 0..count {
        let parity = if at % 2 == 0 { "even" } else { "odd" };
        let map = json!({"metadata": {"name": format!("m{at}"), "labels": {"parity": parity}}});
        assert_eq!(client.post(MAPS, &map).await.code, 201);
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_fit_together() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    fill(&mut client, 5).await;
    let first = client.get(&format!("{MAPS}?limit=2")).await.value;
    assert_eq!(names(&first), ["m0", "m1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    client.delete(&format!("{MAPS}/m3")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = client
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .value;
    assert_eq!(names(&second), ["m2", "m3"], "as of the first page");
    let version = &first["metadata"]["resourceVersion"];
    assert_eq!(&second["metadata"]["resourceVersion"], version);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = client
        .get(&format!("{MAPS}?limit=2&continue={token}"))
        .await
        .value;
    assert_eq!(names(&third), ["m4"]);
    assert!(third["metadata"].get("continue").is_none());
    let bad = client.get(&format!("{MAPS}?continue=nonsense")).await;
    assert_eq!(bad.code, 400);
}

#[tokio::test]
async fn selectors_choose() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    fill(&mut client, 4).await;
    let odd = client
        .get(&format!("{MAPS}?labelSelector=parity%3Dodd"))
        .await
        .value;
    assert_eq!(names(&odd), ["m1", "m3"]);
    let paged = client
        .get(&format!("{MAPS}?labelSelector=parity%3Dodd&limit=1"))
        .await
        .value;
    assert_eq!(names(&paged), ["m1"]);
    assert!(paged["metadata"].get("remainingItemCount").is_none());
    let one = client
        .get("/api/v1/configmaps?fieldSelector=metadata.name%3Dm2")
        .await
        .value;
    assert_eq!(names(&one), ["m2"]);
    assert_eq!(odd["kind"], "ConfigMapList");
}

#[tokio::test]
async fn the_past_can_be_listed() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    fill(&mut client, 2).await;
    let before = client.get(MAPS).await.value;
    let version = before["metadata"]["resourceVersion"].as_str().unwrap();
    client.delete(&format!("{MAPS}/m0")).await;
    let exact = format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(names(&client.get(&exact).await.value), ["m0", "m1"]);
    let newer = format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&client.get(&newer).await.value).len(), 1);
}

#[tokio::test]
async fn metadata_alone() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    fill(&mut client, 1).await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let reply = client
        .ask("GET", MAPS, &[("accept", accept)], &Value::Null)
        .await;
    assert_eq!(reply.value["kind"], "PartialObjectMetadataList");
    assert_eq!(reply.value["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(reply.value["items"][0].as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn a_collection_is_deleted() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    fill(&mut client, 4).await;
    let reply = client
        .delete(&format!("{MAPS}?labelSelector=parity%3Dodd"))
        .await;
    assert_eq!(reply.code, 200, "{reply:?}");
    assert_eq!(names(&client.get(MAPS).await.value), ["m0", "m2"]);
}
