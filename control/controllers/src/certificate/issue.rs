//! Makes a certificate out of a request, as bytes: names and keys are taken over as they were
//! written. Whether it is granted is decided elsewhere; nothing here knows a file or a clock.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::der::{self, BIT_STRING, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE};
use super::request::{ALTERNATIVE_NAMES, Request, RequestError, bits, block, extension};

/// 2.5.29.15, .19, .37, .35 and .14
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const SUBJECT_KEY: &[u8] = &[0x55, 0x1d, 0x0e];
/// 1.2.840.10045.2.1, and the curves P-256 and P-384
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.2.840.113549.1.1.1, and with SHA-256, -384 and -512
const RSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
/// 1.2.840.10045.4.3.2 and .3
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// 1.3.101.112
const EDWARDS: &[u8] = &[0x2b, 0x65, 0x70];
const NULL: &[u8] = &[0x05, 0x00];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// What keys are used for: name and bit.
const USAGES: [(&str, u8); 9] = [
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("signing", 0),
];
/// What keys are used for: name and the last number of 1.3.6.1.5.5.7.3.
const EXTENDED_USAGES: [(&str, u8); 7] = [
    ("server auth", 1),
    ("client auth", 2),
    ("code signing", 3),
    ("email protection", 4),
    ("s/mime", 4),
    ("timestamping", 8),
    ("ocsp signing", 9),
];

/// Why an authority can't sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate.
    #[error("--cluster-signing-cert-file holds no certificate")]
    Certificate,
    /// The key.
    #[error("--cluster-signing-key-file holds no key that can sign: {0}")]
    Key(String),
    /// The key belongs to another certificate.
    #[error("--cluster-signing-key-file is not the key of --cluster-signing-cert-file")]
    Pair,
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Sign(rcgen::Error),
}

/// Who signs.
pub struct Authority {
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    until: Timestamp,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The first moment.
    pub from: Timestamp,
    /// The last one; not after the authority's own.
    pub until: Timestamp,
}

impl Authority {
    /// An authority from its certificate and key, both as PEM.
    ///
    /// # Errors
    /// They can't be read, or don't belong together.
    pub fn read(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let der = block(certificate, "CERTIFICATE").ok_or(AuthorityError::Certificate)?;
        let (subject, until, public, key_id) = outline(&der).ok_or(AuthorityError::Certificate)?;
        let key = read_key(key).map_err(AuthorityError::Key)?;
        if bits_of_key(&public) != Some(key.der_bytes()) {
            return Err(AuthorityError::Pair);
        }
        Ok(Self {
            subject,
            key_id,
            until,
            key,
        })
    }

    /// A certificate for who asks, as PEM. `serial` must never be used twice.
    ///
    /// # Errors
    /// The key refuses.
    pub fn issue(
        &self,
        request: &Request,
        usages: &[Box<str>],
        validity: Validity,
        serial: [u8; 16],
    ) -> Result<String, AuthorityError> {
        let algorithm = signature_algorithm(&self.key);
        let mut serial = serial;
        serial[0] = (serial[0] & 0x7f) | 0x40;
        let version = der::element(VERSION, &[&der::element(INTEGER, &[&[2]])]);
        let times = [validity.from, validity.until.min(self.until)].map(time);
        let body = der::element(
            SEQUENCE,
            &[
                &version,
                &der::element(INTEGER, &[&serial]),
                &algorithm,
                &self.subject,
                &der::element(SEQUENCE, &[&times[0], &times[1]]),
                &request.subject_der,
                &request.key,
                &self.extensions(request, usages),
            ],
        );
        let signature = self.key.sign(&body).map_err(AuthorityError::Sign)?;
        let signature = der::element(BIT_STRING, &[&[0], &signature]);
        Ok(pem(&der::element(
            SEQUENCE,
            &[&body, &algorithm, &signature],
        )))
    }

