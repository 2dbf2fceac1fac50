//! Keys that tokens are signed and checked with: RSA (RS256) and elliptic curves (ES256, ES384).
//!
//! Reads PEM in the forms that people have: PKCS #1, PKCS #8 and SEC 1 for private keys, SPKI and
//! certificates for public ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::{Value, json};

use crate::der::{self, BIT_STRING, INTEGER, Malformed, OCTET_STRING, OID, Reader, SEQUENCE};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// Why a text holds no key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// There is no PEM block of a key in it.
    #[error("no PEM block with a key or certificate found")]
    NoKey,
    /// There is no private key in it.
    #[error("no PEM block with a private key found")]
    NoPrivateKey,
    /// The key is broken.
    #[error("the key is malformed: {0}")]
    Broken(String),
    /// The key is of a kind that tokens cannot be signed with here.
    #[error("this kind of key is not supported: use RSA of 2048 to 8192 bits, P-256 or P-384")]
    NotSupported,
}

impl From<Malformed> for KeyError {
    fn from(error: Malformed) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Es256,
    Es384,
    Rs256,
}

impl Algorithm {
    /// As the header of a token names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// A key that tokens are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    /// Named in tokens: a hash of the key.
    pub(crate) id: String,
    /// PKCS #1 for RSA, the uncompressed point for curves.
    bytes: Vec<u8>,
}

impl PublicKey {
    fn new(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let hash = digest(&SHA256, &spki(algorithm, bytes));
        Self {
            algorithm,
            id: URL_SAFE_NO_PAD.encode(hash),
            bytes: bytes.to_vec(),
        }
    }

    /// All keys in a text; private ones count for their public half.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Vec<Self>, KeyError> {
        let mut found = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|error| KeyError::Broken(error.to_string()))?;
            match kind {
                SectionKind::PublicKey => found.push(Self::from_spki(&mut Reader::new(&der))?),
                SectionKind::Certificate => found.push(Self::from_certificate(&der)?),
                SectionKind::RsaPrivateKey
                | SectionKind::PrivateKey
                | SectionKind::EcPrivateKey => {
                    found.push(SigningKey::from_section(kind, &der)?.public);
                }
                _ => {}
            }
        }
        if found.is_empty() {
            return Err(KeyError::NoKey);
        }
        Ok(found)
    }

    fn from_spki(reader: &mut Reader<'_>) -> Result<Self, KeyError> {
        let mut spki = reader.enter(SEQUENCE)?;
        let mut kind = spki.enter(SEQUENCE)?;
        let (kind, curve) = (
            kind.expect(OID)?,
            kind.next().map(|(_, content)| content).ok(),
        );
        let bits = spki.expect(BIT_STRING)?.get(1..).ok_or(Malformed)?;
        match (kind, curve) {
            (RSA, _) => Ok(Self::new(Algorithm::Rs256, bits)),
            (EC, Some(P256)) => Ok(Self::new(Algorithm::Es256, bits)),
            (EC, Some(P384)) => Ok(Self::new(Algorithm::Es384, bits)),
            _ => Err(KeyError::NotSupported),
        }
    }

    fn from_certificate(der: &[u8]) -> Result<Self, KeyError> {
        const VERSION: u8 = 0xa0;
        let mut fields = Reader::new(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
        let mut ahead = fields;
        if ahead.next()?.0 == VERSION {
            fields = ahead;
        }
        for _ in ["serial", "signature", "issuer", "validity", "subject"] {
            fields.next()?;
        }
        Self::from_spki(&mut fields)
    }

    /// Whether the signature is this key's.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(self.algorithm.verification(), &self.bytes);
        key.verify(message, signature).is_ok()
    }

    /// As a JSON web key.
    pub(crate) fn to_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut key = json!({"use": "sig", "kid": self.id, "alg": self.algorithm.as_str()});
        let curve = match self.algorithm {
            Algorithm::Rs256 => {
                let (n, e) = self.rsa_numbers().unwrap_or_default();
                key["kty"] = json!("RSA");
                key["n"] = json!(text(n));
                key["e"] = json!(text(e));
                return key;
            }
            Algorithm::Es256 => "P-256",
            Algorithm::Es384 => "P-384",
        };
        let point = self.bytes.get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        key["kty"] = json!("EC");
        key["crv"] = json!(curve);
        key["x"] = json!(text(x));
        key["y"] = json!(text(y));
        key
    }

    /// Modulus and exponent, without leading zeros.
    fn rsa_numbers(&self) -> Option<(&[u8], &[u8])> {
        fn trimmed(digits: &[u8]) -> &[u8] {
            let zeros = digits.iter().take_while(|digit| **digit == 0).count();
            &digits[zeros..]
        }
        let mut key = Reader::new(&self.bytes).enter(SEQUENCE).ok()?;
        let (n, e) = (key.expect(INTEGER).ok()?, key.expect(INTEGER).ok()?);
        Some((trimmed(n), trimmed(e)))
    }
}

