//! Certificates with their keys in files: each in one of its own, `NAME-TIME.pem`, and a link
//! `NAME-current.pem` to the one in use, as upstream has them.
//!
//! Guarantee: the link always leads to a whole pair; a crash leaves at most a file that nothing
//! leads to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use keelson_client::validity::Validity;

/// Marks the file of a pair that nobody signed.
const MAKESHIFT: &str = "makeshift";

/// A pair can't be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store {path:?}: {source}")]
pub struct StoreError {
    path: PathBuf,
    source: io::Error,
}

/// Where the pairs of one kind are.
#[derive(Clone, Debug)]
pub struct PemStore {
    folder: PathBuf,
    name: &'static str,
}

impl PemStore {
    /// Pairs of this name in a folder.
    #[must_use]
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self {
            folder: folder.to_owned(),
            name,
        }
    }

    /// The link to the pair in use.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.file("current")
    }

    /// How long the pair in use is good; nothing where there is none that can be used.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        validity(&self.current())
    }

    /// Puts a pair in use.
    ///
    /// # Errors
    /// The step's file and what the kernel says. What was in use stays so.
    pub fn store(&self, pair: &str) -> Result<(), StoreError> {
        let stamp = Timestamp::now().strftime("%Y-%m-%d-%H-%M-%S.%f");
        self.store_as(&stamp.to_string(), pair)
    }

    fn store_as(&self, mark: &str, pair: &str) -> Result<(), StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError { path, source }
        };
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(at(&self.folder))?;
        let file = self.file(mark);
        write(&file, pair).map_err(at(&file))?;
        let link = self.file("updated");
        self.swap(&file, &link).map_err(at(&self.current()))
    }

    /// Puts a pair in use until there is one that was signed.
    ///
    /// # Errors
    /// As for any other.
    pub fn store_makeshift(&self, pair: &str) -> Result<(), StoreError> {
        self.store_as(MAKESHIFT, pair)
    }

    /// Whether the pair in use is only there until one was signed.
    #[must_use]
    pub fn holds_makeshift(&self) -> bool {
        let file = fs::read_link(self.current()).unwrap_or_default();
        file == self.file(MAKESHIFT)
    }

    fn file(&self, mark: &str) -> PathBuf {
        self.folder.join(format!("{}-{mark}.pem", self.name))
    }

    fn swap(&self, file: &Path, link: &Path) -> io::Result<()> {
        match fs::remove_file(link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(file, link)?;
        fs::rename(link, self.current())?;
        File::open(&self.folder)?.sync_all()
    }
}

/// How long the first certificate of a file is good, where its key is there too.
#[must_use]
pub fn validity(pair: &Path) -> Option<Validity> {
    PrivateKeyDer::from_pem_file(pair).ok()?;
    validity_of_file(pair)
}

/// How long the first certificate of a file is good.
#[must_use]
pub fn validity_of_file(certificate: &Path) -> Option<Validity> {
    let first = CertificateDer::from_pem_file(certificate).ok()?;
    Validity::of(&first)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key);
        certificate.unwrap().pem() + &key.serialize_pem()
    }

    #[test]
    fn the_link_leads_to_the_newest_pair() {
        let folder = tempfile::tempdir().unwrap();
        let store = PemStore::new(&folder.path().join("pki"), "kubelet-client");
        assert_eq!(store.validity(), None);
        let (first, second) = (pair(), pair());
        store.store(&first).unwrap();
        assert_eq!(fs::read_to_string(store.current()).unwrap(), first);
        // A crash may leave the new link behind.
        let left = folder.path().join("pki/kubelet-client-updated.pem");
        fs::write(&left, "x").unwrap();
        store.store(&second).unwrap();
        assert_eq!(fs::read_to_string(store.current()).unwrap(), second);
        assert!(store.validity().is_some());
        assert!(!left.exists());
        assert!(!store.holds_makeshift());
        store.store_makeshift(&first).unwrap();
        assert!(store.holds_makeshift());
        let mode = fs::metadata(store.current()).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o600
        );
    }

    #[test]
    fn a_certificate_without_its_key_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key);
        fs::write(&file, certificate.unwrap().pem()).unwrap();
        assert_eq!(validity(&file), None);
        assert!(validity_of_file(&file).is_some());
    }
}
