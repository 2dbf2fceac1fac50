//! `/logs/`: directories and files below the node's log directory, and nothing else: the kernel
//! resolves every path beneath it (`openat2` with `RESOLVE_BENEATH`).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::header::{HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2};

use super::body::{Body, BodyError, empty, streamed, text, typed};

/// Bytes read at once.
const CHUNK: usize = 32 * 1024;

/// Answers a request for `path` below `root`; `path` is decoded.
pub fn answer(root: &Path, path: &str) -> Response<Body> {
    let trimmed = path.trim_matches('/');
    let relative = if trimmed.is_empty() { "." } else { trimmed };
    let opened = open_beneath(root, Path::new(relative));
    match opened.and_then(|file| Ok((rustix::fs::fstat(&file)?, file))) {
        Ok((stat, file)) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if path.is_empty() || path.ends_with('/') => list(&file),
            FileType::Directory => redirect(relative),
            FileType::RegularFile => send(File::from(file)),
            _ => text(StatusCode::FORBIDDEN, "403 Forbidden\n"),
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            text(StatusCode::FORBIDDEN, "403 Forbidden\n")
        }
        Err(_) => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// An absolute link that leads back below the root, as those of `/var/log/containers` do, is
/// followed by its real path, which is resolved beneath the root again.
fn open_beneath(root: &Path, relative: &Path) -> io::Result<OwnedFd> {
    let root_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, root, root_flags, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| openat2(&directory, path, flags, Mode::empty(), beneath);
    match open(relative) {
        Err(rustix::io::Errno::XDEV) => Ok(open(&real_path(root, relative)?)?),
        opened => Ok(opened?),
    }
}

fn real_path(root: &Path, relative: &Path) -> io::Result<PathBuf> {
    let real = root.join(relative).canonicalize()?;
    let real = real.strip_prefix(root.canonicalize()?);
    let outside = |_| io::Error::from(io::ErrorKind::NotFound);
    real.map(Path::to_owned).map_err(outside)
}

fn list(directory: &OwnedFd) -> Response<Body> {
    let names = match names(directory) {
        Ok(names) => names,
        Err(_) => {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Error reading directory\n",
            );
        }
    };
    let mut page = String::from("<!doctype html>\n<pre>\n");
    for name in names {
        page += &format!("<a href=\"{}\">{}</a>\n", as_link(&name), as_html(&name));
    }
    page += "</pre>\n";
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    typed(StatusCode::OK, html, super::body::full(page))
}

fn names(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            _ if name == "." || name == ".." => {}
            FileType::Directory => names.push(name + "/"),
            _ => names.push(name),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Everything but letters, digits and a few marks is escaped, so that no name can be read as a
/// scheme, a query or a tag.
fn as_link(name: &str) -> String {
    let mut link = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                link.push(char::from(byte));
            }
            other => link += &format!("%{other:02X}"),
        }
    }
    link
}

fn as_html(name: &str) -> String {
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

fn redirect(relative: &str) -> Response<Body> {
    let last = relative.rsplit('/').next().unwrap_or_default();
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::try_from(as_link(last) + "/") {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The task ends with the file or with its reader.
fn send(mut file: File) -> Response<Body> {
    let (sender, body) = streamed();
    tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; CHUNK];
        loop {
            let next = match file.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(&chunk[..read])),
                Err(error) => Err(BodyError::from(error)),
            };
            let failed = next.is_err();
            if sender.blocking_send(next).is_err() || failed {
                return;
            }
        }
    });
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    typed(StatusCode::OK, plain, body)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use http_body_util::BodyExt as _;

    use super::*;

    fn log_directory() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("log");
        fs::create_dir_all(root.join("pods/a")).unwrap();
        fs::create_dir(root.join("containers")).unwrap();
        fs::write(root.join("syslog"), "x".repeat(CHUNK + 5)).unwrap();
        fs::write(root.join("pods/a/0.log"), "line\n").unwrap();
        fs::write(root.join("<b>&\"?.log"), "odd").unwrap();
        fs::write(place.path().join("secret"), "secret").unwrap();
        symlink(root.join("pods/a/0.log"), root.join("containers/a.log")).unwrap();
        symlink(place.path().join("secret"), root.join("containers/out.log")).unwrap();
        symlink("../secret", root.join("relative")).unwrap();
        place
    }

    async fn get(root: &Path, path: &str) -> (u16, String) {
        let response = answer(root, path);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn files_and_listings() {
        let place = log_directory();
        let root = &place.path().join("log");
        assert_eq!(get(root, "syslog").await, (200, "x".repeat(CHUNK + 5)));
        assert_eq!(get(root, "pods/a/0.log").await, (200, "line\n".into()));
        assert_eq!(get(root, "containers/a.log").await, (200, "line\n".into()));
        let expected = "<!doctype html>\n<pre>\n\
            <a href=\"%3Cb%3E%26%22%3F.log\">&lt;b&gt;&amp;&#34;?.log</a>\n\
            <a href=\"containers/\">containers/</a>\n<a href=\"pods/\">pods/</a>\n\
            <a href=\"relative\">relative</a>\n<a href=\"syslog\">syslog</a>\n</pre>\n";
        assert_eq!(get(root, "").await, (200, expected.into()));
        assert_eq!(get(root, "pods/").await.0, 200);
        let moved = answer(root, "pods/a");
        assert_eq!(
            (moved.status().as_u16(), &moved.headers()["location"]),
            (301, &HeaderValue::from_static("a/"))
        );
    }

    #[tokio::test]
    async fn nothing_outside_is_reached() {
        let place = log_directory();
        let root = &place.path().join("log");
        for path in [
            "../secret",
            "pods/../../secret",
            "/../secret",
            "..",
            "containers/out.log",
            "relative",
            "missing",
            "syslog/below",
        ] {
            let (status, body) = get(root, path).await;
            assert!(status == 404 || status == 403, "{path}: {status}");
            assert!(!body.contains("secret"), "{path}");
        }
    }
}
