//! Makes keys and certificates, as PEM. Knows nothing of files.

use super::credentials::{AUTHORITY_LASTS, Authority, Credential, LASTS, Usage};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How far a clock of another machine may be behind ours.
const SKEW: u64 = 3600;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A key could not be made or read.
    #[error("the key of {name}: {source}")]
    Key {
        /// Whose.
        name: String,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// A certificate could not be signed.
    #[error("the certificate of {name}: {source}")]
    Sign {
        /// Whose.
        name: String,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// A name cannot be written into a certificate.
    #[error("the certificate of {name}: {host:?} cannot be a host's name: {source}")]
    Name {
        /// Whose.
        name: String,
        /// The name in question.
        host: String,
        /// What is wrong.
        source: rcgen::Error,
    },
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// One that can vouch for others.
pub struct Signer {
    issuer: Issuer<'static, KeyPair>,
    /// A digest of its certificate.
    pub digest: String,
}

/// Makes a new authority that lasts from `now` (seconds since 1970) on.
///
/// # Errors
/// When there is no key for it.
pub fn authority(which: Authority, now: u64) -> Result<Pair, IssueError> {
    let key = new_key(which.name())?;
    let mut params = authority_params(which);
    last(&mut params, now, AUTHORITY_LASTS);
    let certificate = params.self_signed(&key).map_err(sign_error(which.name()))?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn authority_params(which: Authority) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, which.name());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    params
}

impl Signer {
    /// The authority whose files hold `pair`.
    ///
    /// # Errors
    /// When its key cannot be read.
    pub fn new(which: Authority, pair: &Pair) -> Result<Self, IssueError> {
        let key = KeyPair::from_pem(&pair.key).map_err(|source| IssueError::Key {
            name: which.name().to_owned(),
            source,
        })?;
        Ok(Self {
            issuer: Issuer::new(authority_params(which), key),
            digest: hex::encode(Sha256::digest(pair.certificate.trim().as_bytes())),
        })
    }

    /// Issues a certificate, with a new key, at `now` (seconds since 1970).
    ///
    /// # Errors
    /// When there is no key, or a name cannot be in a certificate.
    pub fn issue(&self, wanted: &Credential, now: u64) -> Result<Pair, IssueError> {
        let key = new_key(&wanted.user)?;
        let mut params = leaf_params(wanted)?;
        last(&mut params, now, LASTS);
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(sign_error(&wanted.user))?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn leaf_params(wanted: &Credential) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    if let Some(group) = wanted.group {
        subject.push(DnType::OrganizationName, group);
    }
    subject.push(DnType::CommonName, wanted.user.as_str());
    params.distinguished_name = subject;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    match &wanted.usage {
        Usage::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Server { names, addresses } => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            for host in names {
                let name =
                    Ia5String::try_from(host.as_str()).map_err(|source| IssueError::Name {
                        name: wanted.user.clone(),
                        host: host.clone(),
                        source,
                    })?;
                params.subject_alt_names.push(SanType::DnsName(name));
            }
            let addresses = addresses.iter().copied().map(SanType::IpAddress);
            params.subject_alt_names.extend(addresses);
        }
    }
    Ok(params)
}

/// The key that tokens of service accounts are signed with, and its public half, as PEM.
///
/// # Errors
/// When there is no key.
pub fn token_key() -> Result<(String, String), IssueError> {
    let key = new_key("service accounts")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn new_key(name: &str) -> Result<KeyPair, IssueError> {
    KeyPair::generate().map_err(|source| IssueError::Key {
        name: name.to_owned(),
        source,
    })
}

fn sign_error(name: &str) -> impl FnOnce(rcgen::Error) -> IssueError {
    let name = name.to_owned();
    move |source| IssueError::Sign { name, source }
}

/// Has a certificate be good for so many seconds.
fn last(params: &mut CertificateParams, now: u64, seconds: u64) {
    let moment = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = moment(now.saturating_sub(SKEW));
    params.not_after = moment(now.saturating_add(seconds));
}

#[cfg(test)]
mod tests {
    use super::super::credentials::credentials;
    use super::super::example;
    use super::*;

    #[test]
    fn an_authority_is_the_same_after_it_was_read_from_its_files() {
        let pair = authority(Authority::Cluster, 1_800_000_000).unwrap();
        let (a, b) = (
            Signer::new(Authority::Cluster, &pair).unwrap(),
            Signer::new(Authority::Cluster, &pair).unwrap(),
        );
        assert_eq!(a.digest, b.digest);
        for wanted in credentials(&example()) {
            let issued = b.issue(&wanted, 1_800_000_000).unwrap();
            assert!(issued.certificate.contains("BEGIN CERTIFICATE"));
            assert!(issued.key.contains("PRIVATE KEY"), "{}", wanted.name);
        }
        let mut broken = pair;
        broken.key = "nonsense".to_owned();
        assert!(Signer::new(Authority::Cluster, &broken).is_err());
    }
}
