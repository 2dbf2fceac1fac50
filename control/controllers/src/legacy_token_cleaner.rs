//! Marks, and a while later removes, tokens in Secrets that were made for accounts in old times and
//! that nobody has used for long. Looks once a day. [`judge`] decides (pure); since when uses are
//! noted is asked from the server, and which Secrets pods use where it matters.
//!
//! Where a server doesn't note uses nothing is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use keelson_client::cache::Key;
use keelson_client::request::{DeleteOptions, ListOptions, Patch, Preconditions, WriteOptions};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Object as _, Store};
use serde_json::{Value, json};
use tracing::info;

use crate::controller::{Act, Acting, Registration, Work};
use crate::kinds::secret::{ACCOUNT_NAME, ACCOUNT_TOKENS, ACCOUNT_UID};
use crate::kinds::{ConfigMap, Kind as _, Pod, Secret, ServiceAccount};
use crate::wiring::Wiring;

/// How often to look.
const PERIOD: Duration = Duration::from_secs(24 * 3600);
/// Where servers say since when they note uses.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
/// The labels of the day of the last use, and of the day of the mark, from which on the token is
/// refused.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Pods in one answer.
const PAGE: u32 = 500;

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "legacy-serviceaccount-token-cleaner-controller",
    alias: "legacy-service-account-token-cleaner",
    account: "legacy-service-account-token-cleaner",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let kept = wiring.options.legacy_service_account_token_clean_up_period;
        wiring.queue.add(Key::default());
        Some(Work::act(Cleaner {
            client: wiring.client.clone(),
            program: wiring.program(),
            secrets: wiring.read_part(ACCOUNT_TOKENS),
            accounts: wiring.read(),
            kept: SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX),
        }))
    },
};

struct Cleaner {
    client: Client,
    program: Client,
    secrets: Store<Secret>,
    accounts: Store<ServiceAccount>,
    kept: SignedDuration,
}

impl Act for Cleaner {
    fn act<'a>(&'a self, _: &'a Key) -> Acting<'a> {
        Box::pin(async move {
            self.clean(Timestamp::now()).await?;
            Ok(Outcome::Again(PERIOD))
        })
    }
}

impl Cleaner {
    async fn clean(&self, now: Timestamp) -> Result<(), Error> {
        let path = ConfigMap::RESOURCE.named("kube-system", TRACKING);
        let tracking: ConfigMap = match self.client.get(&path).await {
            Err(error) if error.is_not_found() => return Ok(()),
            tracking => tracking?,
        };
        let since = tracking
            .data
            .get("since")
            .and_then(|text| text.parse().ok());
        let Some(before) = since.and_then(|since| deadline(since, now, self.kept)) else {
            return Ok(());
        };
        let mut used: BTreeMap<Box<str>, BTreeSet<String>> = BTreeMap::new();
        for secret in self.secrets.all() {
            let verdict = judge(&secret, &self.accounts, before);
            if verdict == Verdict::Keep {
                continue;
            }
            let namespace = &secret.metadata.namespace;
            if !used.contains_key(namespace) {
                used.insert(namespace.clone(), self.used_by_pods(namespace).await?);
            }
            if !used[namespace].contains(secret.name()) {
                self.carry_out(&secret, verdict, now).await?;
            }
        }
        Ok(())
    }

    /// The Secrets that pods of a namespace name, wherever that is.
    async fn used_by_pods(&self, namespace: &str) -> Result<BTreeSet<String>, Error> {
        let mut used = BTreeSet::new();
        let mut options = ListOptions {
            limit: PAGE,
            ..ListOptions::default()
        };
        loop {
            let pods = Pod::RESOURCE.within(namespace);
            let page = self.program.list::<Value>(&pods, &options).await?;
            page.items
                .iter()
                .for_each(|pod| secrets_in(&pod["spec"], &mut used));
            options.continue_token = page.metadata.continue_token;
            if options.continue_token.is_empty() {
                return Ok(used);
            }
        }
    }

    async fn carry_out(
        &self,
        secret: &Secret,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<(), Error> {
        let path = Secret::RESOURCE.named(secret.namespace(), secret.name());
        let done = if verdict == Verdict::Mark {
            let labels = json!({INVALID_SINCE: day(now).to_string()});
            let patch =
                Patch::Merge(json!({"metadata": {"uid": secret.metadata.uid, "labels": labels}}));
            let options = WriteOptions::default();
            self.client
                .patch::<Value>(&path, &patch, &options)
                .await
                .map(drop)
        } else {
            let options = DeleteOptions {
                preconditions: Some(Preconditions {
                    uid: None,
                    resource_version: Some(secret.metadata.resource_version.to_string()),
                }),
                ..DeleteOptions::default()
            };
            self.client.delete(&path, &options).await
        };
        match done {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            Ok(()) => {
                info!(secret = %secret.key(), ?verdict, "a token that nobody used for long");
                Ok(())
            }
            failed => failed,
        }
    }
}

/// What becomes of a Secret, unless a pod uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Mark,
    Remove,
}

fn day(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// Since when a token must not have been used, if uses have been noted for that long.
fn deadline(since: Date, now: Timestamp, kept: SignedDuration) -> Option<Timestamp> {
    let noted = since.checked_add(1.day()).ok()?;
    let noted = noted.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let before = now.checked_sub(kept).ok()?;
    (noted <= before).then_some(before)
}

fn judge(secret: &Secret, accounts: &Store<ServiceAccount>, before: Timestamp) -> Verdict {
    let meta = &secret.metadata;
    let old = meta
        .creation_timestamp
        .is_some_and(|created| created < before);
    let last_day = day(before);
    let used = meta.labels.get(LAST_USED).map(|text| text.parse::<Date>());
    let unused = match used {
        None => true,
        Some(used) => used.is_ok_and(|used| used < last_day),
    };
    if !old || !unused || meta.is_leaving() || !is_named_by_account(secret, accounts) {
        return Verdict::Keep;
    }
    let marked = meta
        .labels
        .get(INVALID_SINCE)
        .map(|text| text.parse::<Date>());
    match marked {
        Some(Ok(marked)) if marked < last_day => Verdict::Remove,
        Some(Ok(_)) => Verdict::Keep,
        _ => Verdict::Mark,
    }
}

/// Whether its account names it: those that people made for themselves are not named.
fn is_named_by_account(secret: &Secret, accounts: &Store<ServiceAccount>) -> bool {
    let annotation = |key: &str| {
        secret
            .metadata
            .annotations
            .get(key)
            .map_or("", String::as_str)
    };
    let account = accounts.get(secret.namespace(), annotation(ACCOUNT_NAME));
    let uid = annotation(ACCOUNT_UID);
    account.is_some_and(|account| {
        let mut named = account.secrets.iter();
        (uid.is_empty() || *uid == *account.metadata.uid)
            && named.any(|named| named.name == secret.metadata.name)
    })
}

/// The names of Secrets in a pod's specification: of volumes, environments and registries.
fn secrets_in(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| secrets_in(one, names)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let all = value
                    .as_array()
                    .map_or(std::slice::from_ref(value), Vec::as_slice);
                match field.as_str() {
                    "secretName" => names.extend(value.as_str().map(str::to_owned)),
                    "imagePullSecrets"
                    | "secret"
                    | "secretRef"
                    | "secretKeyRef"
                    | "nodePublishSecretRef" => {
                        let named = all
                            .iter()
                            .flat_map(|one| [&one["name"], &one["secretName"]]);
                        names.extend(named.filter_map(|name| name.as_str().map(str::to_owned)));
                    }
                    _ => secrets_in(value, names),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
