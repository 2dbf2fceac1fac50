//! Where the server is and who we are: kubeconfig files, `$KUBECONFIG`, the service account of a
//! pod. Decides what a file means ([`file`] and [`resolve`] are pure) and reads it. Must not know
//! how connections are made.

use std::path::{Path, PathBuf};

pub mod credential;
pub mod exec;
pub mod file;
pub mod resolve;

use file::KubeconfigFile;

/// The folder in which a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file is not readable.
    #[error("cannot read {what} {path:?}: {source}")]
    Read {
        /// What the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The file is no kubeconfig.
    #[error("kubeconfig {path:?} cannot be read: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// A name in the file leads nowhere.
    #[error("kubeconfig has no {kind} named {name:?}")]
    Missing {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A field's value cannot be used.
    #[error("kubeconfig {field}: {reason}")]
    Field {
        /// The field, with the entry's name.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Neither a file nor a service account.
    #[error(
        "no kubeconfig: pass one by flag or $KUBECONFIG, or run in a pod with a service account"
    )]
    Nowhere,
    /// A credential plugin failed.
    #[error("credential plugin {command:?}: {reason}")]
    Exec {
        /// The program.
        command: String,
        /// What is wrong.
        reason: String,
    },
    /// Certificates or keys cannot be used.
    #[error("{what} from {from}: {reason}")]
    Certificate {
        /// What was looked for.
        what: &'static str,
        /// The file, or `kubeconfig` where it is inline.
        from: String,
        /// What is wrong.
        reason: String,
    },
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Whether TLS is spoken.
    pub https: bool,
    /// Host name or address, without the brackets of IPv6.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What every path begins with; empty for nearly all servers.
    pub prefix: String,
}

/// Bytes of PEM, or the file that has them, which is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Inline(Vec<u8>),
    /// Where it is.
    File(PathBuf),
}

/// Who we say we are, apart from a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody, or who the certificate says.
    None,
    /// A bearer token.
    Token(String),
    /// A bearer token in a file that somebody keeps fresh.
    TokenFile(PathBuf),
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A program that prints credentials.
    Exec(file::ExecConfig),
}

/// All that is needed to talk to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The servers, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// What vouches for the server; the system's certificates if `None`.
    pub ca: Option<Pem>,
    /// Certificate and key that we show.
    pub certificate: Option<(Pem, Pem)>,
    /// The name that the server's certificate must have, if not the host's.
    pub server_name: Option<String>,
    /// Whether any server is believed (`insecure-skip-tls-verify`).
    pub insecure: bool,
    /// Who we are.
    pub identity: Identity,
    /// The namespace meant where none is named.
    pub namespace: String,
}

impl Config {
    /// A server that is spoken to without TLS or credentials, for tests and loopback.
    #[must_use]
    pub fn plain(host: &str, port: u16) -> Self {
        Self {
            servers: vec![Server {
                https: false,
                host: host.to_owned(),
                port,
                prefix: String::new(),
            }],
            ca: None,
            certificate: None,
            server_name: None,
            insecure: false,
            identity: Identity::None,
            namespace: "default".to_owned(),
        }
    }

    /// Reads a kubeconfig file; relative paths in it start at its folder.
    ///
    /// # Errors
    /// The file is unreadable, is no kubeconfig, or names what is not there or not supported.
    pub fn from_file(path: &Path) -> Result<Self, KubeconfigError> {
        resolve::resolve(&read(path)?, None)
    }

    /// Finds a configuration as clients of Kubernetes do: the given file, `$KUBECONFIG` (several
    /// files are merged), the service account of a pod.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn discover(flag: Option<&Path>) -> Result<Self, KubeconfigError> {
        if let Some(path) = flag {
            return Self::from_file(path);
        }
        let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let paths: Vec<_> = std::env::split_paths(&listed)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        if paths.is_empty() {
            return Self::in_cluster();
        }
        let mut merged = KubeconfigFile::default();
        for path in paths.iter().filter(|path| path.exists()) {
            merged.merge(read(path)?);
        }
        resolve::resolve(&merged, None)
    }

    /// The service account of the pod that we run in.
    ///
    /// # Errors
    /// We don't run in a pod.
    pub fn in_cluster() -> Result<Self, KubeconfigError> {
        let variable = |name| std::env::var(name).ok();
        let host = variable("KUBERNETES_SERVICE_HOST").ok_or(KubeconfigError::Nowhere)?;
        let port = variable("KUBERNETES_SERVICE_PORT").ok_or(KubeconfigError::Nowhere)?;
        let port = port.parse().map_err(|_| KubeconfigError::Field {
            field: "$KUBERNETES_SERVICE_PORT".into(),
            reason: format!("{port:?} is no port"),
        })?;
        let folder = Path::new(SERVICE_ACCOUNT);
        let namespace = std::fs::read_to_string(folder.join("namespace"));
        Ok(Self {
            servers: vec![Server {
                https: true,
                host,
                port,
                prefix: String::new(),
            }],
            ca: Some(Pem::File(folder.join("ca.crt"))),
            identity: Identity::TokenFile(folder.join("token")),
            namespace: namespace.map_or_else(|_| "default".into(), |text| text.trim().to_owned()),
            ..Self::plain("", 0)
        })
    }
}

fn read(path: &Path) -> Result<KubeconfigFile, KubeconfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| KubeconfigError::Read {
        what: "kubeconfig",
        path: path.to_owned(),
        source,
    })?;
    let mut file = KubeconfigFile::parse(&text).map_err(|reason| KubeconfigError::Parse {
        path: path.to_owned(),
        reason,
    })?;
    file.anchor(path.parent().unwrap_or(Path::new("")));
    Ok(file)
}
