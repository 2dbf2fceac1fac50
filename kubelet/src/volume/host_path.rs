//! hostPath: which kind of file has to be there, and what is said when another one is. The kinds
//! and messages are pure; [`ensure`] looks at the host through [`super::killable`], because the
//! path may lie on a server that no longer answers.

use std::io;
use std::path::Path;

use super::killable::{self, Found, Request};
use super::mountinfo::MountEntry;

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPathType {
    /// `""`: nothing is checked.
    Unset,
    /// Made with mode 0755 if nothing is there.
    DirectoryOrCreate,
    /// Must be there.
    Directory,
    /// Made empty with mode 0644 if nothing is there; its directory must exist.
    FileOrCreate,
    /// Must be there.
    File,
    /// A unix socket must be there.
    Socket,
    /// A character device must be there.
    CharDevice,
    /// A block device must be there.
    BlockDevice,
}

impl HostPathType {
    /// Reads the API value; `None` when it is not one of upstream's.
    #[must_use]
    pub fn from_api(value: &str) -> Option<Self> {
        Some(match value {
            "" => Self::Unset,
            "DirectoryOrCreate" => Self::DirectoryOrCreate,
            "Directory" => Self::Directory,
            "FileOrCreate" => Self::FileOrCreate,
            "File" => Self::File,
            "Socket" => Self::Socket,
            "CharDevice" => Self::CharDevice,
            "BlockDevice" => Self::BlockDevice,
            _ => return None,
        })
    }

    /// What has to be found, and how it is called in messages.
    fn wanted(self) -> Option<(Found, &'static str)> {
        Some(match self {
            Self::Unset => return None,
            Self::DirectoryOrCreate | Self::Directory => (Found::Directory, "directory"),
            Self::FileOrCreate | Self::File => (Found::File, "file"),
            Self::Socket => (Found::Socket, "socket file"),
            Self::CharDevice => (Found::CharDevice, "character device"),
            Self::BlockDevice => (Found::BlockDevice, "block device"),
        })
    }

    fn request(self) -> Request {
        match self {
            Self::DirectoryOrCreate => Request::MakeDirectory,
            Self::FileOrCreate => Request::MakeFile,
            _ => Request::Look,
        }
    }
}

/// The path is not what the pod asks for.
#[derive(Debug, thiserror::Error)]
pub enum HostPathError {
    /// Nothing is there.
    #[error("hostPath type check failed: {path} does not exist: create it or use type {create}")]
    Missing {
        /// The path.
        path: String,
        /// The type that would create it, or `DirectoryOrCreate`.
        create: &'static str,
    },
    /// Something else is there.
    #[error("hostPath type check failed: {path} is not a {wanted}, it is a {found}")]
    Other {
        /// The path.
        path: String,
        /// What was asked for.
        wanted: &'static str,
        /// What is there.
        found: Found,
    },
    /// It could not be looked at or made.
    #[error("hostPath type check failed: {path}: {source}")]
    Failed {
        /// The path.
        path: String,
        /// What the kernel said; `TimedOut` when a file server does not answer.
        source: io::Error,
    },
}

/// Checks, and for the `OrCreate` types makes, the path.
///
/// # Errors
/// [`HostPathError`].
pub fn ensure(path: &Path, kind: HostPathType, table: &[MountEntry]) -> Result<(), HostPathError> {
    let Some((wanted, name)) = kind.wanted() else {
        return Ok(());
    };
    let shown = || path.display().to_string();
    let found =
        killable::ask(kind.request(), path, table).map_err(|source| HostPathError::Failed {
            path: shown(),
            source,
        })?;
    verdict(found, wanted, name, kind).map_err(|refusal| refusal(shown()))
}

/// Whether what was found is what was wanted; otherwise how to say so about a path.
fn verdict(
    found: Found,
    wanted: Found,
    name: &'static str,
    kind: HostPathType,
) -> Result<(), impl FnOnce(String) -> HostPathError> {
    let create = if kind == HostPathType::File {
        "FileOrCreate"
    } else {
        "DirectoryOrCreate"
    };
    match found {
        found if found == wanted => Ok(()),
        found => Err(move |path| match found {
            Found::Nothing => HostPathError::Missing { path, create },
            found => HostPathError::Other {
                path,
                wanted: name,
                found,
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn check(path: &Path, kind: &str, want: Result<(), &str>) {
        let kind = HostPathType::from_api(kind).unwrap();
        let got = ensure(path, kind, &[]).map_err(|error| error.to_string());
        match want {
            Ok(()) => assert_eq!(got, Ok(()), "{kind:?} {}", path.display()),
            Err(words) => {
                let text = got.unwrap_err();
                assert!(text.contains(words), "{text:?} does not say {words:?}");
            }
        }
    }

    #[test]
    fn every_type_on_every_kind() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        let (file, socket, none) = (dir.join("f"), dir.join("s"), dir.join("none"));
        fs::write(&file, "").unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        check(&none, "", Ok(()));
        check(dir, "Directory", Ok(()));
        check(dir, "File", Err("is not a file, it is a directory"));
        check(&file, "Directory", Err("is not a directory, it is a file"));
        check(&file, "File", Ok(()));
        check(&file, "FileOrCreate", Ok(()));
        check(
            &file,
            "DirectoryOrCreate",
            Err("is not a directory, it is a file"),
        );
        check(&socket, "Socket", Ok(()));
        check(
            &socket,
            "CharDevice",
            Err("is not a character device, it is a socket file"),
        );
        check(Path::new("/dev/null"), "CharDevice", Ok(()));
        check(
            Path::new("/dev/null"),
            "BlockDevice",
            Err("is not a block device"),
        );
        check(
            &none,
            "Directory",
            Err("does not exist: create it or use type DirectoryOrCreate"),
        );
        check(&none, "File", Err("use type FileOrCreate"));
        assert!(!none.exists());
    }

    #[test]
    fn creation() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        check(&deep, "DirectoryOrCreate", Ok(()));
        check(&deep, "DirectoryOrCreate", Ok(()));
        let file = root.path().join("a/f");
        check(&file, "FileOrCreate", Ok(()));
        assert!(file.is_file());
        check(
            &root.path().join("x/f"),
            "FileOrCreate",
            Err("No such file"),
        );
    }

    #[test]
    fn unknown_types_are_not_guessed() {
        assert_eq!(HostPathType::from_api("directory"), None);
    }
}