/// The public key in the form whose hash names it.
fn spki(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
    let kind = match algorithm {
        Algorithm::Rs256 => [der::element(OID, RSA), der::element(der::NULL, &[])],
        Algorithm::Es256 => [der::element(OID, EC), der::element(OID, P256)],
        Algorithm::Es384 => [der::element(OID, EC), der::element(OID, P384)],
    };
    let bits = [&[0], bytes].concat();
    der::sequence(&[der::sequence(&kind), der::element(BIT_STRING, &bits)])
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

/// A key that tokens are signed with.
pub(crate) struct SigningKey {
    pair: Pair,
    pub(crate) public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SigningKey")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The first private key in a text.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|error| KeyError::Broken(error.to_string()))?;
            if matches!(
                kind,
                SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey
            ) {
                return Self::from_section(kind, &der);
            }
        }
        Err(KeyError::NoPrivateKey)
    }

    fn from_section(kind: SectionKind, der: &[u8]) -> Result<Self, KeyError> {
        let broken = |error: ring::error::KeyRejected| KeyError::Broken(error.to_string());
        match kind {
            SectionKind::RsaPrivateKey => Ok(Self::rsa(RsaKeyPair::from_der(der).map_err(broken)?)),
            SectionKind::EcPrivateKey => {
                let curve = curve_of_sec1(der).unwrap_or(P256);
                Self::ec(curve, &pkcs8_of_sec1(der, curve))
            }
            _ => {
                let mut fields = Reader::new(der).enter(SEQUENCE)?;
                fields.expect(INTEGER)?;
                let mut kind = fields.enter(SEQUENCE)?;
                match kind.expect(OID)? {
                    RSA => Ok(Self::rsa(RsaKeyPair::from_pkcs8(der).map_err(broken)?)),
                    EC => Self::ec(kind.expect(OID)?, der),
                    _ => Err(KeyError::NotSupported),
                }
            }
        }
    }

    fn rsa(pair: RsaKeyPair) -> Self {
        let public = PublicKey::new(Algorithm::Rs256, pair.public_key().as_ref());
        Self {
            pair: Pair::Rsa(Box::new(pair)),
            public,
        }
    }

    fn ec(curve: &[u8], pkcs8: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, signing): (_, &'static EcdsaSigningAlgorithm) = match curve {
            P256 => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            P384 => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => return Err(KeyError::NotSupported),
        };
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8, &SystemRandom::new())
            .map_err(|error| KeyError::Broken(error.to_string()))?;
        let public = PublicKey::new(algorithm, pair.public_key().as_ref());
        Ok(Self {
            pair: Pair::Ec(Box::new(pair)),
            public,
        })
    }

    /// Signs what a token says, as a JSON web token.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, ring::error::Unspecified> {
        let header = json!({"alg": self.public.algorithm.as_str(), "kid": self.public.id});
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(&header), text(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    message.as_bytes(),
                    &mut signature,
                )?;
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message.as_bytes())?.as_ref().to_vec(),
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The curve that a SEC 1 key names in its parameters.
fn curve_of_sec1(der: &[u8]) -> Option<&[u8]> {
    const PARAMETERS: u8 = 0xa0;
    let mut fields = Reader::new(der).enter(SEQUENCE).ok()?;
    fields.expect(INTEGER).ok()?;
    fields.expect(OCTET_STRING).ok()?;
    fields.enter(PARAMETERS).ok()?.expect(OID).ok()
}

fn pkcs8_of_sec1(sec1: &[u8], curve: &[u8]) -> Vec<u8> {
    let kind = der::sequence(&[der::element(OID, EC), der::element(OID, curve)]);
    der::sequence(&[der::unsigned(&[0]), kind, der::element(OCTET_STRING, sec1)])
}
