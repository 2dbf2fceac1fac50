//! Counts anew what quotas limit: when a quota is new or changed, when something it counts is gone
//! or holds less, and now and then. Those who let writes in add what comes. The key is the quota.
//!
//! [`count`] decides (pure). What is counted is listed when it has to be counted, so that namespaces
//! without quotas cost nothing. What goes is seen in the caches that other controllers keep anyway,
//! and for other kinds by [`follow`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_api::quota::{self, Subject};
use keelson_client::cache::{Change, Key};
use keelson_client::request::{ListOptions, Selection};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Object as _, Queue, Resource, Store};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::discovery::{self, DiscoveryError};
use crate::kinds::{Kind as _, NAMESPACE, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use crate::wiring::Wiring;

pub mod count;
mod follow;

use count::Tally;

/// How long what goes is gathered before it is counted.
const SETTLE: Duration = Duration::from_millis(300);
/// When to ask again for a kind that the server doesn't have.
const UNKNOWN: Duration = Duration::from_secs(30);
/// Objects in one answer.
const PAGE: u32 = 100;
/// Kinds that are to be followed and not yet are.
const NEW_KINDS: usize = 64;

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "resourcequota-controller",
    alias: "resourcequota",
    account: "resourcequota-controller",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let quotas = wiring.watch(|change: &Change<ResourceQuota>, keys| {
            let current = change.current().filter(|quota| {
                let same = |old: &Arc<ResourceQuota>| old.spec == quota.spec;
                !change.previous().is_some_and(same) || !is_complete(quota)
            });
            keys.extend(current.map(|quota| quota.key()));
        });
        let wake = Wake {
            quotas: quotas.clone(),
            queue: wiring.queue.clone(),
        };
        watch_what_is_cached(wiring, &wake);
        let (kinds, new_kinds) = mpsc::channel(NEW_KINDS);
        wiring.spawn(follow::follow(
            wiring.program(),
            wake,
            new_kinds,
            wiring.stop.clone(),
        ));
        Some(Work::act(Counter {
            client: wiring.client.clone(),
            quotas,
            period: wiring.options.resource_quota_sync_period,
            known: Mutex::new(BTreeMap::new()),
            kinds,
        }))
    },
};

/// Whether its status says of everything how much there is.
fn is_complete(quota: &ResourceQuota) -> bool {
    let (hard, status) = (&quota.spec.hard, &quota.status);
    let told = |name: &String| status.used.contains_key(name) || quota::subject_of(name).is_none();
    *hard == status.hard && hard.keys().all(told)
}

/// Kinds whose caches others need too.
fn watch_what_is_cached(wiring: &mut Wiring<'_>, wake: &Wake) {
    let (pods, services, claims) = (wake.clone(), wake.clone(), wake.clone());
    wiring.watch(move |change: &Change<Pod>, _| {
        let holds = |pod: &Arc<Pod>| !pod.is_finished();
        if change.previous().is_some_and(holds) && !change.current().is_some_and(holds) {
            pods.wake("", "pods", change.latest().namespace());
        }
    });
    wiring.watch(move |change: &Change<Service>, _| {
        let shape = |service: &Arc<Service>| (service.spec.kind.clone(), service.spec.ports.len());
        if let Some(old) = change.previous()
            && change.current().map(shape) != Some(shape(old))
        {
            services.wake("", "services", old.namespace());
        }
    });
    wiring.watch(move |change: &Change<PersistentVolumeClaim>, _| {
        if change.current().is_none() {
            claims.wake("", "persistentvolumeclaims", change.latest().namespace());
        }
    });
}

/// Wakes the quotas that count something.
#[derive(Clone)]
struct Wake {
    quotas: Store<ResourceQuota>,
    queue: Queue<Key>,
}

impl Wake {
    fn wake(&self, group: &str, resource: &str, namespace: &str) {
        let subject = Subject { group, resource };
        for quota in self.quotas.by_index(NAMESPACE, namespace) {
            if quota
                .spec
                .hard
                .keys()
                .any(|name| quota::counts(subject, name))
            {
                self.queue.add_after(quota.key(), SETTLE);
            }
        }
    }
}

