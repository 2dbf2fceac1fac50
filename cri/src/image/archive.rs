//! Packs layers and documents into an OCI archive: a tar file with `oci-layout`, `index.json` and
//! the content under its digests.

use std::io;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::layer::Layer;
use super::manifest::Documents;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An image in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    name: String,
    digest: String,
    bytes: Vec<u8>,
}

impl Archive {
    /// The image's full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The tar file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tar file.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

pub(super) fn pack(name: &str, layers: &[Layer], documents: &Documents) -> Archive {
    let described = [&documents.config, &documents.manifest];
    let mut blobs: Vec<(&str, &[u8])> = described
        .iter()
        .map(|blob| (blob.digest.as_str(), blob.bytes.as_slice()))
        .chain(layers.iter().map(|layer| (layer.digest(), layer.bytes())))
        .collect();
    blobs.sort_unstable();
    blobs.dedup();
    let bytes = write(&blobs, &documents.index).unwrap_or_else(|error| {
        unreachable!("names are short and memory takes all writes: {error}")
    });
    Archive {
        name: name.to_owned(),
        digest: documents.manifest.digest.clone(),
        bytes,
    }
}

fn write(blobs: &[(&str, &[u8])], index: &[u8]) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, Path::new("oci-layout"), LAYOUT)?;
    add(&mut tar, Path::new("index.json"), index)?;
    for (digest, bytes) in blobs {
        let path = Path::new("blobs").join(digest.replace(':', "/"));
        add(&mut tar, &path, bytes)?;
    }
    tar.into_inner()
}

fn add(tar: &mut Builder<Vec<u8>>, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::layer::{File, sha256};
    use crate::image::{Settings, build};
    use std::collections::BTreeMap;
    use std::io::Read;

    fn contents(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(archive.bytes());
        let entries = tar.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (entry.path().unwrap().display().to_string(), bytes)
            })
            .collect()
    }

    #[test]
    fn everything_lies_under_its_own_digest_and_can_be_found_from_the_index() {
        let file = File {
            path: "a",
            mode: 0o644,
            content: b"x",
        };
        let layer = Layer::from_files(&[file]).unwrap();
        // The same layer twice must be stored once.
        let layers = [layer.clone(), layer];
        let archive = build("localhost/a:1", &layers, &Settings::default()).unwrap();
        assert_eq!(
            archive,
            build("localhost/a:1", &layers, &Settings::default()).unwrap()
        );
        let files = contents(&archive);
        assert_eq!(files.len(), 2 + 3);
        for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            let digest = sha256(bytes).replace(':', "/");
            assert_eq!(path, &format!("blobs/{digest}"));
        }
        let manifest = &files[&format!("blobs/{}", archive.digest().replace(':', "/"))];
        let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
        for blob in [
            &manifest["config"],
            &manifest["layers"][0],
            &manifest["layers"][1],
        ] {
            let path = format!(
                "blobs/{}",
                blob["digest"].as_str().unwrap().replace(':', "/")
            );
            assert_eq!(blob["size"], files[&path].len(), "{path}");
        }
    }
}