    fn extensions(&self, request: &Request, usages: &[Box<str>]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |kind: &[u8], critical: &[u8], value: &[u8]| {
            let kind = der::element(OBJECT_ID, &[kind]);
            let value = der::element(OCTET_STRING, &[value]);
            all.extend(der::element(SEQUENCE, &[&kind, critical, &value]));
        };
        if let Some(bits) = key_usage(usages) {
            add(KEY_USAGE, TRUE, &bits);
        }
        let extended = extended_usage(usages);
        if !extended.is_empty() {
            add(
                EXTENDED_KEY_USAGE,
                &[],
                &der::element(SEQUENCE, &[&extended]),
            );
        }
        add(BASIC_CONSTRAINTS, TRUE, &der::element(SEQUENCE, &[]));
        if let Some(id) = &self.key_id {
            let id = der::element(0x80, &[id]);
            add(AUTHORITY_KEY, &[], &der::element(SEQUENCE, &[&id]));
        }
        if !request.names_der.is_empty() {
            // Without a subject the other names are all there is.
            let critical = if request.subject.is_empty() {
                TRUE
            } else {
                &[]
            };
            add(ALTERNATIVE_NAMES, critical, &request.names_der);
        }
        der::element(EXTENSIONS, &[&der::element(SEQUENCE, &[&all])])
    }
}

fn key_usage(usages: &[Box<str>]) -> Option<Vec<u8>> {
    let mut set = 0u8;
    for usage in usages {
        let known = USAGES.iter().find(|(name, _)| *name == &**usage);
        set |= known.map_or(0, |(_, bit)| 0x80 >> bit);
    }
    let unused = u8::try_from(set.trailing_zeros()).ok()?;
    (set != 0).then(|| der::element(BIT_STRING, &[&[unused, set]]))
}

fn extended_usage(usages: &[Box<str>]) -> Vec<u8> {
    let mut all = Vec::new();
    for usage in usages {
        if let Some((_, last)) = EXTENDED_USAGES.iter().find(|(name, _)| *name == &**usage) {
            let id = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, *last];
            all.extend(der::element(OBJECT_ID, &[&id]));
        }
    }
    all
}

/// Subject, end, public key and key identifier of a certificate.
type Outline = (Vec<u8>, Timestamp, Vec<u8>, Option<Vec<u8>>);

