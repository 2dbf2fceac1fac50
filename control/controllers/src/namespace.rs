//! Empties namespaces that are being removed, and lets go of them. The key is the namespace. What
//! is told about it is decided in [`progress`].

use std::time::Duration;

use hyper::Method;
use jiff::Timestamp;
use keelson_client::cache::{Change, Key};
use keelson_client::client::List;
use keelson_client::path::ApiPath;
use keelson_client::request::{DeleteOptions, ListOptions};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Resource, Store};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::discovery::{self, Served};
use crate::kinds::{Condition, Kind as _, Meta, Namespace, Pod};
use crate::wiring::Wiring;

pub mod progress;

use progress::Report;

/// The finalizer that stands for the contents of a namespace.
const CONTENTS: &str = "kubernetes";
/// What is needed to empty a kind.
const REMOVABLE: [&str; 2] = ["list", "delete"];

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "namespace-controller",
    alias: "namespace",
    account: "namespace-controller",
    by_default: true,
    at_once: 10,
    build: |wiring: &mut Wiring<'_>| {
        let namespaces = wiring.own::<Namespace>();
        let known = namespaces.clone();
        // Pods go last and take their time: each that is gone is worth a look.
        wiring.watch(move |change: &Change<Pod>, keys| {
            let namespace = &change.latest().metadata.namespace;
            let gone = change.current().is_none();
            if gone
                && known
                    .get("", namespace)
                    .is_some_and(|it| it.metadata.is_leaving())
            {
                keys.push(Key::new("", namespace));
            }
        });
        Some(Work::act(Emptier {
            client: wiring.client.clone(),
            namespaces,
        }))
    },
};

/// Empties namespaces.
struct Emptier {
    client: Client,
    namespaces: Store<Namespace>,
}

/// An object, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tracked {
    metadata: Meta,
}

impl Act for Emptier {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Emptier {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        let known = self.namespaces.find(key);
        if !known.is_some_and(|namespace| namespace.metadata.is_leaving()) {
            return Ok(Outcome::Settled);
        }
        let path = Namespace::RESOURCE.named("", &key.name);
        let mut object: Value = match self.client.get(&path).await {
            Err(error) if error.is_not_found() => return Ok(Outcome::Settled),
            object => object?,
        };
        let namespace: Namespace = serde_json::from_value(object.clone())?;
        let Some(since) = namespace.metadata.deletion_timestamp else {
            return Ok(Outcome::Settled);
        };
        if !namespace
            .spec
            .finalizers
            .iter()
            .any(|name| &**name == CONTENTS)
        {
            return Ok(Outcome::Settled);
        }
        let report = self.empty(&key.name).await?;
        let now = Timestamp::now();
        if report.is_done() {
            let rest = namespace
                .spec
                .finalizers
                .iter()
                .filter(|name| &***name != CONTENTS);
            object["spec"]["finalizers"] = json!(rest.collect::<Vec<_>>());
            return settled(self.replace(&path, "finalize", &object).await);
        }
        let mut conditions = namespace.status.conditions.clone();
        if progress::set(&mut conditions, &report, now) {
            object["status"]["conditions"] = json!(conditions as Vec<Condition>);
            settled(self.replace(&path, "status", &object).await)?;
        }
        Ok(Outcome::Again(wait(since, now)))
    }

    async fn replace(&self, path: &ApiPath, part: &str, object: &Value) -> Result<(), Error> {
        let part = path.clone().subresource(part);
        self.client
            .update::<_, Value>(&part, object)
            .await
            .map(drop)
    }

    /// Removes what is in a namespace: pods first, then, when they are gone, all else.
    async fn empty(&self, namespace: &str) -> Result<Report, ActError> {
        let found = discovery::discover(&self.client).await?;
        let mut report = Report::default();
        for (group, why) in found.failures {
            report.undiscovered.push(format!("{group}: {why}"));
        }
        let usable = |kind: &&Served| kind.resource.namespaced && kind.can(&REMOVABLE);
        let is_pods = |kind: &Served| kind.resource == Pod::RESOURCE;
        let (pods, others): (Vec<_>, Vec<_>) = found
            .kinds
            .iter()
            .filter(usable)
            .partition(|kind| is_pods(kind));
        for kinds in [pods, others] {
            for kind in kinds {
                if let Err(error) = self.empty_kind(namespace, kind, &mut report).await {
                    report.failed.push(error.to_string());
                }
            }
            if !report.remaining.is_empty() {
                break;
            }
        }
        Ok(report)
    }

    async fn empty_kind(
        &self,
        namespace: &str,
        kind: &Served,
        report: &mut Report,
    ) -> Result<(), Error> {
        let resource = &kind.resource;
        let there = self.list(namespace, resource).await?;
        if there.is_empty() {
            return Ok(());
        }
        if there.iter().any(|object| !object.metadata.is_leaving()) {
            self.remove(namespace, kind, &there).await?;
        }
        for object in self.list(namespace, resource).await? {
            report.add(resource, &object.metadata.finalizers);
        }
        Ok(())
    }

    async fn remove(&self, namespace: &str, kind: &Served, there: &[Tracked]) -> Result<(), Error> {
        let path = kind.resource.within(namespace);
        if kind.can(&["deletecollection"]) {
            let url = format!("{}?propagationPolicy=Background", path.url());
            return self.client.raw(Method::DELETE, &url).await.map(drop);
        }
        for object in there {
            let path = kind.resource.named(namespace, &object.metadata.name);
            let options = DeleteOptions {
                propagation_policy: Some("Background"),
                ..DeleteOptions::default()
            };
            match self.client.delete(&path, &options).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn list(&self, namespace: &str, resource: &Resource) -> Result<Vec<Tracked>, Error> {
        let path = resource.within(namespace);
        let client = self.client.metadata_only();
        let mut all = Vec::new();
        let mut options = ListOptions {
            limit: 500,
            ..ListOptions::default()
        };
        loop {
            let page: List<Tracked> = match client.list(&path, &options).await {
                // The kind is gone, as with its definition.
                Err(error) if error.is_not_found() => return Ok(all),
                page => page?,
            };
            all.extend(page.items);
            options.continue_token = page.metadata.continue_token;
            if options.continue_token.is_empty() {
                return Ok(all);
            }
        }
    }
}

/// Somebody else was faster, or the namespace is gone: both are fine, a change wakes the key.
fn settled(written: Result<(), Error>) -> Result<Outcome, ActError> {
    match written {
        Err(error) if error.is_conflict() => Ok(Outcome::Later),
        Err(error) if error.is_not_found() => Ok(Outcome::Settled),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Outcome::Settled),
    }
}

/// How long to wait for others: a share of the time that it took already.
fn wait(since: Timestamp, now: Timestamp) -> Duration {
    let passed = now.duration_since(since);
    let passed = if passed.is_negative() {
        Duration::ZERO
    } else {
        passed.unsigned_abs()
    };
    (passed / 4).clamp(Duration::from_millis(500), Duration::from_secs(30))
}
