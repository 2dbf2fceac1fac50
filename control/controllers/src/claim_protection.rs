//! Lets go of claims that are being removed once no pod uses them. The key is the claim. Whether
//! one does is decided by [`is_used`] (pure), on what the server says at that time: a cache might
//! lack the newest pod.

use keelson_client::cache::{Change, Key};
use keelson_client::client::List;
use keelson_client::request::ListOptions;
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Object as _, Store};
use serde_json::{Value, json};

use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::kinds::{Kind as _, PersistentVolumeClaim, Pod, pod};
use crate::wiring::Wiring;

/// What holds a claim.
const FINALIZER: &str = "kubernetes.io/pvc-protection";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "persistentvolumeclaim-protection-controller",
    alias: "pvc-protection",
    account: "pvc-protection-controller",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let claims = wiring.watch(|change: &Change<PersistentVolumeClaim>, keys| {
            let current = change.current();
            let waits = current.is_some_and(|it| it.metadata.is_leaving() == is_held(it));
            if waits {
                keys.push(change.latest().key());
            }
        });
        let pods = wiring.watch(|change: &Change<Pod>, keys| {
            let pod = change.latest();
            // Another pod can't be why a claim is let go of.
            if change.current().is_none() || pod.is_finished() || pod.spec.node_name.is_empty() {
                let namespace = &pod.metadata.namespace;
                keys.extend(pod.claims().map(|name| Key::new(namespace, &name)));
            }
        });
        Some(Work::act(Guard {
            client: wiring.client.clone(),
            claims,
            pods,
        }))
    },
};

struct Guard {
    client: Client,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
}

fn is_held(claim: &PersistentVolumeClaim) -> bool {
    let mut all = claim.metadata.finalizers.iter();
    all.any(|finalizer| &**finalizer == FINALIZER)
}

/// Whether a pod keeps a claim from going: one that has a node. The node's agent starts no pod
/// whose claim is being removed, so that others don't matter.
fn is_used(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    if pod.spec.node_name.is_empty() {
        return false;
    }
    let name = &*claim.metadata.name;
    let shared = pod.spec.volumes.iter().any(|volume| {
        let source = volume.persistent_volume_claim.as_ref();
        source.is_some_and(|source| &*source.claim_name == name)
    });
    let meta = &pod.metadata;
    let has_ended = meta.is_leaving() && meta.deletion_grace_period_seconds == Some(0);
    let is_own = || {
        let owner = claim.metadata.controller();
        owner.is_some_and(|owner| owner.uid == meta.uid) && pod.claims().any(|own| own == name)
    };
    shared || (!has_ended && is_own())
}

impl Act for Guard {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Guard {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        let Some(claim) = self.claims.find(key) else {
            return Ok(Outcome::Settled);
        };
        if claim.metadata.is_leaving() != is_held(&claim) {
            return Ok(Outcome::Settled);
        }
        if claim.metadata.is_leaving() {
            let word = format!("{}/{}", key.namespace, key.name);
            let known = self.pods.by_index(pod::CLAIM, &word);
            if known.iter().any(|pod| is_used(&claim, pod)) {
                return Ok(Outcome::Settled);
            }
            let path = Pod::RESOURCE.within(&key.namespace);
            let asked = self.client.list(&path, &ListOptions::default()).await;
            let asked: List<Pod> = asked?;
            if asked.items.iter().any(|pod| is_used(&claim, pod)) {
                return Ok(Outcome::Settled);
            }
        }
        match self.turn(key, &claim).await {
            Err(error) if error.is_not_found() => Ok(Outcome::Settled),
            Err(error) if error.is_conflict() => Ok(Outcome::Later),
            outcome => Ok(outcome.map(|()| Outcome::Settled)?),
        }
    }

    /// Holds a claim, or lets go of it, if it is still the one that was decided on.
    async fn turn(&self, key: &Key, claim: &PersistentVolumeClaim) -> Result<(), Error> {
        let path = PersistentVolumeClaim::RESOURCE.named(&key.namespace, &key.name);
        let mut object: Value = self.client.get(&path).await?;
        if object["metadata"]["uid"] != json!(claim.metadata.uid) {
            return Ok(());
        }
        let mut finalizers = match object["metadata"]["finalizers"].take() {
            Value::Array(all) => all,
            _ => Vec::new(),
        };
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if object["metadata"]["deletionTimestamp"].is_null() {
            finalizers.push(json!(FINALIZER));
        }
        object["metadata"]["finalizers"] = json!(finalizers);
        self.client.update::<_, Value>(&path, &object).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::is_used;
    use crate::given;

    #[test]
    fn pods_with_a_node_hold_claims() {
        let claim = given::read(json!({"metadata": {"name": "p-own", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]}}));
        let check = |node: &str, grace: Value, volume: Value, expected: bool| {
            let leaving = grace.is_number().then_some("2026-01-02T03:04:05Z");
            let pod = given::read(json!({
                "metadata": {"name": "p", "uid": "u", "deletionTimestamp": leaving,
                    "deletionGracePeriodSeconds": grace},
                "spec": {"nodeName": node, "volumes": [volume]}}));
            assert_eq!(is_used(&claim, &pod), expected, "{node} {volume}");
        };
        let shared = json!({"name": "v", "persistentVolumeClaim": {"claimName": "p-own"}});
        let other = json!({"name": "v", "persistentVolumeClaim": {"claimName": "x"}});
        let own = json!({"name": "own", "ephemeral": {"volumeClaimTemplate": {}}});
        check("n", Value::Null, shared.clone(), true);
        check("", Value::Null, shared.clone(), false);
        check("n", json!(0), shared, true);
        check("n", Value::Null, other, false);
        check("n", Value::Null, own.clone(), true);
        check("n", json!(30), own.clone(), true);
        check("n", json!(0), own, false);
    }
}