/// What is read of a certificate.
fn outline(der: &[u8]) -> Option<Outline> {
    let mut body = Reader::new(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
    let first = body.take()?;
    if first.tag == VERSION {
        body.expect(INTEGER)?;
    }
    body.expect(SEQUENCE)?;
    body.expect(SEQUENCE)?;
    let mut validity = body.enter(SEQUENCE)?;
    validity.take()?;
    let until = moment(validity.take()?)?;
    let subject = body.expect(SEQUENCE)?.whole.to_vec();
    let key = body.expect(SEQUENCE)?.whole.to_vec();
    let mut key_id = None;
    while !body.is_empty() {
        let element = body.take()?;
        if element.tag == EXTENSIONS {
            let extensions = Reader::new(element.content).enter(SEQUENCE)?;
            if let Some(content) = extension(extensions, SUBJECT_KEY)? {
                key_id = Some(Reader::new(content).expect(OCTET_STRING)?.content.to_vec());
            }
        }
    }
    Some((subject, until, key, key_id))
}

/// The bits of a public key, without its algorithm.
fn bits_of_key(key: &[u8]) -> Option<&[u8]> {
    let mut key = Reader::new(key).enter(SEQUENCE)?;
    key.expect(SEQUENCE)?;
    bits(key.expect(BIT_STRING)?.content)
}

fn moment(element: der::Element<'_>) -> Option<Timestamp> {
    let text = std::str::from_utf8(element.content)
        .ok()?
        .strip_suffix('Z')?;
    let text = match element.tag {
        UTC_TIME if text.starts_with(['5', '6', '7', '8', '9']) => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        _ => text.to_owned(),
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn time(at: Timestamp) -> Vec<u8> {
    let zoned = at.to_zoned(TimeZone::UTC);
    if zoned.year() < 2050 {
        let text = zoned.strftime("%y%m%d%H%M%SZ").to_string();
        der::element(UTC_TIME, &[text.as_bytes()])
    } else {
        let text = zoned.strftime("%Y%m%d%H%M%SZ").to_string();
        der::element(GENERALIZED_TIME, &[text.as_bytes()])
    }
}

fn signature_algorithm(key: &KeyPair) -> Vec<u8> {
    let algorithm = key.algorithm();
    let (id, parameters): (&[u8], &[u8]) = if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        (ECDSA_SHA256, &[])
    } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        (ECDSA_SHA384, &[])
    } else if algorithm == &rcgen::PKCS_ED25519 {
        (EDWARDS, &[])
    } else {
        (RSA_SHA256, NULL)
    };
    der::element(SEQUENCE, &[&der::element(OBJECT_ID, &[id]), parameters])
}

/// Reads a key as PEM: PKCS #8, or as RSA and EC keys were written before it.
///
/// # Errors
/// There is none, or it is broken.
pub fn read_key(pem: &str) -> Result<KeyPair, String> {
    let number = der::element(INTEGER, &[&[0]]);
    let wrapped = |algorithm: Vec<u8>, key: Vec<u8>| {
        der::element(
            SEQUENCE,
            &[&number, &algorithm, &der::element(OCTET_STRING, &[&key])],
        )
    };
    let of = |ids: &[&[u8]], more: &[u8]| {
        let ids: Vec<u8> = ids
            .iter()
            .flat_map(|id| der::element(OBJECT_ID, &[id]))
            .collect();
        der::element(SEQUENCE, &[&ids, more])
    };
    let key = if let Some(key) = block(pem, "PRIVATE KEY") {
        key
    } else if let Some(key) = block(pem, "RSA PRIVATE KEY") {
        wrapped(of(&[RSA_KEY], NULL), key)
    } else if let Some(key) = block(pem, "EC PRIVATE KEY") {
        let curve = if key.windows(P384.len()).any(|part| part == P384) {
            P384
        } else {
            P256
        };
        wrapped(of(&[EC_KEY, curve], &[]), key)
    } else {
        return Err("there is no PRIVATE KEY in it".to_owned());
    };
    KeyPair::try_from(key).map_err(|error| error.to_string())
}

/// Whether whoever made a request has its key.
///
/// # Errors
/// They do not, or the key is of a kind that nobody here signs.
pub fn verify(request: &Request) -> Result<(), RequestError> {
    let key = bits_of_key(&request.key).ok_or(RequestError::Key)?;
    let ids = ids_of_key(&request.key).ok_or(RequestError::Key)?;
    let signed = Reader::new(&request.algorithm).expect(OBJECT_ID);
    let signed = signed.ok_or(RequestError::Form)?.content;
    let algorithm: &dyn VerificationAlgorithm = match (ids, signed) {
        ((EC_KEY, Some(P256)), ECDSA_SHA256) => &ECDSA_P256_SHA256_ASN1,
        ((EC_KEY, Some(P384)), ECDSA_SHA384) => &ECDSA_P384_SHA384_ASN1,
        ((RSA_KEY, _), RSA_SHA256) => &RSA_PKCS1_2048_8192_SHA256,
        ((RSA_KEY, _), RSA_SHA384) => &RSA_PKCS1_2048_8192_SHA384,
        ((RSA_KEY, _), RSA_SHA512) => &RSA_PKCS1_2048_8192_SHA512,
        ((EDWARDS, _), EDWARDS) => &ED25519,
        _ => return Err(RequestError::Key),
    };
    UnparsedPublicKey::new(algorithm, key)
        .verify(&request.signed, &request.signature)
        .map_err(|_| RequestError::Signature)
}

/// The algorithm of a key, and its curve.
fn ids_of_key(key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut algorithm = Reader::new(key).enter(SEQUENCE)?.enter(SEQUENCE)?;
    let id = algorithm.expect(OBJECT_ID)?.content;
    let curve = algorithm.take().filter(|element| element.tag == OBJECT_ID);
    Some((id, curve.map(|element| element.content)))
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests;
