//! Asks the cluster for a certificate: a key is made, a CertificateSigningRequest created, and its
//! end waited for by a watch.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_client::cache::{Reflector, reflect};
use keelson_client::{Client, Error, Object, Resource, Store};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the cluster has to sign; then a new request is made.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The request can't be made.
    #[error("cannot make a certificate request for {name:?}: {source}")]
    Make {
        /// The name that was to be certified.
        name: String,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// The apiserver refuses or cannot be asked.
    #[error("certificate signing request: {0}")]
    Api(#[from] Error),
    /// Somebody said no.
    #[error("certificate signing request {request} is {verdict}: {message}")]
    Refused {
        /// The request's name.
        request: String,
        /// `Denied` or `Failed`.
        verdict: String,
        /// Why.
        message: String,
    },
    /// Nobody signed.
    #[error(
        "certificate signing request {request} was not signed within {}s: \
         approve it by `kubectl certificate approve {request}`",
        PATIENCE.as_secs()
    )]
    Late {
        /// The request's name.
        request: String,
    },
    /// What was signed is no certificate.
    #[error("certificate signing request {request}: the certificate cannot be read")]
    Unreadable {
        /// The request's name.
        request: String,
    },
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who is to sign.
    pub signer: &'static str,
    /// What the certificate is for, beside signatures.
    pub usage: &'static str,
    /// The node's name.
    pub node: String,
    /// The addresses that a server's certificate is for; a client's has none.
    pub addresses: Vec<IpAddr>,
}

impl Wish {
    /// A certificate by which the node tells the apiserver who it is.
    #[must_use]
    pub fn client(node: &str) -> Self {
        Self {
            signer: "kubernetes.io/kube-apiserver-client-kubelet",
            usage: "client auth",
            node: node.to_owned(),
            addresses: Vec::new(),
        }
    }

    /// A certificate for the node's server.
    #[must_use]
    pub fn server(node: &str, addresses: &[IpAddr]) -> Self {
        Self {
            signer: "kubernetes.io/kubelet-serving",
            usage: "server auth",
            node: node.to_owned(),
            addresses: addresses.to_vec(),
        }
    }

    /// The request in PEM, signed by the key.
    fn request(&self, key: &KeyPair) -> Result<String, rcgen::Error> {
        let mut names: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        if !names.is_empty() {
            names.insert(0, self.node.clone());
        }
        let mut params = CertificateParams::new(names)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "system:nodes");
        subject.push(DnType::CommonName, format!("system:node:{}", self.node));
        params.distinguished_name = subject;
        params.serialize_request(key)?.pem()
    }
}

/// What is read of a CertificateSigningRequest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Signing {
    metadata: SigningMeta,
    status: SigningStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SigningMeta {
    name: String,
    resource_version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SigningStatus {
    certificate: String,
    conditions: Vec<SigningCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SigningCondition {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl Object for Signing {
    fn namespace(&self) -> &'static str {
        ""
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Signing {
    /// The certificate in PEM, once there is a verdict.
    fn verdict(&self) -> Option<Result<String, EnrolError>> {
        let request = || self.metadata.name.clone();
        let mut conditions = self.status.conditions.iter();
        let refusal = conditions.find(|condition| matches!(&*condition.kind, "Denied" | "Failed"));
        if let Some(condition) = refusal {
            return Some(Err(EnrolError::Refused {
                request: request(),
                verdict: condition.kind.to_lowercase(),
                message: condition.message.clone(),
            }));
        }
        if self.status.certificate.is_empty() {
            return None;
        }
        let decoded = STANDARD.decode(&self.status.certificate).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        Some(text.ok_or_else(|| EnrolError::Unreadable { request: request() }))
    }
}

/// Asks for a certificate and waits for it: certificate and key, one after the other in PEM.
///
/// # Errors
/// Nobody signs it.
pub async fn enrol(client: &Client, wish: &Wish) -> Result<String, EnrolError> {
    let made = |source| EnrolError::Make {
        name: wish.node.clone(),
        source,
    };
    let key = KeyPair::generate().map_err(made)?;
    let request = wish.request(&key).map_err(made)?;
    let requests = Resource::fixed(
        "certificates.k8s.io",
        "v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        false,
    );
    let asked = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": wish.signer,
            "usages": ["digital signature", wish.usage],
        },
    });
    let created: Signing = client.create(&requests.all(), &asked).await?;
    let name = created.metadata.name;
    tracing::info!(
        request = name,
        signer = wish.signer,
        "asked for a certificate"
    );
    let reflector = Reflector::new(client.clone(), requests.all());
    let reflector = reflector.fields(&format!("metadata.name={name}"));
    let signed = timeout(PATIENCE, verdict(reflector, &name)).await;
    let certificate = signed.map_err(|_| EnrolError::Late { request: name })??;
    Ok(format!(
        "{}\n{}",
        certificate.trim_end(),
        key.serialize_pem()
    ))
}

async fn verdict(reflector: Reflector, name: &str) -> Result<String, EnrolError> {
    let (store, writer) = Store::<Signing>::new(Vec::new());
    let mut revision = store.revision();
    let waiting = async {
        loop {
            revision.mark_unchanged();
            if let Some(verdict) = store.get("", name).and_then(|signing| signing.verdict()) {
                return verdict;
            }
            if revision.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = reflect(reflector, writer, CancellationToken::new()) => std::future::pending().await,
        verdict = waiting => verdict,
    }
}
