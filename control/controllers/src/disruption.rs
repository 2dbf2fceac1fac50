//! Keeps the status of budgets for disruptions, by which evictions are granted. The key is the
//! budget. [`budget`] decides (pure); what owners of pods want is asked from their scale.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use keelson_api::selector::Selector;
use keelson_client::cache::{Change, Key};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Object as _, Resource, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::discovery;
use crate::kinds::{
    Condition, DisruptionBudget, Kind as _, NAMESPACE, OwnerReference, Pod, ReplicaSet, condition,
};
use crate::wiring::Wiring;

pub mod budget;

use budget::Counts;

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "disruption-controller",
    alias: "disruption",
    account: "disruption-controller",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let budgets = wiring.own::<DisruptionBudget>();
        let known = budgets.clone();
        let pods = wiring.watch(move |change: &Change<Pod>, keys| {
            for pod in [change.previous(), change.current()].into_iter().flatten() {
                for budget in known.by_index(NAMESPACE, &pod.metadata.namespace) {
                    let key = budget.key();
                    if selects(&budget, pod) && !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
        });
        Some(Work::act(Keeper {
            client: wiring.client.clone(),
            budgets,
            pods,
            replica_sets: wiring.read::<ReplicaSet>(),
            kinds: Mutex::new(BTreeMap::new()),
        }))
    },
};

fn selects(budget: &DisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.selector.as_ref().and_then(Selector::of_object);
    selector.is_some_and(|selector| selector.matches(&pod.metadata.labels))
}

struct Keeper {
    client: Client,
    budgets: Store<DisruptionBudget>,
    pods: Store<Pod>,
    replica_sets: Store<ReplicaSet>,
    /// How paths name the kinds of owners.
    kinds: Mutex<BTreeMap<(String, String), Resource>>,
}

/// A share can't be counted without knowing of how many.
#[derive(Debug, thiserror::Error)]
enum ScaleError {
    /// The kind is unknown.
    #[error("{kind} {name}: the server has no kind of this name in {api_version}")]
    Kind {
        kind: Box<str>,
        name: Box<str>,
        api_version: Box<str>,
    },
    /// The kinds can't be read.
    #[error(transparent)]
    Discovery(#[from] discovery::DiscoveryError),
    /// The scale can't be read.
    #[error(transparent)]
    Ask(#[from] Error),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scale {
    spec: ScaleSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: i32,
}

impl Act for Keeper {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Keeper {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        let Some(budget) = self.budgets.find(key) else {
            return Ok(Outcome::Settled);
        };
        let pods = self.pods.by_index(NAMESPACE, &key.namespace);
        let pods: Vec<Arc<Pod>> = pods
            .into_iter()
            .filter(|pod| selects(&budget, pod))
            .collect();
        let now = Timestamp::now();
        let counts = match self.expected(&budget, &pods).await {
            Ok(expected) => budget::counts(&budget, &pods, expected, now),
            Err(error) => {
                let mut status = budget.status.clone();
                status.disruptions_allowed = 0;
                let message = error.to_string();
                let failed =
                    Condition::new("DisruptionAllowed", false, "SyncFailed", &message, now);
                condition::set(&mut status.conditions, failed);
                self.write(&budget, &json!(status)).await?;
                return Err(error.into());
            }
        };
        let Counts { status, recheck } = counts;
        if status != budget.status
            && let Outcome::Later = self.write(&budget, &json!(status)).await?
        {
            return Ok(Outcome::Later);
        }
        Ok(recheck.map_or(Outcome::Settled, Outcome::Again))
    }

    /// How many pods their owners want, where that is needed.
    async fn expected(
        &self,
        budget: &DisruptionBudget,
        pods: &[Arc<Pod>],
    ) -> Result<Option<i32>, ScaleError> {
        if !budget::needs_scale(&budget.spec) {
            return Ok(None);
        }
        let mut owners: BTreeMap<Box<str>, OwnerReference> = BTreeMap::new();
        for pod in pods {
            if let Some(owner) = pod.metadata.controller() {
                let owner = self.topmost(&pod.metadata.namespace, owner);
                owners.insert(owner.uid.clone(), owner);
            }
        }
        let mut sum = 0;
        for owner in owners.values() {
            sum += self.scale(&budget.metadata.namespace, owner).await?;
        }
        Ok(Some(sum))
    }

    /// The Deployment of a `ReplicaSet`; any other owner itself.
    fn topmost(&self, namespace: &str, owner: &OwnerReference) -> OwnerReference {
        let above = || {
            let set = self.replica_sets.get(namespace, &owner.name)?;
            let same = *owner.kind == *ReplicaSet::RESOURCE.kind && set.metadata.uid == owner.uid;
            set.metadata.controller().filter(|_| same).cloned()
        };
        above().unwrap_or_else(|| owner.clone())
    }

    async fn scale(&self, namespace: &str, owner: &OwnerReference) -> Result<i32, ScaleError> {
        let resource = self.kind_of(owner).await?;
        let path = resource.named(namespace, &owner.name).subresource("scale");
        match self.client.get::<Scale>(&path).await {
            Err(error) if error.is_not_found() => Ok(0),
            scale => Ok(scale?.spec.replicas),
        }
    }

    async fn kind_of(&self, owner: &OwnerReference) -> Result<Resource, ScaleError> {
        let group = owner
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let name = (group.to_owned(), owner.kind.to_string());
        let mut kinds = self.kinds.lock().await;
        if !kinds.contains_key(&name) {
            let found = discovery::discover(&self.client).await?;
            *kinds = found
                .kinds
                .into_iter()
                .map(|served| {
                    let resource = served.resource;
                    (
                        (resource.group.to_string(), resource.kind.to_string()),
                        resource,
                    )
                })
                .collect();
        }
        kinds.get(&name).cloned().ok_or_else(|| ScaleError::Kind {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            api_version: owner.api_version.clone(),
        })
    }

    async fn write(&self, budget: &DisruptionBudget, status: &Value) -> Result<Outcome, ActError> {
        let meta = &budget.metadata;
        let path = DisruptionBudget::RESOURCE.named(&meta.namespace, &meta.name);
        let written = async {
            let mut object: Value = self.client.get(&path).await?;
            if object["metadata"]["resourceVersion"] != *meta.resource_version {
                return Ok(Outcome::Later);
            }
            object["status"] = status.clone();
            let part = path.clone().subresource("status");
            self.client.update::<_, Value>(&part, &object).await?;
            Ok(Outcome::Settled)
        };
        match written.await {
            Err(error) if Error::is_not_found(&error) => Ok(Outcome::Settled),
            Err(error) if error.is_conflict() => Ok(Outcome::Later),
            outcome => Ok(outcome?),
        }
    }
}
