//! The certificate of a node that was given none: self-signed, P-256, made once and kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::ring::default_provider;

use super::{TlsFiles, load_pair};

/// Why there is no self-signed certificate.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// It cannot be made.
    #[error("failed to make a self-signed certificate for node {node:?}: {source}")]
    Make {
        /// The node's name.
        node: String,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// It cannot be stored.
    #[error("failed to store {path:?}: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

/// The files of the node's own certificate below `directory` (`kubelet.crt`, `kubelet.key`).
/// Made if they are missing or do not belong together, used as they are otherwise.
pub fn ensure(
    directory: &Path,
    node: &str,
    addresses: &[IpAddr],
    client_ca: Option<PathBuf>,
) -> Result<TlsFiles, SelfSignedError> {
    let files = TlsFiles {
        certificate: directory.join("kubelet.crt"),
        key: directory.join("kubelet.key"),
        client_ca,
    };
    if load_pair(&files, &default_provider()).is_ok() {
        return Ok(files);
    }
    let (certificate, key) = make(node, addresses).map_err(|source| SelfSignedError::Make {
        node: node.to_owned(),
        source,
    })?;
    create_private_directory(directory)?;
    store(&files.key, &key)?;
    store(&files.certificate, &certificate)?;
    Ok(files)
}

fn make(node: &str, addresses: &[IpAddr]) -> Result<(String, String), rcgen::Error> {
    let addresses = addresses.iter().map(IpAddr::to_string);
    let names: Vec<String> = [node.to_owned()].into_iter().chain(addresses).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, node);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let year = i32::from(
        jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .year(),
    );
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 10, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn create_private_directory(directory: &Path) -> Result<(), SelfSignedError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(directory).map_err(failed(directory))
}

/// The file is complete and readable by its owner alone, or it is as it was.
fn store(path: &Path, text: &str) -> Result<(), SelfSignedError> {
    let temporary = path.with_extension("tmp");
    let directory = path.parent().unwrap_or(Path::new("/"));
    let write = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SelfSignedError {
    let path = path.to_owned();
    move |source| SelfSignedError::Store { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ensured(directory: &Path) -> (String, String) {
        let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let files = ensure(directory, "node-1", &addresses, None).unwrap();
        let read = |path| fs::read_to_string(path).unwrap();
        (read(files.certificate), read(files.key))
    }

    #[test]
    fn it_is_made_once_kept_private_and_made_again_when_broken() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("pki");
        let first = ensured(&directory);
        assert_eq!(ensured(&directory), first);
        for name in ["kubelet.crt", "kubelet.key"] {
            let data = fs::metadata(directory.join(name)).unwrap();
            assert_eq!(data.permissions().mode() & 0o777, 0o600);
        }
        fs::write(directory.join("kubelet.tmp"), "left over").unwrap();
        fs::write(directory.join("kubelet.key"), "").unwrap();
        let second = ensured(&directory);
        assert_ne!(second.0, first.0);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let error = ensure(&file.join("pki"), "node-1", &[], None).unwrap_err();
        assert!(error.to_string().contains("file/pki"), "{error}");
    }
}
