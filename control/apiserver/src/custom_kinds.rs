//! Definitions of custom resources become kinds that are served, and say so in their status; a
//! definition that goes takes its objects with it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_schema::custom::CustomKind;
use keelson_store::{Durability, Key, List, Prefix};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::kinds::Kind;
use crate::registry::{Next, metadata};
use crate::watch_cache::{ROOT, of_store};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Objects removed at once.
const PAGE: usize = 500;

/// Follows the definitions until `shutdown`.
pub(crate) async fn follow(api: Arc<Api>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let followed = tokio::select! {
            () = shutdown.cancelled() => return,
            followed = follow_once(&api) => followed,
        };
        if let Err(failure) = followed {
            tracing::warn!(%failure, "custom resource definitions are read anew");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_once(api: &Api) -> Outcome<()> {
    let cache = api.registry.cache_of(GROUP, PLURAL).await?;
    let mut wake = cache.subscribe();
    let mut seen = None;
    loop {
        let snapshot = cache.all();
        if seen != Some(snapshot.revision) {
            seen = Some(snapshot.revision);
            let definitions = snapshot.versions.iter();
            let definitions = definitions.filter_map(|v| serde_json::from_slice(&v.body).ok());
            let definitions: Vec<Value> = definitions.collect();
            serve(api, &definitions);
            for definition in &definitions {
                tend(api, definition).await?;
            }
        }
        if !wake.next().await {
            return Ok(());
        }
    }
}

/// Serves what the definitions define.
fn serve(api: &Api, definitions: &[Value]) {
    let mut kinds = Vec::new();
    for definition in definitions.iter().filter(|d| names_are_free(api, d)) {
        let kind = Arc::new(CustomKind::read(definition));
        let served = kind
            .versions
            .iter()
            .enumerate()
            .filter(|(_, version)| version.served);
        kinds.extend(served.map(|(at, _)| Kind::custom(&kind, at)));
    }
    api.registry.kinds.set_custom(kinds);
}

/// Whether no built-in kind has the names.
fn names_are_free(api: &Api, definition: &Value) -> bool {
    let spec = &definition["spec"];
    let group = spec["group"].as_str().unwrap_or_default();
    let plural = spec["names"]["plural"].as_str().unwrap_or_default();
    api.registry.kinds.builtin(group, plural).is_none()
}

/// Brings a definition's status up to date, and ends what is to end.
async fn tend(api: &Api, definition: &Value) -> Outcome<()> {
    let ends =
        metadata::is_going(definition) && metadata::finalizers(definition).contains(&CLEANUP);
    if ends {
        remove_objects(api, definition).await?;
    }
    let free = names_are_free(api, definition);
    let now = metadata::time(Timestamp::now());
    let kind = api.registry.builtin(GROUP, PLURAL)?;
    let attempt = api
        .registry
        .attempt(kind, "", metadata::text(definition, "name"));
    let mut attempt = match attempt.await {
        Ok(attempt) => attempt,
        // It is gone already.
        Err(failure) if failure.code() == 404 => return Ok(()),
        Err(failure) => return Err(failure),
    };
    loop {
        let current = &attempt.current.object;
        let next = tended(current, free, &now);
        let done = metadata::is_going(current) && metadata::finalizers(&next).is_empty();
        let next = match (done, next == *current) {
            (true, _) => Next::Remove(next),
            (false, true) => Next::Keep,
            (false, false) => Next::Put(next),
        };
        if attempt.commit(next).await?.is_some() {
            return Ok(());
        }
    }
}

/// The definition as it should be.
fn tended(definition: &Value, names_free: bool, now: &str) -> Value {
    let mut next = definition.clone();
    let finalizers = metadata::finalizers(definition).into_iter();
    let mut finalizers: Vec<String> = finalizers.map(str::to_owned).collect();
    if metadata::is_going(definition) {
        finalizers.retain(|name| name != CLEANUP);
    } else if !finalizers.iter().any(|name| name == CLEANUP) {
        finalizers.push(CLEANUP.to_owned());
    }
    if finalizers.is_empty() {
        metadata::unset(&mut next, "finalizers");
    } else {
        metadata::set(&mut next, "finalizers", finalizers.into());
    }
    let accepted = if names_free {
        ("True", "NoConflicts", "no conflicts found")
    } else {
        ("False", "NotAccepted", "a built-in kind has these names")
    };
    let established = if names_free {
        (
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        )
    } else {
        ("False", "NotAccepted", "not all names are accepted")
    };
    condition(&mut next, "NamesAccepted", accepted, now);
    condition(&mut next, "Established", established, now);
    if names_free {
        next["status"]["acceptedNames"] = next["spec"]["names"].clone();
    }
    stored_versions(&mut next);
    next
}

fn condition(
    object: &mut Value,
    kind: &str,
    (status, reason, message): (&str, &str, &str),
    now: &str,
) {
    let list = &mut object["status"]["conditions"];
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else {
        return;
    };
    let same = |c: &Value| c["type"] == kind && c["status"] == status;
    if list.iter().any(same) {
        return;
    }
    list.retain(|condition| condition["type"] != kind);
    list.push(json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": now,
    }));
}

/// Every version that objects have ever been stored in.
fn stored_versions(definition: &mut Value) {
    let versions = definition["spec"]["versions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let stored = versions.iter().filter(|version| version["storage"] == true);
    let stored: Vec<Value> = stored.map(|version| version["name"].clone()).collect();
    let list = &mut definition["status"]["storedVersions"];
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        for version in stored {
            if !list.contains(&version) {
                list.push(version);
            }
        }
    }
}

/// Removes every object of a kind that goes.
async fn remove_objects(api: &Api, definition: &Value) -> Outcome<()> {
    let spec = &definition["spec"];
    let group = spec["group"].as_str().unwrap_or_default();
    let plural = spec["names"]["plural"].as_str().unwrap_or_default();
    let prefix = Prefix::new(format!("{ROOT}{group}/{plural}/"));
    let prefix = prefix.map_err(Failure::internal)?;
    loop {
        let list = List::all(prefix.clone()).limit(PAGE);
        let page = api.registry.store.list(list).await.map_err(of_store)?;
        for entry in &page.entries {
            remove(api, &entry.key).await?;
        }
        if page.remaining == 0 {
            return Ok(());
        }
    }
}

async fn remove(api: &Api, key: &Key) -> Outcome<()> {
    match api
        .registry
        .store
        .delete(key, None, Durability::Durable)
        .await
    {
        Ok(_) | Err(keelson_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(of_store(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({"metadata": {"name": "foos.a.io"}, "spec": {"group": "a.io", "names": {"plural": "foos"},
            "versions": [{"name": "v1", "storage": true}, {"name": "v2"}]}})
    }

    #[test]
    fn a_new_definition_is_established() {
        let next = tended(&definition(), true, "now");
        assert_eq!(metadata::finalizers(&next), [CLEANUP]);
        assert_eq!(next["status"]["storedVersions"], json!(["v1"]));
        let kinds: Vec<_> = next["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (c["type"].as_str().unwrap(), c["status"].as_str().unwrap()))
            .collect();
        assert_eq!(kinds, [("NamesAccepted", "True"), ("Established", "True")]);
        assert_eq!(tended(&next, true, "later"), next, "nothing changes twice");
    }

    #[test]
    fn a_definition_that_goes_is_let_go() {
        let mut going = tended(&definition(), true, "now");
        going["metadata"]["deletionTimestamp"] = "x".into();
        assert!(metadata::finalizers(&tended(&going, true, "now")).is_empty());
    }
}