struct Counter {
    client: Client,
    quotas: Store<ResourceQuota>,
    period: Duration,
    /// How paths name kinds, by plural and group.
    known: Mutex<BTreeMap<(String, String), Resource>>,
    /// Where kinds go that are to be followed.
    kinds: mpsc::Sender<Resource>,
}

impl Act for Counter {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Counter {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        if self.quotas.find(key).is_none() {
            return Ok(Outcome::Settled);
        }
        let Some(mut quota) = self.read(key).await? else {
            return Ok(Outcome::Settled);
        };
        let mut tally = Tally::new(&quota);
        let mut again = self.period;
        for (group, resource) in tally.kinds() {
            match self.kind(&group, &resource).await? {
                Some(kind) => self.count(&mut tally, &kind, &key.namespace).await?,
                None => again = again.min(UNKNOWN),
            }
        }
        let Some(status) = tally.status() else {
            return Ok(Outcome::Again(again));
        };
        quota["status"] = status;
        quota["apiVersion"] = "v1".into();
        quota["kind"] = "ResourceQuota".into();
        let path = ResourceQuota::RESOURCE
            .named(&key.namespace, &key.name)
            .subresource("status");
        let written = self.client.update::<_, Value>(&path, &quota);
        match written.await {
            Err(error) if error.is_conflict() => Ok(Outcome::Later),
            Err(error) if error.is_not_found() => Ok(Outcome::Settled),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Outcome::Again(again)),
        }
    }

    /// The quota as it is now. The account may list, but not get.
    async fn read(&self, key: &Key) -> Result<Option<Value>, Error> {
        let options = ListOptions {
            selection: Selection {
                fields: format!("metadata.name={}", key.name),
                ..Selection::default()
            },
            ..ListOptions::default()
        };
        let quotas = ResourceQuota::RESOURCE.within(&key.namespace);
        let page = self.client.list::<Value>(&quotas, &options).await?;
        Ok(page.items.into_iter().next())
    }

    /// How paths name a kind, if the server has it. It is followed from then on.
    async fn kind(&self, group: &str, resource: &str) -> Result<Option<Resource>, DiscoveryError> {
        let mut known = self.known.lock().await;
        let key = (resource.to_owned(), group.to_owned());
        if !known.contains_key(&key) {
            for served in discovery::discover(&self.client).await?.kinds {
                if served.can(&["list", "watch"]) && served.resource.namespaced {
                    let name = (
                        served.resource.plural.to_string(),
                        served.resource.group.to_string(),
                    );
                    if name == key {
                        // Without a reader the program ends.
                        let _ = self.kinds.send(served.resource.clone()).await;
                        known.insert(name, served.resource);
                    }
                }
            }
        }
        Ok(known.get(&key).cloned())
    }

    async fn count(
        &self,
        tally: &mut Tally,
        kind: &Resource,
        namespace: &str,
    ) -> Result<(), Error> {
        let now = Timestamp::now();
        tally.begin(Subject {
            group: &kind.group,
            resource: &kind.plural,
        });
        let mut options = ListOptions {
            limit: PAGE,
            ..ListOptions::default()
        };
        let whole = count::needs_whole(&kind.group, &kind.plural);
        let names_only = self.client.metadata_only();
        let path = kind.within(namespace);
        loop {
            options.continue_token = if whole {
                let page = self.client.list::<Value>(&path, &options).await?;
                for object in &page.items {
                    tally.add(&kind.group, &kind.plural, object, now);
                }
                page.metadata.continue_token
            } else {
                let page = names_only.list::<IgnoredAny>(&path, &options).await?;
                tally.add_many(&kind.group, &kind.plural, page.items.len());
                page.metadata.continue_token
            };
            if options.continue_token.is_empty() {
                return Ok(());
            }
        }
    }
}
