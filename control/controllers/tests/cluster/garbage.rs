//! Cascading deletion, of all three kinds and over custom kinds.

use keelson_client::Resource;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Cluster, eventually};

const SECRETS: Resource = Resource::fixed("", "v1", "secrets", "Secret", true);
const CONTROLLERS: &str = "--controllers=garbage-collector-controller";

fn owned(name: &str, owner: &Value, kind: (&str, &str)) -> Value {
    json!({"metadata": {"name": name, "ownerReferences": [{
        "apiVersion": kind.0, "kind": kind.1,
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }]}})
}

async fn gone(cluster: &Cluster, resource: &Resource, name: &str) {
    eventually(&format!("an end of {name}"), async || {
        cluster
            .find(resource, "default", name)
            .await
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_take_what_they_own_with_them_or_leave_it() {
    let cluster = Cluster::start(&[CONTROLLERS]).await;
    let map = ("v1", "ConfigMap");
    for (policy, name) in [("Background", "b"), ("Foreground", "f"), ("Orphan", "o")] {
        let owner = json!({"metadata": {"name": name}});
        let owner = cluster.make(&CONFIG_MAPS, "default", owner).await;
        let child = owned(&format!("{name}-child"), &owner, map);
        let child = cluster.make(&SECRETS, "default", child).await;
        let grandchild = owned(&format!("{name}-grandchild"), &child, ("v1", "Secret"));
        cluster.make(&CONFIG_MAPS, "default", grandchild).await;
        cluster
            .delete(&CONFIG_MAPS, ("default", name), Some(policy))
            .await;
        gone(&cluster, &CONFIG_MAPS, name).await;
        if policy == "Foreground" {
            // Whoever owned goes last.
            assert!(cluster.find(&SECRETS, "default", "f-child").await.is_none());
        }
    }
    gone(&cluster, &SECRETS, "b-child").await;
    gone(&cluster, &CONFIG_MAPS, "b-grandchild").await;
    let orphan = cluster.find(&SECRETS, "default", "o-child").await.unwrap();
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null);
    assert!(
        cluster
            .find(&CONFIG_MAPS, "default", "o-grandchild")
            .await
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_never_was_counts_as_gone() {
    let cluster = Cluster::start(&[CONTROLLERS]).await;
    let real = cluster
        .make(
            &CONFIG_MAPS,
            "default",
            json!({"metadata": {"name": "real"}}),
        )
        .await;
    let never = json!({"metadata": {"name": "never", "uid": "no-such-uid"}});
    cluster
        .make(
            &SECRETS,
            "default",
            owned("lost", &never, ("v1", "ConfigMap")),
        )
        .await;
    // With another owner it stays, and forgets the one that is gone.
    let mut both = owned("kept", &never, ("v1", "ConfigMap"));
    let second = owned("kept", &real, ("v1", "ConfigMap"));
    let mut second = second["metadata"]["ownerReferences"][0].clone();
    second["controller"] = json!(false);
    both["metadata"]["ownerReferences"]
        .as_array_mut()
        .unwrap()
        .push(second);
    cluster.make(&SECRETS, "default", both).await;
    gone(&cluster, &SECRETS, "lost").await;
    eventually("one owner", async || {
        let kept = cluster
            .find(&SECRETS, "default", "kept")
            .await
            .expect("it stays");
        let owners = kept["metadata"]["ownerReferences"].as_array()?.len();
        (owners == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_kinds_own_like_others() {
    let cluster = Cluster::start(&[CONTROLLERS]).await;
    let definitions = Resource::fixed(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        false,
    );
    let things = Resource::fixed("example.com", "v1", "things", "Thing", true);
    let definition = json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    cluster.make(&definitions, "", definition).await;
    let thing = eventually("a thing", async || {
        let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": {"name": "thing"}});
        cluster
            .client
            .create::<_, Value>(&things.within("default"), &thing)
            .await
            .ok()
    });
    let thing = thing.await;
    let child = owned("child", &thing, ("example.com/v1", "Thing"));
    cluster.make(&CONFIG_MAPS, "default", child).await;
    cluster
        .delete(&things, ("default", "thing"), Some("Foreground"))
        .await;
    gone(&cluster, &things, "thing").await;
    gone(&cluster, &CONFIG_MAPS, "child").await;
}
