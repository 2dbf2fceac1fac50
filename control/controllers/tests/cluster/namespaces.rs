//! Namespaces: what they begin with, and how they end.

use keelson_client::Resource;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Cluster, NAMESPACES, eventually};

const CONTROLLERS: &str = "--controllers=serviceaccount-controller,\
    root-ca-certificate-publisher-controller,namespace-controller";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_begins_with_an_account_and_the_ca() {
    let cluster = Cluster::start(&[CONTROLLERS]).await;
    cluster.namespace("team").await;
    let accounts = Resource::fixed("", "v1", "serviceaccounts", "ServiceAccount", true);
    let map = eventually("a CA", async || {
        cluster.find(&CONFIG_MAPS, "team", "kube-root-ca.crt").await
    });
    let map = map.await;
    assert!(
        map["data"]["ca.crt"]
            .as_str()
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    // Both come back, and the map is repaired.
    cluster.delete(&accounts, ("team", "default"), None).await;
    let spoilt = json!({"data": {"ca.crt": "nothing"}});
    cluster
        .change(&CONFIG_MAPS, ("team", "kube-root-ca.crt"), "", spoilt)
        .await;
    eventually("an account again", async || {
        cluster.find(&accounts, "team", "default").await
    })
    .await;
    eventually("a repaired CA", async || {
        let map = cluster
            .find(&CONFIG_MAPS, "team", "kube-root-ca.crt")
            .await?;
        map["data"]["ca.crt"]
            .as_str()?
            .contains("BEGIN")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_leaves_names_what_holds_it_and_then_ends() {
    let cluster = Cluster::start(&[CONTROLLERS]).await;
    cluster.namespace("team").await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    cluster.make(&CONFIG_MAPS, "team", held).await;
    cluster
        .make(&CONFIG_MAPS, "team", json!({"metadata": {"name": "free"}}))
        .await;
    cluster.delete(&NAMESPACES, ("", "team"), None).await;
    let condition = |namespace: &Value, kind: &str| -> Option<Value> {
        let all = namespace["status"]["conditions"].as_array()?;
        all.iter()
            .find(|condition| condition["type"] == kind)
            .cloned()
    };
    let namespace = eventually("a condition that names the finalizer", async || {
        let namespace = cluster.find(&NAMESPACES, "", "team").await?;
        let stuck = condition(&namespace, "NamespaceFinalizersRemaining")?;
        let named = stuck["message"]
            .as_str()?
            .contains("example.com/hold (1 object)");
        (stuck["status"] == "True" && named).then_some(namespace)
    });
    let namespace = namespace.await;
    assert_eq!(namespace["status"]["phase"], "Terminating");
    let remaining = condition(&namespace, "NamespaceContentRemaining").unwrap();
    assert_eq!(remaining["reason"], "SomeResourcesRemain");
    assert!(cluster.find(&CONFIG_MAPS, "team", "free").await.is_none());
    let let_go = json!({"metadata": {"finalizers": null}});
    cluster
        .change(&CONFIG_MAPS, ("team", "held"), "", let_go)
        .await;
    eventually("an end of the namespace", async || {
        let left = cluster.find(&NAMESPACES, "", "team").await;
        left.is_none().then_some(())
    })
    .await;
}
