//! Reads the certificates and keys that the command line names. Must not know what they are for.

use std::path::Path;

use tracing::{error, info};

use crate::options::Options;

/// The CA that pods are given to know the API server by, as PEM. `None`, which is told, without
/// `--root-ca-file` or if it can't be read.
#[must_use]
pub fn root_ca(options: &Options) -> Option<String> {
    let Some(path) = options.root_ca_file.as_deref() else {
        info!("pods are given no CA: there is no --root-ca-file");
        return None;
    };
    text(path, "--root-ca-file")
}

fn text(path: &Path, flag: &str) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            error!(flag, path = %path.display(), %error, "cannot be read");
            None
        }
    }
}

/// The key that signs tokens of service accounts, as PEM. `None`, which is told if it was named,
/// where there is none.
#[must_use]
pub fn account_key(options: &Options) -> Option<String> {
    let path = options.service_account_private_key_file.as_deref()?;
    text(path, "--service-account-private-key-file")
}

/// Certificate and key that sign what is requested, as PEM. `None`, which is told if they were
/// named, where there are none.
#[must_use]
pub fn signing(options: &Options) -> Option<(String, String)> {
    let certificate = options.cluster_signing_cert_file.as_deref()?;
    let key = options.cluster_signing_key_file.as_deref()?;
    Some((
        text(certificate, "--cluster-signing-cert-file")?,
        text(key, "--cluster-signing-key-file")?,
    ))
}
