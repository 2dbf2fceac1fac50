//! Names of chains: what they are for, and sixteen letters that stand for Service, port and endpoint,
//! as upstream works them out. Pure.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::model::{Endpoint, PortRules, ServiceKey};

/// Chain of a Service's endpoints.
pub const SERVICE: &str = "KUBE-SVC-";
/// Chain of its endpoints on this node.
pub const LOCAL: &str = "KUBE-SVL-";
/// Chain of what comes from outside.
pub const EXTERNAL: &str = "KUBE-EXT-";
/// Chain of who may come in.
pub const FIREWALL: &str = "KUBE-FW-";
/// Chain of one endpoint.
pub const ENDPOINT: &str = "KUBE-SEP-";

const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LENGTH: usize = 16;

/// Whether a chain is a Service's.
#[must_use]
pub fn is_of_a_service(chain: &str) -> bool {
    let kinds = [SERVICE, LOCAL, EXTERNAL, FIREWALL, ENDPOINT];
    kinds.iter().any(|prefix| chain.starts_with(prefix))
}

/// `namespace/name:port`, or without the port where it has no name.
#[must_use]
pub fn port_name(key: &ServiceKey, port: &PortRules) -> String {
    if port.name.is_empty() {
        key.to_string()
    } else {
        format!("{key}:{}", port.name)
    }
}

/// The letters of a Service's port.
#[must_use]
pub fn port_letters(name: &str, port: &PortRules) -> String {
    letters(&[name, port.protocol.as_str()])
}

/// The chain of an endpoint.
#[must_use]
pub fn endpoint_chain(name: &str, port: &PortRules, endpoint: &Endpoint) -> String {
    let socket: SocketAddr = endpoint.socket();
    let place = socket.to_string();
    let all = letters(&[name, port.protocol.as_str(), &place]);
    format!("{ENDPOINT}{all}")
}

/// The first letters of the digest in base 32.
fn letters(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part.as_bytes()));
    let bytes = digest.finalize();
    let bit = |at: usize| (bytes[at / 8] >> (7 - at % 8)) & 1;
    let letter = |number: usize| {
        let value = (0..5).fold(0, |sum, at| sum * 2 + bit(number * 5 + at));
        char::from(LETTERS[usize::from(value)])
    };
    (0..LENGTH).map(letter).collect()
}
