//! Requests for certificates.

use std::collections::BTreeMap;

use keelson_client::Resource;
use serde::{Deserialize, Serialize};

use super::{Condition, Meta, condition, kind};

/// A CertificateSigningRequest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CertificateRequest {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: CertificateRequestSpec,
    /// `status`.
    pub status: CertificateRequestStatus,
}

kind!(
    CertificateRequest,
    Resource::fixed(
        "certificates.k8s.io",
        "v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        false
    )
);

/// `spec` of a request.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificateRequestSpec {
    /// The request itself: PEM, in base64.
    pub request: Box<str>,
    /// Who is to sign.
    pub signer_name: Box<str>,
    /// How long the certificate is to last, in seconds.
    pub expiration_seconds: Option<i32>,
    /// What the key is to be used for.
    pub usages: Vec<Box<str>>,
    /// Who asks.
    pub username: Box<str>,
    /// Their uid.
    pub uid: Box<str>,
    /// Their groups.
    pub groups: Vec<Box<str>>,
    /// More about them.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// `status` of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CertificateRequestStatus {
    /// `Approved`, `Denied`, `Failed`.
    pub conditions: Vec<Condition>,
    /// The certificate: PEM, in base64.
    pub certificate: Box<str>,
}

impl CertificateRequest {
    /// Whether it has a condition of this type that holds.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        condition::find(&self.status.conditions, kind).is_some_and(Condition::holds)
    }
}
