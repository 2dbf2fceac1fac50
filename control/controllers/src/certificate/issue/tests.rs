//! Certificates are believed by who knows the authority.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use keelson_api::certificate_subject::Subject;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Authority, AuthorityError, Validity, verify};
use crate::certificate::request::{Request, RequestError, block};

fn authority() -> (Authority, CertificateDer<'static>, KeyPair) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "kubernetes");
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let authority = Authority::read(&root.pem(), &key.serialize_pem()).unwrap();
    (authority, root.der().clone(), key)
}

fn request(name: &str) -> Request {
    let mut params = CertificateParams::new(vec!["node.example".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    Request::read(&STANDARD.encode(pem)).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn issued(authority: &Authority) -> CertificateDer<'static> {
    let usages = ["digital signature".into(), "client auth".into()];
    let validity = Validity {
        from: now(),
        until: now() + jiff::Span::new().hours(24),
    };
    let pem = authority
        .issue(&request("system:node:n"), &usages, validity, [7; 16])
        .unwrap();
    CertificateDer::from(block(&pem, "CERTIFICATE").unwrap())
}

#[test]
fn a_client_with_it_is_believed_while_it_is_good() {
    let (authority, root, _) = authority();
    let certificate = issued(&authority);
    let subject = Subject::of(&certificate).unwrap();
    assert_eq!(subject.common_name.as_deref(), Some("system:node:n"));
    assert_eq!(subject.organizations, ["system:nodes"]);
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let verifier = verifier.build().unwrap();
    let good = |hours: i64| {
        let second = u64::try_from(now().as_second() + hours * 3600).unwrap();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(second));
        verifier.verify_client_cert(&certificate, &[], at).is_ok()
    };
    assert_eq!([-1, 1, 23, 25].map(good), [false, true, true, false]);
}

#[test]
fn whoever_asks_must_have_the_key() {
    let mut request = request("me");
    assert_eq!(verify(&request), Ok(()));
    let last = request.signed.len() - 1;
    request.signed[last] ^= 1;
    assert_eq!(verify(&request), Err(RequestError::Signature));
    request.key = b"x".to_vec();
    assert_eq!(verify(&request), Err(RequestError::Key));
}

#[test]
fn certificate_and_key_belong_together() {
    let (_, root, key) = authority();
    let pem = super::pem(&root);
    let read = |certificate: &str, key: &str| Authority::read(certificate, key);
    assert!(read(&pem, &key.serialize_pem()).is_ok());
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(read(&pem, &other), Err(AuthorityError::Pair)));
    assert!(matches!(read(&pem, "none"), Err(AuthorityError::Key(_))));
    assert!(matches!(
        read("none", &other),
        Err(AuthorityError::Certificate)
    ));
}
