//! The text of kubeconfig files. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;

/// How the user of a kubeconfig proves who it is.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Certificate and key, PEM, inside the file.
    Inline {
        /// The certificate.
        certificate: &'a str,
        /// Its key.
        key: &'a str,
    },
    /// A file of its own that holds both.
    File(&'a Path),
    /// A token.
    Token(&'a str),
}

/// The kubeconfig of `user`, who reaches `server`, which the certificate `ca` (PEM) vouches for.
/// JSON, which is YAML too.
#[must_use]
pub fn kubeconfig(server: &str, ca: &str, user: &str, proof: Proof<'_>) -> String {
    let context = format!("{user}@{CLUSTER}");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": CLUSTER,
            "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(ca) },
        }],
        "users": [{ "name": user, "user": credentials(proof) }],
        "contexts": [{ "name": context, "context": { "cluster": CLUSTER, "user": user } }],
        "current-context": context,
    });
    format!("{config:#}\n")
}

/// A kubeconfig without a user: where the cluster is, and who vouches for it.
#[must_use]
pub fn anonymous(server: &str, ca: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "",
            "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(ca) },
        }],
        "contexts": null,
        "users": null,
        "current-context": "",
        "preferences": {},
    });
    format!("{config:#}\n")
}

/// The name of the cluster in our kubeconfigs.
const CLUSTER: &str = "keelson";

fn credentials(proof: Proof<'_>) -> Value {
    match proof {
        Proof::Inline { certificate, key } => json!({
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key),
        }),
        Proof::File(path) => json!({ "client-certificate": path, "client-key": path }),
        Proof::Token(token) => json!({ "token": token }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_read_it() {
        let check = |proof, expected: Value| {
            let text = kubeconfig("https://192.0.2.7:6443", "CA", "jane", proof);
            let config: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(config["current-context"], "jane@keelson");
            assert_eq!(
                config["clusters"][0]["cluster"]["certificate-authority-data"],
                "Q0E="
            );
            assert_eq!(config["users"][0]["user"], expected);
        };
        check(
            Proof::Inline {
                certificate: "C",
                key: "K",
            },
            json!({ "client-certificate-data": "Qw==", "client-key-data": "Sw==" }),
        );
        check(
            Proof::File(Path::new("/k.pem")),
            json!({ "client-certificate": "/k.pem", "client-key": "/k.pem" }),
        );
        check(Proof::Token("a.b"), json!({ "token": "a.b" }));
    }
}
