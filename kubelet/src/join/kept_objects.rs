//! What pods were given, kept on a file system in memory: a kubelet that starts while no apiserver
//! answers can start their containers again. A reboot takes it away, no disk ever has it.
//!
//! Guarantees: a file holds all that one pod was given, readable by root alone; what cannot be
//! written is told of and does not stop the pod.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::PodUid;
use crate::model::objects::{Data, Objects, TokenKey};

type Encoded = BTreeMap<String, BTreeMap<String, String>>;

/// The file's form.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stored {
    config_maps: Encoded,
    secrets: Encoded,
    /// Audience, seconds, token.
    tokens: Vec<(String, i64, String)>,
    service_variables: Vec<(String, String)>,
}

/// What pods were given.
#[derive(Debug)]
pub struct KeptObjects {
    folder: PathBuf,
    /// What was written, by its digest: the same is not written again.
    written: Mutex<BTreeMap<PodUid, [u8; 32]>>,
    /// What an earlier kubelet left was looked through.
    tidied: AtomicBool,
}

impl KeptObjects {
    /// Keeps it below this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            written: Mutex::default(),
            tidied: AtomicBool::new(false),
        }
    }

    /// Keeps what a pod was given. Variables of services that were kept stay where there are none.
    pub fn keep(&self, uid: &PodUid, objects: &Objects) {
        let mut stored = Stored::of(objects);
        if stored.service_variables.is_empty() {
            stored.service_variables = self.variables(uid).unwrap_or_default();
        }
        let text = serde_json::to_vec(&stored).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(&text).into();
        if self.written.lock().get(uid) == Some(&digest) {
            return;
        }
        match self.write(uid, &text) {
            Ok(()) => drop(self.written.lock().insert(uid.clone(), digest)),
            Err(error) => tracing::warn!(pod = %uid, %error, "what the pod refers to is not kept"),
        }
    }

    /// What the pod was given last.
    #[must_use]
    pub fn find(&self, uid: &PodUid) -> Option<Objects> {
        Some(self.read(uid)?.objects())
    }

    /// The variables of services that its containers were given last.
    #[must_use]
    pub fn variables(&self, uid: &PodUid) -> Option<Vec<(String, String)>> {
        let variables = self.read(uid)?.service_variables;
        (!variables.is_empty()).then_some(variables)
    }

    /// Removes what belongs to pods that are gone.
    pub fn forget(&self, is_here: impl Fn(&PodUid) -> bool) {
        if !self.tidied.swap(true, Ordering::Relaxed) {
            self.remove_left(&is_here);
        }
        let mut written = self.written.lock();
        for uid in written
            .extract_if(.., |uid, _| !is_here(uid))
            .map(|(uid, _)| uid)
        {
            // It may never have been there.
            let _ = fs::remove_file(self.file(&uid));
        }
    }

    /// Removes what pods left that went while no kubelet ran.
    fn remove_left(&self, is_here: impl Fn(&PodUid) -> bool) {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in files.map(|file| file.path()) {
            let uid = path
                .file_stem()
                .map(|name| name.to_string_lossy().into_owned());
            if uid.is_none_or(|uid| !is_here(&PodUid::from(uid.as_str()))) {
                // Somebody was faster.
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn file(&self, uid: &PodUid) -> PathBuf {
        self.folder.join(format!("{uid}.json"))
    }

    fn read(&self, uid: &PodUid) -> Option<Stored> {
        let text = fs::read(self.file(uid)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn write(&self, uid: &PodUid, text: &[u8]) -> io::Result<()> {
        let folder = &self.folder;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let new = self.folder.join(format!("{uid}.new"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        options.mode(0o600).open(&new)?.write_all(text)?;
        fs::rename(new, self.file(uid))
    }
}

impl Stored {
    fn of(objects: &Objects) -> Self {
        let encoded = |all: &BTreeMap<String, Data>| -> Encoded {
            let one = |data: &Data| {
                let pairs = data.iter();
                let pairs = pairs.map(|(key, value)| (key.clone(), STANDARD.encode(value)));
                pairs.collect()
            };
            let pairs = all.iter();
            pairs
                .map(|(name, data)| (name.clone(), one(data)))
                .collect()
        };
        let tokens = objects.tokens.iter();
        let tokens = tokens.map(|(key, token)| (key.audience.clone(), key.seconds, token.clone()));
        Self {
            config_maps: encoded(&objects.config_maps),
            secrets: encoded(&objects.secrets),
            tokens: tokens.collect(),
            service_variables: objects.service_variables.clone(),
        }
    }

    fn objects(self) -> Objects {
        let decoded = |all: Encoded| -> BTreeMap<String, Data> {
            let one = |data: BTreeMap<String, String>| {
                let pairs = data.into_iter();
                let pairs =
                    pairs.filter_map(|(key, value)| Some((key, STANDARD.decode(value).ok()?)));
                pairs.collect()
            };
            let pairs = all.into_iter();
            pairs.map(|(name, data)| (name, one(data))).collect()
        };
        let tokens = self.tokens.into_iter();
        let tokens =
            tokens.map(|(audience, seconds, token)| (TokenKey { audience, seconds }, token));
        Objects {
            attached: true,
            config_maps: decoded(self.config_maps),
            secrets: decoded(self.secrets),
            tokens: tokens.collect(),
            service_variables: self.service_variables,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Objects {
        let data: Data = [("k".to_owned(), vec![0, 159, 146])].into();
        Objects {
            attached: true,
            config_maps: [("m".to_owned(), data.clone())].into(),
            secrets: [("s".to_owned(), data)].into(),
            tokens: [(TokenKey::of(Some("a"), Some(600)), "t".to_owned())].into(),
            service_variables: vec![("A_SERVICE_HOST".into(), "10.0.0.1".into())],
        }
    }

    #[test]
    fn what_was_given_outlives_the_kubelet_and_not_its_pod() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("objects");
        let (uid, before) = (PodUid::from("u"), KeptObjects::new(&folder));
        assert_eq!(before.find(&uid), None);
        before.keep(&uid, &objects());
        fs::write(folder.join("gone.json"), "{}").unwrap();
        let after = KeptObjects::new(&folder);
        assert_eq!(after.find(&uid), Some(objects()));
        let file = fs::metadata(folder.join("u.json")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
        assert_eq!(mode & 0o777, 0o600);
        after.keep(&uid, &objects());
        after.forget(|here| *here == uid);
        assert!(after.find(&uid).is_some());
        assert!(after.find(&"gone".into()).is_none());
        after.forget(|_| false);
        assert_eq!(after.find(&uid), None);
    }

    #[test]
    fn variables_of_services_stay_when_volumes_are_set_up_again() {
        let place = tempfile::tempdir().unwrap();
        let (uid, kept) = (PodUid::from("u"), KeptObjects::new(place.path()));
        kept.keep(&uid, &objects());
        let volumes = Objects {
            service_variables: Vec::new(),
            ..objects()
        };
        kept.keep(&uid, &volumes);
        assert_eq!(kept.variables(&uid), Some(objects().service_variables));
    }

    #[test]
    fn what_cannot_be_read_was_never_given() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("u.json"), "{").unwrap();
        assert_eq!(KeptObjects::new(place.path()).find(&"u".into()), None);
    }
}
