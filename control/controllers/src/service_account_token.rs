//! Fills Secrets of the type `kubernetes.io/service-account-token` with a token of the account that
//! they name, which does not end before they do, and removes them with that account. The key is
//! the Secret. [`lacks`] and [`claims`] decide (pure); what caches lack is asked for, since a
//! Secret may be seen before the account it was made for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_client::cache::{Change, Key};
use keelson_client::request::{DeleteOptions, Preconditions};
use keelson_client::runner::Outcome;
use keelson_client::{Client, Error, Object as _, Store};
use serde_json::{Value, json};
use tracing::error;

use crate::controller::{Act, ActError, Acting, Registration, Work};
use crate::kinds::secret::{ACCOUNT, ACCOUNT_NAME, ACCOUNT_TOKENS, ACCOUNT_UID};
use crate::kinds::service_account::SECRET;
use crate::kinds::{Kind as _, Secret, ServiceAccount};
use crate::material;
use crate::wiring::Wiring;

pub mod key;

use key::SigningKey;

/// The registry's line. It acts as the program itself: accounts don't give rights over all Secrets.
pub const REGISTRATION: Registration = Registration {
    name: "serviceaccount-token-controller",
    alias: "serviceaccount-token",
    account: "",
    by_default: true,
    at_once: 5,
    build: |wiring: &mut Wiring<'_>| {
        let pem = material::account_key(wiring.options)?;
        let key = match SigningKey::read(&pem) {
            Ok(key) => key,
            Err(error) => {
                error!(%error, "Secrets are given no tokens");
                return None;
            }
        };
        let secrets = wiring.watch_part(ACCOUNT_TOKENS, |change: &Change<Secret>, keys| {
            keys.push(change.latest().key());
        });
        let known = secrets.clone();
        let accounts = wiring.watch(move |change: &Change<ServiceAccount>, keys| {
            let account = change.latest();
            let word = format!("{}/{}", account.namespace(), account.name());
            keys.extend(
                known
                    .by_index(ACCOUNT, &word)
                    .iter()
                    .map(|secret| secret.key()),
            );
        });
        Some(Work::act(Tokens {
            client: wiring.client.clone(),
            secrets,
            accounts,
            key,
            ca: material::root_ca(wiring.options),
        }))
    },
};

struct Tokens {
    client: Client,
    secrets: Store<Secret>,
    accounts: Store<ServiceAccount>,
    key: SigningKey,
    ca: Option<String>,
}

impl Act for Tokens {
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a> {
        Box::pin(self.work(key))
    }
}

impl Tokens {
    async fn work(&self, key: &Key) -> Result<Outcome, ActError> {
        let Some(secret) = self.secrets.find(key) else {
            return self.forget(key).await;
        };
        match self.account(&secret).await? {
            None => self.remove(&secret).await,
            Some(account) => self.fill(&secret, &account).await,
        }
    }

    /// The account that a Secret is for; asked for if the cache doesn't show it.
    async fn account(&self, secret: &Secret) -> Result<Option<ServiceAccount>, Error> {
        let (namespace, name) = (secret.namespace(), account_name(secret));
        let known = self.accounts.get(namespace, name);
        if let Some(account) = known.filter(|account| is_of(secret, account)) {
            return Ok(Some((*account).clone()));
        }
        if name.is_empty() {
            return Ok(None);
        }
        let path = ServiceAccount::RESOURCE.named(namespace, name);
        match self.client.get::<ServiceAccount>(&path).await {
            Err(error) if error.is_not_found() => Ok(None),
            account => Ok(Some(account?).filter(|account| is_of(secret, account))),
        }
    }

    async fn remove(&self, secret: &Secret) -> Result<Outcome, ActError> {
        let options = DeleteOptions {
            preconditions: Some(Preconditions {
                uid: Some(secret.metadata.uid.to_string()),
                resource_version: None,
            }),
            ..DeleteOptions::default()
        };
        let path = Secret::RESOURCE.named(secret.namespace(), secret.name());
        settled(self.client.delete(&path, &options).await)
    }

    async fn fill(&self, secret: &Secret, account: &ServiceAccount) -> Result<Outcome, ActError> {
        let lacks = lacks(secret, self.ca.as_deref());
        if secret.metadata.is_leaving() || lacks == Lacks::default() {
            return Ok(Outcome::Settled);
        }
        let path = Secret::RESOURCE.named(secret.namespace(), secret.name());
        let mut object: Value = match self.client.get(&path).await {
            Err(error) if error.is_not_found() => return Ok(Outcome::Settled),
            object => object?,
        };
        if object["metadata"]["resourceVersion"] != *secret.metadata.resource_version {
            // What is newer comes by the watch.
            return Ok(Outcome::Settled);
        }
        let annotations = &mut object["metadata"]["annotations"];
        annotations[ACCOUNT_NAME] = json!(account.metadata.name);
        annotations[ACCOUNT_UID] = json!(account.metadata.uid);
        let data = &mut object["data"];
        if let Some(ca) = self.ca.as_ref().filter(|_| lacks.ca) {
            data["ca.crt"] = json!(STANDARD.encode(ca));
        }
        if lacks.namespace {
            data["namespace"] = json!(STANDARD.encode(secret.namespace()));
        }
        if lacks.token {
            let token = self.key.sign(&claims(secret, account))?;
            data["token"] = json!(STANDARD.encode(token));
        }
        settled(self.client.update::<_, Value>(&path, &object).await)
    }

