//! What a server must show to be believed, asked over a real handshake on loopback.

use super::*;
use crate::cluster::credentials::{Authority, LASTS, Usage, credentials};
use crate::cluster::example;
use crate::cluster::issue::{self, Pair, Signer};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::IpAddr;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn seconds() -> u64 {
    u64::try_from(now().as_second()).unwrap()
}

fn hash(pem: &str) -> CaHash {
    CaHash::of(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

/// An authority and a server's chain that ends with it.
fn chain(issued: u64, address: [u8; 4]) -> (Pair, String, String) {
    let pair = issue::authority(Authority::Cluster, issued).unwrap();
    let mut wanted = credentials(&example()).swap_remove(0);
    wanted.usage = Usage::Server {
        names: vec!["kubernetes".to_owned()],
        addresses: vec![IpAddr::from(address)],
    };
    let signer = Signer::new(Authority::Cluster, &pair).unwrap();
    let leaf = signer.issue(&wanted, issued).unwrap();
    let whole = leaf.certificate + &pair.certificate;
    (pair, whole, leaf.key)
}

/// Serves one handshake; what the other side makes of it.
async fn shake(chain: &str, key: &str, wanted: CaHash) -> Result<String, PinError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        https: true,
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
        prefix: String::new(),
    };
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    };
    tokio::join!(authority(&server, wanted), serve).0
}

const HERE: [u8; 4] = [127, 0, 0, 1];

#[tokio::test]
async fn the_authority_with_the_digest_is_handed_out() {
    let (ca, chain, key) = chain(seconds(), HERE);
    let got = shake(&chain, &key, hash(&ca.certificate)).await.unwrap();
    assert_eq!(hash(&got), hash(&ca.certificate));
}

#[tokio::test]
async fn another_authority_is_refused_with_both_digests() {
    let (ca, whole, key) = chain(seconds(), HERE);
    let (other, ..) = chain(seconds(), HERE);
    let refused = shake(&whole, &key, hash(&other.certificate)).await;
    let told = refused.unwrap_err().to_string();
    let digest = |pem: &str| hash(pem).to_string();
    assert!(told.contains(&digest(&other.certificate)), "{told}");
    assert!(told.contains(&digest(&ca.certificate)), "{told}");
}

/// The right authority's certificate is public: to show it beside another leaf proves nothing.
#[tokio::test]
async fn an_authority_that_does_not_vouch_for_the_server_is_not_believed() {
    let (ca, ..) = chain(seconds(), HERE);
    let (_, other, key) = chain(seconds(), HERE);
    let leaf = other.split_inclusive("-----END CERTIFICATE-----\n").next();
    let forged = leaf.unwrap().to_owned() + &ca.certificate;
    let refused = shake(&forged, &key, hash(&ca.certificate)).await;
    assert!(
        matches!(refused, Err(PinError::Handshake { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn wrong_clocks_and_names_are_told_apart() {
    let (ca, whole, key) = chain(seconds() - 2 * LASTS, HERE);
    let told = shake(&whole, &key, hash(&ca.certificate)).await;
    assert!(matches!(told, Err(PinError::Clock { .. })), "{told:?}");
    let (ca, whole, key) = chain(seconds() + 7200, HERE);
    let told = shake(&whole, &key, hash(&ca.certificate)).await;
    assert!(matches!(told, Err(PinError::Clock { .. })), "{told:?}");
    let (ca, whole, key) = chain(seconds(), [192, 0, 2, 1]);
    let told = shake(&whole, &key, hash(&ca.certificate)).await;
    let told = told.unwrap_err().to_string();
    assert!(
        told.contains("192.0.2.1") && told.contains("Join by"),
        "{told}"
    );
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    // Nobody ever listens on port 0.
    let server = Server {
        https: true,
        host: "127.0.0.1".to_owned(),
        port: 0,
        prefix: String::new(),
    };
    let (ca, ..) = chain(seconds(), HERE);
    let told = authority(&server, hash(&ca.certificate)).await;
    let told = told.unwrap_err().to_string();
    assert!(told.contains("127.0.0.1:0"), "{told}");
}
