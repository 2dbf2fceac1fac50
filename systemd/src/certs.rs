//! `keelson certs`: how long the certificates of this machine are good, and issuing those anew that
//! this machine's authority vouches for.

use crate::cluster::Cluster;
use crate::cluster::credentials::{Authority, Place, credentials};
use crate::layout::Layout;
use crate::pod_table::columns;
use crate::up::{self, UpError, kept_cluster};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use keelson_client::kubeconfig::{Config, Pem};
use keelson_client::validity::Validity;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::{Path, PathBuf};

/// Certificates of this machine's part of the cluster
#[derive(Subcommand)]
pub enum Command {
    /// Print until when each is good; fails where one is not
    Check(Where),
    /// Issue them anew, and have the programs read them
    Renew(Renew),
}

/// Whose certificates.
#[derive(Args)]
pub struct Where {
    /// All files of the machine are below this folder
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// What is issued anew.
#[derive(Args)]
pub struct Renew {
    /// Which ones, by the names that `check` prints: all, where none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// There is no cluster.
    #[error("this machine is no part of a cluster: `keelson up` or `keelson join` make it one")]
    NoCluster,
    /// Some have ended.
    #[error("{0} of them are not good: {1}")]
    Bad(usize, &'static str),
    /// The authority is elsewhere.
    #[error(
        "the authority of this cluster is on the control plane's machine: the kubelet here asks it for the next certificate by itself, or joins again by `keelson join`"
    )]
    Worker,
    /// There is no such certificate.
    #[error(
        "there is no certificate {0:?} that can be renewed here: `keelson certs check` lists them"
    )]
    Unknown(String),
    /// They could not be issued or written.
    #[error(transparent)]
    Up(#[from] UpError),
}

/// One certificate, as far as it can be read.
struct Known {
    name: &'static str,
    path: PathBuf,
    validity: Option<Validity>,
    /// Who issues the next one.
    next: &'static str,
}

/// Does one of them.
///
/// # Errors
/// See [`CertsError`].
pub fn run(command: Command) -> Result<(), CertsError> {
    let root = match &command {
        Command::Check(place) => &place.root,
        Command::Renew(renew) => &renew.place.root,
    };
    let root = std::path::absolute(root).unwrap_or_else(|_| root.clone());
    let layout = Layout::new(&root);
    let cluster = kept_cluster(&layout).ok_or(CertsError::NoCluster)?;
    match command {
        Command::Check(_) => check(&layout, &cluster),
        Command::Renew(renew) => self::renew(&layout, &cluster, &renew.names),
    }
}

const BY_RENEW: &str = "keelson up, certs renew";
const BY_KUBELET: &str = "the kubelet, by itself";

fn check(layout: &Layout, cluster: &Cluster) -> Result<(), CertsError> {
    let now = Timestamp::now();
    let all = known(layout, cluster);
    let head = ["NAME", "EXPIRES", "LEFT", "RENEWED BY", "FILE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head)
        .chain(all.iter().map(|one| one.row(now)))
        .collect();
    print!("{}", columns(&rows));
    let bad = all.iter().filter(|one| !one.is_good(now)).count();
    if bad == 0 {
        return Ok(());
    }
    Err(CertsError::Bad(
        bad,
        if cluster.has_control_plane() {
            "`keelson certs renew` issues them anew"
        } else {
            "`keelson join` with a new token gets the node another one"
        },
    ))
}

impl Known {
    fn is_good(&self, now: Timestamp) -> bool {
        self.validity
            .is_some_and(|validity| validity.from <= now && now < validity.until)
    }

    fn row(&self, now: Timestamp) -> [String; 5] {
        let (until, left) = match self.validity {
            Some(validity) => (validity.until.to_string(), left(validity.until, now)),
            None => ("-".to_owned(), "unreadable".to_owned()),
        };
        [
            self.name.to_owned(),
            until,
            left,
            self.next.to_owned(),
            self.path.display().to_string(),
        ]
    }
}

/// How long until a time: in days, where there are any.
fn left(until: Timestamp, now: Timestamp) -> String {
    let left = until.duration_since(now);
    match (left.as_hours() / 24, left.as_mins()) {
        (_, minutes) if minutes < 0 || until <= now => "expired".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (days, _) => format!("{days} d"),
    }
}

/// All certificates of this machine's part of the cluster.
fn known(layout: &Layout, cluster: &Cluster) -> Vec<Known> {
    let mut all = Vec::new();
    if cluster.has_control_plane() {
        all.extend(Authority::ALL.map(|one| {
            let path = layout.pki().join(format!("{}.crt", one.file()));
            Known::of_pem(one.file(), path, "nobody: a new cluster")
        }));
        let own = credentials(cluster).into_iter();
        all.extend(own.filter(|one| one.place != Place::KubeletPem).map(|one| {
            let next = BY_RENEW;
            match one.place {
                Place::Pair => {
                    let path = layout.pki().join(format!("{}.crt", one.name));
                    Known::of_pem(one.name, path, next)
                }
                _ => Known::of_kubeconfig(one.name, layout.kubeconfig(one.name), next),
            }
        }));
    }
    all.push(Known::of_pem(
        "kubelet",
        layout.kubelet_client(),
        BY_KUBELET,
    ));
    all
}

impl Known {
    fn of_pem(name: &'static str, path: PathBuf, next: &'static str) -> Self {
        let text = std::fs::read(&path).unwrap_or_default();
        let validity = validity(&text);
        Self {
            name,
            path,
            validity,
            next,
        }
    }

    fn of_kubeconfig(name: &'static str, path: PathBuf, next: &'static str) -> Self {
        let validity = shown_by(&path);
        Self {
            name,
            path,
            validity,
            next,
        }
    }
}

fn shown_by(kubeconfig: &Path) -> Option<Validity> {
    match Config::from_file(kubeconfig).ok()?.certificate?.0 {
        Pem::Inline(text) => validity(&text),
        Pem::File(path) => validity(&std::fs::read(path).ok()?),
    }
}

fn validity(pem: &[u8]) -> Option<Validity> {
    Validity::of(&CertificateDer::from_pem_slice(pem).ok()?)
}

fn renew(layout: &Layout, cluster: &Cluster, names: &[String]) -> Result<(), CertsError> {
    if !cluster.has_control_plane() {
        return Err(CertsError::Worker);
    }
    let all = credentials(cluster);
    if let Some(name) = names
        .iter()
        .find(|name| all.iter().all(|one| one.name != **name))
    {
        return Err(CertsError::Unknown(name.clone()));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|one| one == name);
    up::renew(layout, cluster, &wanted)?;
    let renewed = all.iter().filter(|one| wanted(one.name));
    for one in renewed {
        println!("{} is issued anew", one.name);
    }
    println!("the kubelet starts anew the pods whose programs read theirs only at the start");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_in_days_and_minutes() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let check = |until: &str, expected| assert_eq!(left(until.parse().unwrap(), now), expected);
        check("2026-12-31T00:00:00Z", "364 d");
        check("2026-01-01T05:00:00Z", "300 min");
        check("2026-01-01T00:00:00Z", "expired");
        check("2025-01-01T00:00:00Z", "expired");
    }

    #[test]
    fn a_machine_without_certificates_has_none_that_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let cluster = crate::cluster::example();
        let all = known(&layout, &cluster);
        assert_eq!(
            all.len(),
            credentials(&cluster).len() + Authority::ALL.len()
        );
        assert!(all.iter().all(|one| !one.is_good(Timestamp::now())));
        assert!(check(&layout, &cluster).is_err());
    }
}
