//! Writes the certificates and kubeconfigs of a cluster, those that are missing or due. What there
//! should be is decided in `cluster::credentials`.

use super::{Options, Outcome, UpError};
use crate::cluster::Cluster;
use crate::cluster::credentials::{
    Authority, Credential, Issued, LASTS, Ledger, Place, credentials,
};
use crate::cluster::issue::{self, Pair, Signer};
use crate::cluster::kubeconfig::{Proof, kubeconfig};
use crate::files::{FileError, make_folder, put};
use crate::layout::Layout;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What only root reads, and what everybody may.
const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Has all of them.
pub(super) fn issue(options: &Options, cluster: &Cluster) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    make_folder(&layout.pki())?;
    make_folder(&layout.kubelet_certificates())?;
    let now = now();
    let mut changed = token_key(layout)?;
    let mut ledger = ledger(layout);
    for authority in Authority::ALL {
        let (pair, is_new) = have_authority(layout, authority, now)?;
        changed |= is_new;
        let signer = Signer::new(authority, &pair)?;
        let wanted = credentials(cluster);
        for one in wanted.iter().filter(|one| one.authority == authority) {
            let files = Files::of(layout, cluster, one);
            let what = one.described(&files.server);
            if files.are_there() && !ledger.is_due(one.name, &what, &signer.digest, now) {
                continue;
            }
            files.write(one, &signer.issue(one, now)?, &pair.certificate)?;
            let issued = Issued {
                what,
                authority: signer.digest.clone(),
                until: now + LASTS,
            };
            ledger.0.insert(one.name.to_owned(), issued);
            changed = true;
        }
    }
    keep(layout, &ledger)?;
    Ok(Outcome::changed(changed))
}

/// Has some certificates count as never issued.
pub(super) fn forget(layout: &Layout, wanted: &dyn Fn(&str) -> bool) -> Result<(), FileError> {
    let mut ledger = ledger(layout);
    ledger.0.retain(|name, _| !wanted(name));
    keep(layout, &ledger)
}

fn keep(layout: &Layout, ledger: &Ledger) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(ledger).unwrap_or_default();
    put(&layout.issued(), text.as_bytes(), SECRET).map(drop)
}

/// What was issued until now. A ledger that cannot be read counts as empty: all is issued anew.
pub(super) fn ledger(layout: &Layout) -> Ledger {
    let text = std::fs::read(layout.issued()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The authority's certificate and key, and whether they were made now.
fn have_authority(layout: &Layout, which: Authority, now: u64) -> Result<(Pair, bool), UpError> {
    let (certificate, key) = pair_files(layout, which.file());
    if let (Ok(certificate), Ok(key)) = (
        std::fs::read_to_string(&certificate),
        std::fs::read_to_string(&key),
    ) {
        return Ok((Pair { certificate, key }, false));
    }
    let pair = issue::authority(which, now)?;
    put(&key, pair.key.as_bytes(), SECRET)?;
    put(&certificate, pair.certificate.as_bytes(), PUBLIC)?;
    Ok((pair, true))
}

/// Has the key that tokens are signed with; true when it was made now.
fn token_key(layout: &Layout) -> Result<bool, UpError> {
    let (private, public) = (layout.pki().join("sa.key"), layout.pki().join("sa.pub"));
    if private.exists() && public.exists() {
        return Ok(false);
    }
    let (key, public_key) = issue::token_key()?;
    put(&private, key.as_bytes(), SECRET)?;
    put(&public, public_key.as_bytes(), PUBLIC)?;
    Ok(true)
}

fn pair_files(layout: &Layout, name: &str) -> (PathBuf, PathBuf) {
    let file = |end: &str| layout.pki().join(format!("{name}.{end}"));
    (file("crt"), file("key"))
}

/// Where one credential is written.
struct Files<'a> {
    layout: &'a Layout,
    place: Place,
    name: &'static str,
    /// The server that its kubeconfig names; empty where it has none.
    server: String,
}

impl<'a> Files<'a> {
    fn of(layout: &'a Layout, cluster: &Cluster, one: &Credential) -> Self {
        Self {
            layout,
            place: one.place,
            name: one.name,
            server: match one.place {
                Place::Pair => String::new(),
                Place::Config => cluster.server(),
                Place::LocalConfig | Place::KubeletPem => cluster.local_server(),
            },
        }
    }

    fn are_there(&self) -> bool {
        let config = self.layout.kubeconfig(self.name);
        match self.place {
            Place::Pair => {
                let (certificate, key) = pair_files(self.layout, self.name);
                certificate.exists() && key.exists()
            }
            Place::Config | Place::LocalConfig => config.exists(),
            Place::KubeletPem => config.exists() && self.layout.kubelet_client().exists(),
        }
    }

    fn write(&self, one: &Credential, pair: &Pair, ca: &str) -> Result<(), FileError> {
        match self.place {
            Place::Pair => {
                let (certificate, key) = pair_files(self.layout, self.name);
                put(&key, pair.key.as_bytes(), SECRET)?;
                let chain = one.chain(&pair.certificate, ca);
                put(&certificate, chain.as_bytes(), PUBLIC)?;
            }
            Place::Config | Place::LocalConfig => {
                let proof = Proof::Inline {
                    certificate: &pair.certificate,
                    key: &pair.key,
                };
                self.write_config(&one.user, ca, proof)?;
            }
            Place::KubeletPem => {
                let pem = self.layout.kubelet_client();
                let both = format!("{}{}", pair.certificate, pair.key);
                put(&pem, both.as_bytes(), SECRET)?;
                self.write_config(&one.user, ca, Proof::File(Path::new(&pem)))?;
            }
        }
        Ok(())
    }

    fn write_config(&self, user: &str, ca: &str, proof: Proof<'_>) -> Result<(), FileError> {
        let text = kubeconfig(&self.server, ca, user, proof);
        put(&self.layout.kubeconfig(self.name), text.as_bytes(), SECRET).map(drop)
    }
}
