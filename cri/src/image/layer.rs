//! Turns files into a layer: an uncompressed tar file whose bytes depend on nothing but names,
//! permissions and contents. Owner is always root, time always zero, order always by name.
//!
//! Layers are not compressed: an archive goes straight into the runtime on the same machine.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// Why a folder can't become a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file or folder can't be read.
    #[error("image layer: reading {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Only files, folders and symbolic links can be in a layer.
    #[error("image layer: {} is neither a file, a folder nor a symbolic link; remove it", .0.display())]
    SpecialFile(PathBuf),
    /// A name can't be written to a tar file.
    #[error("image layer: adding {path:?}: {source}")]
    Name {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    tar: Vec<u8>,
    digest: String,
}

/// A file that is not on disk.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Where it goes, relative to the root: `bin/web`.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Its content.
    pub content: &'a [u8],
}

impl Layer {
    /// A layer of everything below a folder, the folder itself being the image's root.
    ///
    /// # Errors
    /// When something can't be read or is no file, folder or symbolic link.
    pub fn from_folder(root: &Path) -> Result<Self, LayerError> {
        let mut tar = Builder::new(Vec::new());
        add_folder(&mut tar, root, Path::new(""))?;
        Self::finish(tar)
    }

    /// A layer of some files, in the order given. Their folders are made as needed.
    ///
    /// # Errors
    /// When a path can't be in a tar file.
    pub fn from_files(files: &[File<'_>]) -> Result<Self, LayerError> {
        let mut tar = Builder::new(Vec::new());
        let mut made = Vec::new();
        for file in files {
            let path = Path::new(file.path);
            add_parents(&mut tar, path, &mut made)?;
            add_file(&mut tar, path, file.mode, file.content)?;
        }
        Self::finish(tar)
    }

    fn finish(tar: Builder<Vec<u8>>) -> Result<Self, LayerError> {
        let tar = tar.into_inner().map_err(|source| LayerError::Name {
            path: PathBuf::new(),
            source,
        })?;
        let digest = sha256(&tar);
        Ok(Self { tar, digest })
    }

    /// The layer as a tar file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.tar
    }

    /// `sha256:` and the digest of those bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// `sha256:` and the digest of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

type Tar = Builder<Vec<u8>>;

fn add_folder(tar: &mut Tar, on_disk: &Path, in_image: &Path) -> Result<(), LayerError> {
    let read = |source| LayerError::Read {
        path: on_disk.to_owned(),
        source,
    };
    let entries = fs::read_dir(on_disk).map_err(read)?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(read)?;
    names.sort();
    names
        .iter()
        .try_for_each(|name| add_entry(tar, &on_disk.join(name), &in_image.join(name)))
}

fn add_entry(tar: &mut Tar, on_disk: &Path, in_image: &Path) -> Result<(), LayerError> {
    let read = |source| LayerError::Read {
        path: on_disk.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(on_disk).map_err(read)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_dir() {
        add_directory(tar, in_image, mode)?;
        add_folder(tar, on_disk, in_image)
    } else if metadata.is_symlink() {
        add_link(tar, in_image, &fs::read_link(on_disk).map_err(read)?)
    } else if metadata.is_file() {
        add_file(tar, in_image, mode, &fs::read(on_disk).map_err(read)?)
    } else {
        Err(LayerError::SpecialFile(on_disk.to_owned()))
    }
}

fn add_parents(tar: &mut Tar, path: &Path, made: &mut Vec<PathBuf>) -> Result<(), LayerError> {
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    parents.reverse();
    for parent in parents {
        if !parent.as_os_str().is_empty() && !made.iter().any(|path| path == parent) {
            add_directory(tar, parent, 0o755)?;
            made.push(parent.to_owned());
        }
    }
    Ok(())
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn add_directory(tar: &mut Tar, path: &Path, mode: u32) -> Result<(), LayerError> {
    let mut header = header(EntryType::Directory, mode, 0);
    tar.append_data(&mut header, path.join(""), io::empty())
        .map_err(named(path))
}

fn add_file(tar: &mut Tar, path: &Path, mode: u32, content: &[u8]) -> Result<(), LayerError> {
    let mut header = header(EntryType::Regular, mode, content.len() as u64);
    tar.append_data(&mut header, path, content)
        .map_err(named(path))
}

fn add_link(tar: &mut Tar, path: &Path, target: &Path) -> Result<(), LayerError> {
    let mut header = header(EntryType::Symlink, 0o777, 0);
    tar.append_link(&mut header, path, target)
        .map_err(named(path))
}

fn named(path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = path.to_owned();
    move |source| LayerError::Name { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// Every entry as `kind mode owner time path content-or-target`.
    fn listing(layer: &Layer) -> Vec<String> {
        let mut archive = tar::Archive::new(layer.bytes());
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = String::new();
                io::Read::read_to_string(&mut entry, &mut content).unwrap();
                let header = entry.header();
                let link = entry.link_name().unwrap().unwrap_or_default();
                format!(
                    "{:?} {:o} {}:{} {} {} {}{}",
                    header.entry_type(),
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap(),
                    entry.path().unwrap().display(),
                    content,
                    link.display(),
                )
            })
            .collect()
    }

    #[test]
    fn a_folder_becomes_the_same_layer_in_any_order_of_creation() {
        let make = |names: [&str; 2]| {
            let root = tempfile::tempdir().unwrap();
            for name in names {
                fs::create_dir(root.path().join(name)).unwrap();
                fs::write(root.path().join(name).join("f"), name).unwrap();
            }
            symlink("f", root.path().join("a").join("l")).unwrap();
            let script = root.path().join("b").join("f");
            fs::set_permissions(script, fs::Permissions::from_mode(0o4755)).unwrap();
            Layer::from_folder(root.path()).unwrap()
        };
        let layer = make(["a", "b"]);
        assert_eq!(layer, make(["b", "a"]));
        assert_eq!(
            listing(&layer),
            [
                "Directory 755 0:0 0 a/ ",
                "Regular 644 0:0 0 a/f a",
                "Symlink 777 0:0 0 a/l f",
                "Directory 755 0:0 0 b/ ",
                "Regular 4755 0:0 0 b/f b",
            ]
        );
    }

    #[test]
    fn files_bring_their_folders_once() {
        let file = |path, content| File {
            path,
            mode: 0o755,
            content,
        };
        let layer = Layer::from_files(&[file("usr/bin/a", b"1"), file("usr/bin/b", b"2")]).unwrap();
        assert_eq!(
            listing(&layer),
            [
                "Directory 755 0:0 0 usr/ ",
                "Directory 755 0:0 0 usr/bin/ ",
                "Regular 755 0:0 0 usr/bin/a 1",
                "Regular 755 0:0 0 usr/bin/b 2",
            ]
        );
    }

    #[test]
    fn special_files_and_missing_folders_are_named() {
        let root = tempfile::tempdir().unwrap();
        let _socket = UnixListener::bind(root.path().join("s")).unwrap();
        let message = Layer::from_folder(root.path()).unwrap_err().to_string();
        assert!(message.contains("/s is neither"), "{message}");
        let gone = Layer::from_folder(Path::new("/nonexistent")).unwrap_err();
        assert!(gone.to_string().contains("reading /nonexistent"), "{gone}");
    }
}
