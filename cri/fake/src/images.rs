//! Images: those the runtime has, and those a registry would give it.

use std::collections::BTreeMap;
use std::time::Duration;

use keelson_cri::config::AuthConfig;
use keelson_cri::values::Image;

/// What a registry holds under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pullable {
    /// Bytes.
    pub size: u64,
    /// How long a pull takes.
    pub takes: Duration,
    /// User name and password that it wants.
    pub credentials: Option<(String, String)>,
    /// The user that the image runs as.
    pub uid: Option<i64>,
}

/// Why a pull fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// No registry has it.
    #[error("failed to resolve reference {0:?}: {0}: not found")]
    NotFound(String),
    /// Wrong credentials, or none.
    #[error(
        "failed to authorize: failed to fetch token for {0:?}: unexpected status: 401 Unauthorized"
    )]
    Unauthorized(String),
}

/// The images of a runtime.
#[derive(Clone, Debug, Default)]
pub struct Images {
    present: BTreeMap<String, Image>,
    pullable: BTreeMap<String, Pullable>,
}

impl Images {
    /// The runtime has an image of this name.
    pub fn add(&mut self, name: &str) {
        self.put(name, &Pullable::default());
    }

    /// A registry would give an image of this name.
    pub fn offer(&mut self, name: &str, pullable: Pullable) {
        self.pullable.insert(name.to_owned(), pullable);
    }

    /// An image must not be collected.
    pub fn pin(&mut self, name: &str) {
        if let Some(image) = self.present.get_mut(name) {
            image.pinned = true;
        }
    }

    /// All images that the runtime has.
    #[must_use]
    pub fn list(&self) -> Vec<Image> {
        self.present.values().cloned().collect()
    }

    /// An image by its name, its name with digest, or its id.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<&Image> {
        let by_other_name = |image: &&Image| {
            image.id == name || image.repo_digests.iter().any(|digest| digest == name)
        };
        self.present
            .get(name)
            .or_else(|| self.present.values().find(by_other_name))
    }

    /// A pull begins: how long it will take.
    ///
    /// # Errors
    /// When no registry has it, or not for these credentials.
    pub fn begin_pull(&self, name: &str, auth: Option<&AuthConfig>) -> Result<Duration, PullError> {
        let pullable = self.pullable.get(name);
        let pullable = pullable.ok_or_else(|| PullError::NotFound(name.to_owned()))?;
        let given = auth.map(|auth| (auth.username.clone(), auth.password.clone()));
        match &pullable.credentials {
            Some(_) if given != pullable.credentials => {
                Err(PullError::Unauthorized(name.to_owned()))
            }
            _ => Ok(pullable.takes),
        }
    }

    /// A pull is done: the reference of the image. Nothing happens if no registry has it any more.
    ///
    /// # Errors
    /// When no registry has it any more.
    pub fn finish_pull(&mut self, name: &str) -> Result<String, PullError> {
        let pullable = self.pullable.get(name).cloned();
        let pullable = pullable.ok_or_else(|| PullError::NotFound(name.to_owned()))?;
        Ok(self.put(name, &pullable))
    }

    /// `RemoveImage` by any of its names. Idempotent.
    pub fn remove(&mut self, name: &str) {
        if let Some(id) = self.status(name).map(|image| image.id.clone()) {
            self.present.retain(|_, image| image.id != id);
        }
    }

    fn put(&mut self, name: &str, pullable: &Pullable) -> String {
        let id = digest(name);
        let repository = name
            .rsplit_once(':')
            .map_or(name, |(repository, _)| repository);
        let image = Image {
            id: id.clone(),
            repo_tags: vec![name.to_owned()],
            repo_digests: vec![format!("{repository}@{id}")],
            size: pullable.size,
            uid: pullable.uid,
            username: String::new(),
            pinned: false,
            runtime_handler: String::new(),
        };
        self.present.insert(name.to_owned(), image);
        id
    }
}

/// Something that looks like a digest and depends on the name alone (FNV-1a, repeated).
fn digest(name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("sha256:{}", format!("{hash:016x}").repeat(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_want_a_registry_and_the_right_credentials() {
        let mut images = Images::default();
        images.offer(
            "r/secret:1",
            Pullable {
                credentials: Some(("u".into(), "p".into())),
                takes: Duration::from_secs(3),
                ..Pullable::default()
            },
        );
        let auth = |password: &str| AuthConfig {
            username: "u".into(),
            password: password.into(),
            ..Default::default()
        };
        let begin = |auth: Option<&AuthConfig>| images.begin_pull("r/secret:1", auth);
        assert!(matches!(begin(None), Err(PullError::Unauthorized(_))));
        assert!(matches!(
            begin(Some(&auth("q"))),
            Err(PullError::Unauthorized(_))
        ));
        assert_eq!(begin(Some(&auth("p"))), Ok(Duration::from_secs(3)));
        assert!(matches!(
            images.begin_pull("r/a:1", None),
            Err(PullError::NotFound(_))
        ));
    }

    #[test]
    fn an_image_has_three_names_and_goes_by_any() {
        let mut images = Images::default();
        for name in 0..3 {
            images.add("r/a:1");
            let image = images.status("r/a:1").unwrap().clone();
            let names = [
                "r/a:1".to_owned(),
                image.id.clone(),
                image.repo_digests[0].clone(),
            ];
            assert_eq!(images.status(&names[name]), Some(&image));
            images.remove(&names[name]);
            images.remove(&names[name]);
            assert_eq!(images.list(), []);
        }
    }
}
