//! Who vouches for clients of a site: a file, or what the cluster says in its ConfigMap
//! `extension-apiserver-authentication`. Both are looked at when a certificate is shown, so that a
//! new authority counts at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use keelson_api::certificate_subject::Subject;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::{Object, Reflector, Store, reflect};
use crate::client::Client;
use crate::path::Resource;
use crate::review::User;

const MAPS: Resource = Resource::fixed("", "v1", "configmaps", "ConfigMap", true);
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const FIELD: &str = "client-ca-file";

/// Where the authority's certificates are.
#[derive(Debug)]
pub enum Authority {
    /// Nowhere: certificates prove nothing.
    None,
    /// In a file, PEM.
    File(PathBuf),
    /// In the cluster.
    Cluster(Store<AuthorityMap>),
}

/// The ConfigMap, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuthorityMap {
    metadata: MapMeta,
    data: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MapMeta {
    name: String,
    namespace: String,
    resource_version: String,
}

impl Object for AuthorityMap {
    fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Authority {
    /// What the cluster says, followed until the token is cancelled.
    #[must_use]
    pub fn of_cluster(client: &Client, tasks: &mut JoinSet<()>, stop: CancellationToken) -> Self {
        let (store, writer) = Store::new(Vec::new());
        let path = MAPS.within(NAMESPACE);
        let reflector =
            Reflector::new(client.clone(), path).fields(&format!("metadata.name={NAME}"));
        tasks.spawn(reflect(reflector, writer, stop));
        Self::Cluster(store)
    }

    fn pem(&self) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::File(path) => match std::fs::read(path) {
                Ok(text) => Some(text),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot read the client CA");
                    None
                }
            },
            Self::Cluster(store) => {
                let map = store.get(NAMESPACE, NAME)?;
                map.data.get(FIELD).map(|text| text.clone().into_bytes())
            }
        }
    }

    /// Whom the certificates that a client shows, its own first, are of.
    #[must_use]
    pub fn user_of(&self, shown: &[CertificateDer<'_>]) -> Option<User> {
        let (own, between) = shown.split_first()?;
        let mut roots = RootCertStore::empty();
        let pem = self.pem()?;
        for root in CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok) {
            // One that can't be used vouches for nobody.
            let _ = roots.add(root);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = builder.build().ok()?;
        let verified = verifier.verify_client_cert(own, between, UnixTime::now());
        verified.ok()?;
        let subject = Subject::of(own)?;
        let user = User {
            name: subject.common_name.filter(|name| !name.is_empty())?,
            groups: subject.organizations,
            ..User::default()
        };
        Some(user.authenticated())
    }
}
