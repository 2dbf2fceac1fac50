//! The digest that stands for an authority: of its public key, as kubeadm writes it. Pure.

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The only kind of digest there is.
const KIND: &str = "sha256:";

/// SHA-256 of the public key (the whole `SubjectPublicKeyInfo`) of an authority's certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CaHash([u8; 32]);

/// The text is no such digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no digest of an authority: it is sha256: and 64 hexadecimal digits, as `keelson token create --print-join-command` prints it"
)]
pub struct HashError(String);

impl CaHash {
    /// The digest of a certificate's public key; nothing where it is no certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let digest = Sha256::digest(parsed.subject_public_key_info());
        Some(Self(digest.into()))
    }
}

impl fmt::Display for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CaHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let refused = || HashError(text.to_owned());
        let digits = text.trim().to_lowercase();
        let digits = digits.strip_prefix(KIND).ok_or_else(refused)?;
        let bytes = hex::decode(digits).map_err(|_| refused())?;
        let bytes = bytes.try_into().map_err(|_| refused())?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::credentials::Authority;
    use crate::cluster::issue::authority;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_digest_is_of_the_key_alone_and_reads_back() {
        let pair = authority(Authority::Cluster, 1_800_000_000).unwrap();
        let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let hash = CaHash::of(&der).unwrap();
        let key = rcgen::KeyPair::from_pem(&pair.key).unwrap();
        let expected = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key));
        assert_eq!(hash, CaHash(expected.into()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        assert_eq!(CaHash::of(&CertificateDer::from(&b"nonsense"[..])), None);
    }

    #[test]
    fn what_is_no_digest_is_refused_with_what_one_looks_like() {
        for text in ["", "abc", "sha256:", "sha256:12", "sha1:0000"] {
            let told = text.parse::<CaHash>().unwrap_err().to_string();
            assert!(told.contains("64 hexadecimal digits"), "{told}");
        }
    }
}
