//! Reads what a request for a certificate asks for. Whether it is granted is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::der::{BIT_STRING, INTEGER, OBJECT_ID, OCTET_STRING, Reader, SEQUENCE, SET};

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.4.10
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// 1.2.840.113549.1.9.14
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// The extension with other names: 2.5.29.17
pub const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Attributes of a request.
const ATTRIBUTES: u8 = 0xa0;

/// Why a request can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not PEM in base64.
    #[error("spec.request is not a PEM block of type CERTIFICATE REQUEST")]
    Pem,
    /// The block has something else in it.
    #[error("spec.request is not a PKCS #10 request")]
    Form,
    /// Its key is of a kind that nobody here signs.
    #[error("the request's key is neither RSA, ECDSA (P-256, P-384) nor Ed25519")]
    Key,
    /// Whoever made it does not have the key.
    #[error("the request's signature does not fit its key")]
    Signature,
}

/// An attribute of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type as DER has it.
    pub kind: Vec<u8>,
    /// The type of string.
    pub tag: u8,
    /// The string.
    pub value: Vec<u8>,
}

impl Attribute {
    /// The string, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// Another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A host's name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An address for mail.
    Mail(String),
    /// A URI.
    Uri(String),
    /// Anything else.
    Other,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Who it is for.
    pub subject: Vec<Attribute>,
    /// The same as DER has it.
    pub subject_der: Vec<u8>,
    /// Their other names.
    pub names: Vec<Name>,
    /// The same as DER has it; empty without any.
    pub names_der: Vec<u8>,
    /// The public key with its algorithm (`SubjectPublicKeyInfo`).
    pub key: Vec<u8>,
    /// What was signed by whom asks.
    pub signed: Vec<u8>,
    /// The algorithm of the signature, as DER has it.
    pub algorithm: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Request {
    /// Reads `spec.request`.
    ///
    /// # Errors
    /// It is no request.
    pub fn read(text: &str) -> Result<Self, RequestError> {
        let pem = STANDARD.decode(text).map_err(|_| RequestError::Pem)?;
        let pem = String::from_utf8(pem).map_err(|_| RequestError::Pem)?;
        let der = block(&pem, "CERTIFICATE REQUEST").ok_or(RequestError::Pem)?;
        parse(&der).ok_or(RequestError::Form)
    }

    /// The common name; empty without one.
    #[must_use]
    pub fn common_name(&self) -> &str {
        self.texts(COMMON_NAME).next().unwrap_or("")
    }

    /// The organizations.
    #[must_use]
    pub fn organizations(&self) -> Vec<&str> {
        self.texts(ORGANIZATION).collect()
    }

    fn texts(&self, kind: &'static [u8]) -> impl Iterator<Item = &str> {
        let found = self
            .subject
            .iter()
            .filter(move |attribute| attribute.kind == kind);
        found.filter_map(Attribute::text)
    }
}

/// The first block of a type in a PEM text.
#[must_use]
pub fn block(pem: &str, kind: &str) -> Option<Vec<u8>> {
    let (begin, end) = (
        format!("-----BEGIN {kind}-----"),
        format!("-----END {kind}-----"),
    );
    let text = pem.split_once(&begin)?.1.split_once(&end)?.0;
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).ok()
}

fn parse(der: &[u8]) -> Option<Request> {
    let mut whole = Reader::new(der).enter(SEQUENCE)?;
    let info = whole.expect(SEQUENCE)?;
    let algorithm = whole.expect(SEQUENCE)?;
    let signature = bits(whole.expect(BIT_STRING)?.content)?;
    let mut body = Reader::new(info.content);
    body.expect(INTEGER)?;
    let name = body.expect(SEQUENCE)?;
    let key = body.expect(SEQUENCE)?.whole.to_vec();
    let mut names_der = Vec::new();
    if let Some(mut attributes) = body.enter(ATTRIBUTES) {
        while !attributes.is_empty() {
            let mut attribute = attributes.enter(SEQUENCE)?;
            if attribute.expect(OBJECT_ID)?.content == EXTENSION_REQUEST {
                let extensions = attribute.enter(SET)?.enter(SEQUENCE)?;
                names_der = extension(extensions, ALTERNATIVE_NAMES)?
                    .unwrap_or_default()
                    .to_vec();
            }
        }
    }
    Some(Request {
        subject: subject(Reader::new(name.content))?,
        subject_der: name.whole.to_vec(),
        names: alternative_names(&names_der)?,
        names_der,
        key,
        signed: info.whole.to_vec(),
        algorithm: algorithm.content.to_vec(),
        signature: signature.to_vec(),
    })
}

/// The whole bytes of a string of bits.
#[must_use]
pub fn bits(content: &[u8]) -> Option<&[u8]> {
    content
        .split_first()
        .filter(|(unused, _)| **unused == 0)
        .map(|(_, bytes)| bytes)
}

/// The attributes of a subject.
#[must_use]
pub fn subject(mut names: Reader<'_>) -> Option<Vec<Attribute>> {
    let mut all = Vec::new();
    while !names.is_empty() {
        let mut set = names.enter(SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE)?;
            let kind = attribute.expect(OBJECT_ID)?.content.to_vec();
            let value = attribute.take()?;
            all.push(Attribute {
                kind,
                tag: value.tag,
                value: value.content.to_vec(),
            });
        }
    }
    Some(all)
}

/// The content of an extension. `None` where the bytes are no extensions; empty if there is none
/// of this kind.
#[must_use]
pub fn extension<'a>(mut extensions: Reader<'a>, kind: &[u8]) -> Option<Option<&'a [u8]>> {
    while !extensions.is_empty() {
        let mut extension = extensions.enter(SEQUENCE)?;
        let found = extension.expect(OBJECT_ID)?.content == kind;
        let mut value = extension.take()?;
        if value.tag != OCTET_STRING {
            value = extension.expect(OCTET_STRING)?;
        }
        if found {
            return Some(Some(value.content));
        }
    }
    Some(None)
}

fn alternative_names(content: &[u8]) -> Option<Vec<Name>> {
    if content.is_empty() {
        return Some(Vec::new());
    }
    let mut names = Reader::new(content).enter(SEQUENCE)?;
    let mut all = Vec::new();
    while !names.is_empty() {
        let name = names.take()?;
        let text = || std::str::from_utf8(name.content).map(str::to_owned).ok();
        all.push(match name.tag {
            0x81 => Name::Mail(text()?),
            0x82 => Name::Dns(text()?),
            0x86 => Name::Uri(text()?),
            0x87 => Name::Ip(address(name.content)?),
            _ => Name::Other,
        });
    }
    Some(all)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(sixteen).into())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::{Name, Request, RequestError};

    #[test]
    fn what_is_asked_for() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress([10, 0, 0, 1].into()));
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:nodes");
        params
            .distinguished_name
            .push(DnType::CommonName, "system:node:n");
        let key = KeyPair::generate().unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let request = Request::read(&STANDARD.encode(pem)).unwrap();
        assert_eq!(request.common_name(), "system:node:n");
        assert_eq!(request.organizations(), ["system:nodes"]);
        let expected = [
            Name::Dns("a.example".to_owned()),
            Name::Ip([10, 0, 0, 1].into()),
        ];
        assert_eq!(request.names, expected);
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |text: &str, expected: RequestError| {
            assert_eq!(Request::read(&STANDARD.encode(text)), Err(expected));
        };
        check("hello", RequestError::Pem);
        let odd = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----";
        check(odd, RequestError::Form);
        assert_eq!(Request::read("%"), Err(RequestError::Pem));
    }
}
