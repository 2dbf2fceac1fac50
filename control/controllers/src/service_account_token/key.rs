//! Signs what tokens say, as JSON web tokens. Must not know what that is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::certificate::der::{INTEGER, Reader, SEQUENCE};
use crate::certificate::issue::read_key;

/// Why a key can't sign tokens.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no key in the file.
    #[error("--service-account-private-key-file holds no key that can sign: {0}")]
    Read(String),
    /// Tokens aren't signed with such keys.
    #[error(
        "--service-account-private-key-file holds a key of a kind that tokens are not signed \
         with: use RSA, P-256 or P-384"
    )]
    Kind,
    /// Signing failed.
    #[error("cannot sign a token: {0}")]
    Sign(rcgen::Error),
    /// A signature has another form than its algorithm says.
    #[error("cannot sign a token: the signature is malformed")]
    Form,
}

/// A key that signs tokens.
pub struct SigningKey {
    pair: KeyPair,
    algorithm: &'static str,
    id: String,
    /// Bytes of each half of a signature; 0 where it has no halves.
    half: usize,
}

impl SigningKey {
    /// Reads a key as PEM.
    ///
    /// # Errors
    /// There is none, or none of a kind that tokens are signed with.
    pub fn read(pem: &str) -> Result<Self, KeyError> {
        let pair = read_key(pem).map_err(KeyError::Read)?;
        let (algorithm, half) = match pair.algorithm() {
            kind if kind == &rcgen::PKCS_ECDSA_P256_SHA256 => ("ES256", 32),
            kind if kind == &rcgen::PKCS_ECDSA_P384_SHA384 => ("ES384", 48),
            kind if kind == &rcgen::PKCS_ED25519 => return Err(KeyError::Kind),
            _ => ("RS256", 0),
        };
        let hash = digest(&SHA256, &pair.subject_public_key_info());
        Ok(Self {
            pair,
            algorithm,
            id: URL_SAFE_NO_PAD.encode(hash),
            half,
        })
    }

    /// A token that says this.
    ///
    /// # Errors
    /// The key refuses.
    pub fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let header = json!({"alg": self.algorithm, "kid": self.id});
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(&header), text(claims));
        let mut signature = self.pair.sign(message.as_bytes()).map_err(KeyError::Sign)?;
        if self.half > 0 {
            signature = halves(&signature, self.half).ok_or(KeyError::Form)?;
        }
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Both numbers of a DER signature, each of this many bytes.
fn halves(der: &[u8], half: usize) -> Option<Vec<u8>> {
    let mut numbers = Reader::new(der).enter(SEQUENCE)?;
    let mut bytes = Vec::with_capacity(2 * half);
    for _ in 0..2 {
        let number = numbers.expect(INTEGER)?.content;
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = &number[zeros..];
        bytes.resize(bytes.len() + half.checked_sub(digits.len())?, 0);
        bytes.extend(digits);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rcgen::PublicKeyData as _;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey, VerificationAlgorithm,
    };
    use serde_json::{Value, json};

    use super::{SigningKey, halves};

    #[test]
    fn tokens_are_signed_for_those_who_know_the_key() {
        let check = |kind, algorithm: &str, verification: &'static dyn VerificationAlgorithm| {
            let pair = rcgen::KeyPair::generate_for(kind).unwrap();
            let key = SigningKey::read(&pair.serialize_pem()).unwrap();
            let token = key.sign(&json!({"sub": "me"})).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let (header, claims) = message.split_once('.').unwrap();
            let read = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
            let header: Value = serde_json::from_slice(&read(header)).unwrap();
            assert_eq!(header["alg"], algorithm);
            assert_eq!(header["kid"].as_str().unwrap().len(), 43);
            assert_eq!(read(claims), br#"{"sub":"me"}"#);
            let public = UnparsedPublicKey::new(verification, pair.der_bytes());
            public.verify(message.as_bytes(), &read(signature)).unwrap();
        };
        for _ in 0..20 {
            check(
                &rcgen::PKCS_ECDSA_P256_SHA256,
                "ES256",
                &ECDSA_P256_SHA256_FIXED,
            );
        }
        check(
            &rcgen::PKCS_ECDSA_P384_SHA384,
            "ES384",
            &ECDSA_P384_SHA384_FIXED,
        );
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(SigningKey::read(&other.serialize_pem()).is_err());
        assert!(SigningKey::read("").is_err());
    }

    #[test]
    fn numbers_are_as_long_as_the_curve() {
        let der = [0x30, 0x07, 0x02, 0x02, 0x00, 0x81, 0x02, 0x01, 0x07];
        assert_eq!(halves(&der, 2), Some(vec![0, 0x81, 0, 7]));
        assert_eq!(halves(&der, 0), None);
        assert_eq!(halves(&der[1..], 2), None);
    }
}