    /// Takes a Secret that is gone out of the accounts that name it.
    async fn forget(&self, key: &Key) -> Result<Outcome, ActError> {
        for account in self.accounts.by_index(SECRET, &key.to_string()) {
            let path = ServiceAccount::RESOURCE.named(&key.namespace, account.name());
            let mut object: Value = match self.client.get(&path).await {
                Err(error) if error.is_not_found() => continue,
                object => object?,
            };
            if let Some(secrets) = object["secrets"].as_array_mut() {
                secrets.retain(|secret| secret["name"] != *key.name);
            }
            if let Outcome::Later = settled(self.client.update::<_, Value>(&path, &object).await)? {
                return Ok(Outcome::Later);
            }
        }
        Ok(Outcome::Settled)
    }
}

/// Somebody else's change is no failure: it is seen, or there is nothing to do any more.
fn settled<T>(written: Result<T, Error>) -> Result<Outcome, ActError> {
    match written {
        Err(error) if error.is_not_found() => Ok(Outcome::Settled),
        Err(error) if error.is_conflict() => Ok(Outcome::Later),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(Outcome::Settled),
    }
}

fn account_name(secret: &Secret) -> &str {
    let name = secret.metadata.annotations.get(ACCOUNT_NAME);
    name.map_or("", String::as_str)
}

/// Whether a Secret is for this account, and not for another one that had its name.
fn is_of(secret: &Secret, account: &ServiceAccount) -> bool {
    let uid = secret.metadata.annotations.get(ACCOUNT_UID);
    uid.is_none_or(|uid| uid.is_empty() || **uid == *account.metadata.uid)
}

/// What a Secret should hold and does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lacks {
    ca: bool,
    namespace: bool,
    token: bool,
}

fn lacks(secret: &Secret, ca: Option<&str>) -> Lacks {
    let empty = |key: &str| secret.data.get(key).is_none_or(String::is_empty);
    Lacks {
        ca: ca.is_some_and(|ca| secret.text("ca.crt") != ca),
        namespace: empty("namespace"),
        token: empty("token"),
    }
}

/// What the token says: it is good while the Secret holds it.
fn claims(secret: &Secret, account: &ServiceAccount) -> Value {
    let (namespace, name) = (&account.metadata.namespace, &account.metadata.name);
    json!({
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret.metadata.name,
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": account.metadata.uid,
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::{Lacks, claims, is_of, lacks};
    use crate::given;
    use crate::kinds::{Secret, ServiceAccount};

    fn secret(annotations: Value, data: &[(&str, &str)]) -> Secret {
        let data = data
            .iter()
            .map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into()));
        let data: serde_json::Map<String, Value> = data.collect();
        given::read(json!({"data": data,
            "metadata": {"name": "token", "namespace": "a", "annotations": annotations}}))
    }

    #[test]
    fn what_is_missing_or_old_is_filled_in() {
        let check = |data: &[(&str, &str)], ca: Option<&str>, expected: [bool; 3]| {
            let [ca_lacks, namespace, token] = expected;
            let expected = Lacks {
                ca: ca_lacks,
                namespace,
                token,
            };
            assert_eq!(lacks(&secret(json!({}), data), ca), expected, "{data:?}");
        };
        check(&[], Some("CA"), [true, true, true]);
        check(&[], None, [false, true, true]);
        check(
            &[("ca.crt", "OLD"), ("token", "t"), ("namespace", "a")],
            Some("CA"),
            [true, false, false],
        );
        check(
            &[("ca.crt", "CA"), ("token", "t"), ("namespace", "a")],
            Some("CA"),
            [false; 3],
        );
        check(
            &[("ca.crt", "CA"), ("token", ""), ("namespace", "a")],
            Some("CA"),
            [false, false, true],
        );
    }

    #[test]
    fn a_secret_is_of_one_account() {
        let account: ServiceAccount =
            given::read(json!({"metadata": {"name": "builder", "namespace": "a", "uid": "u"}}));
        let check = |annotations: Value, expected: bool| {
            assert_eq!(is_of(&secret(annotations, &[]), &account), expected);
        };
        check(json!({}), true);
        check(json!({"kubernetes.io/service-account.uid": "u"}), true);
        check(json!({"kubernetes.io/service-account.uid": "v"}), false);
        let claims = claims(&secret(json!({}), &[]), &account);
        assert_eq!(claims["sub"], "system:serviceaccount:a:builder");
        assert_eq!(claims["kubernetes.io/serviceaccount/secret.name"], "token");
    }
}
