//! Each controller acts as a service account of `kube-system`, which is what upstream's roles are
//! bound to. Keeps a token for each fresh. Without `--use-service-account-credentials` all act as
//! the program itself.

use std::time::Duration;

use jiff::Timestamp;
use keelson_client::backoff::Backoff;
use keelson_client::client::Bearer;
use keelson_client::kubeconfig::{Config, Identity, KubeconfigError};
use keelson_client::{Client, Error, Resource};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::options::Options;

const NAMESPACE: &str = "kube-system";
const ACCOUNTS: Resource = Resource::fixed("", "v1", "serviceaccounts", "ServiceAccount", true);
/// How long a token is asked for, in seconds.
const LIFE: u32 = 3600;
/// A token is asked for anew when this share of its life is over.
const FRESH: f64 = 0.8;
const RETRY: Backoff = Backoff {
    base: Duration::from_millis(500),
    most: Duration::from_secs(30),
};

/// Makes clients for controllers.
#[derive(Debug)]
pub struct Accounts {
    client: Client,
    /// A client without credentials, which tokens are added to. `None`: all are the program.
    nobody: Option<Client>,
}

/// A controller's way to the server.
#[derive(Debug)]
pub struct Account {
    /// The client.
    pub client: Client,
    ready: watch::Receiver<bool>,
}

impl Account {
    /// Waits until requests carry a token.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ready = self.ready.clone();
        async move {
            // Ends also when whoever fetches tokens has ended, as it does at the end.
            let _ = ready.wait_for(|ready| *ready).await;
        }
    }
}

#[derive(Debug, Deserialize)]
struct Granted {
    status: GrantedStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantedStatus {
    token: String,
    expiration_timestamp: Timestamp,
}

impl Accounts {
    /// Reads what connections without credentials need.
    ///
    /// # Errors
    /// The CA cannot be used.
    pub fn new(
        options: &Options,
        config: &Config,
        client: &Client,
    ) -> Result<Self, KubeconfigError> {
        let bare = Config {
            certificate: None,
            identity: Identity::None,
            ..config.clone()
        };
        let apart = options.use_service_account_credentials;
        let nobody = apart.then(|| Client::new(&bare, "kube-controller-manager"));
        Ok(Self {
            client: client.clone(),
            nobody: nobody.transpose()?,
        })
    }

    /// The account of this name (the program itself if it is empty), and the task that keeps its token fresh.
    pub fn account(
        &self,
        name: &'static str,
        stop: &CancellationToken,
    ) -> (Account, impl Future<Output = ()> + Send + use<>) {
        let bearer = Bearer::default();
        let apart = self.nobody.as_ref().filter(|_| !name.is_empty());
        let client = apart.map(|nobody| nobody.acting_as(&bearer));
        let (told, ready) = watch::channel(client.is_none());
        let apart = client.is_some();
        let (asked, stop) = (self.client.clone(), stop.clone());
        let task = async move {
            if apart {
                stop.run_until_cancelled(keep_fresh(&asked, name, &bearer, &told))
                    .await;
            }
        };
        let client = client.unwrap_or_else(|| self.client.clone());
        (Account { client, ready }, task)
    }
}

async fn keep_fresh(client: &Client, name: &str, bearer: &Bearer, ready: &watch::Sender<bool>) {
    let mut failures = 0;
    loop {
        match token(client, name).await {
            Ok(granted) => {
                failures = 0;
                bearer.set(&granted.token);
                ready.send_replace(true);
                let left = granted
                    .expiration_timestamp
                    .duration_since(Timestamp::now());
                let left = Duration::try_from(left).unwrap_or_default();
                sleep(left.mul_f64(FRESH).max(RETRY.most)).await;
            }
            Err(error) => {
                warn!(account = name, %error, "no token for a controller, it waits");
                sleep(RETRY.after(failures)).await;
                failures += 1;
            }
        }
    }
}

/// A token; the account is made if it is not there.
async fn token(client: &Client, name: &str) -> Result<GrantedStatus, Error> {
    let path = ACCOUNTS.named(NAMESPACE, name).subresource("token");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": LIFE},
    });
    match client.create::<_, Granted>(&path, &request).await {
        Err(error) if error.is_not_found() => {}
        outcome => return outcome.map(|granted| granted.status),
    }
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": NAMESPACE},
    });
    let accounts = ACCOUNTS.within(NAMESPACE);
    match client.create::<_, Value>(&accounts, &account).await {
        Err(error) if !error.is_already_exists() => return Err(error),
        _ => {}
    }
    let granted: Granted = client.create(&path, &request).await?;
    Ok(granted.status)
}
