//! Asks programs for credentials of images, and keeps their answers for as long as they are good.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::spec::credential_plugins::{
    Answer, CredentialPluginError, Provider, Scope, read, repository, validate,
};
use crate::spec::pull_credentials::Credential;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const LONGEST: u64 = 1 << 20;
/// Answers that are kept: beyond that, those that are no longer good go.
const KEPT: usize = 64;

/// Why programs can't be asked, or one of them did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A file can't be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file says something useless.
    #[error("{path}: {source}")]
    Config {
        /// Which.
        path: PathBuf,
        /// What.
        source: CredentialPluginError,
    },
    /// Only one of the two flags was given.
    #[error(
        "--image-credential-provider-config and --image-credential-provider-bin-dir go together"
    )]
    HalfSet,
    /// A program did not run to a good end.
    #[error("credential provider {name}: {step}: {detail}")]
    Run {
        /// Which.
        name: String,
        /// What was tried.
        step: &'static str,
        /// What happened.
        detail: String,
    },
}

/// Answers and how long they are good, by program and what they are good for.
type Kept = BTreeMap<(usize, Scope, String), (Instant, Answer)>;

/// The programs and what they answered.
#[derive(Debug, Default)]
pub struct CredentialPlugins {
    folder: PathBuf,
    providers: Vec<Provider>,
    kept: Mutex<Kept>,
}

impl CredentialPlugins {
    /// Reads what the two flags name: a file, or a folder of files in the order of their names, and
    /// the folder of programs, each of which must be there.
    ///
    /// # Errors
    /// What can't be read or used.
    pub fn load(config: Option<&Path>, folder: Option<&Path>) -> Result<Self, PluginError> {
        let (config, folder) = match (config, folder) {
            (None, None) => return Ok(Self::default()),
            (Some(config), Some(folder)) => (config, folder.to_owned()),
            _ => return Err(PluginError::HalfSet),
        };
        let invalid = |path: &Path| {
            let path = path.to_owned();
            move |source| PluginError::Config { path, source }
        };
        let mut providers = Vec::new();
        for path in files(config).map_err(unreadable(config))? {
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            providers.extend(read(&text).map_err(invalid(&path))?);
        }
        validate(&providers).map_err(invalid(config))?;
        for provider in &providers {
            let program = folder.join(&provider.name);
            std::fs::metadata(&program).map_err(unreadable(&program))?;
        }
        Ok(Self {
            folder,
            providers,
            kept: Mutex::default(),
        })
    }

    /// What the programs that know the image have for it, and what went wrong with others.
    pub async fn credentials(&self, image: &str) -> (Vec<Credential>, Vec<PluginError>) {
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        let repository = repository(image);
        for (index, provider) in self.providers.iter().enumerate() {
            if !provider.knows(&repository) {
                continue;
            }
            if let Some(answer) = self.remembered(index, &repository) {
                found.extend(answer.fitting(&repository));
                continue;
            }
            match self.ask(provider, &repository).await {
                Ok(answer) => {
                    found.extend(answer.fitting(&repository));
                    self.remember(index, &repository, answer);
                }
                Err(error) => wrong.push(error),
            }
        }
        (found, wrong)
    }

    fn remembered(&self, index: usize, repository: &str) -> Option<Answer> {
        let (kept, now) = (self.kept.lock(), Instant::now());
        let mut scopes = Scope::ALL.into_iter();
        scopes.find_map(|scope| {
            let (until, answer) = kept.get(&(index, scope, scope.key(repository)))?;
            (*until > now).then(|| answer.clone())
        })
    }

    fn remember(&self, index: usize, repository: &str, answer: Answer) {
        if answer.good_for.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.retain(|_, (until, _)| *until > now);
        }
        let key = (index, answer.scope, answer.scope.key(repository));
        kept.insert(key, (now + answer.good_for, answer));
    }

    async fn ask(&self, provider: &Provider, repository: &str) -> Result<Answer, PluginError> {
        let failed = |step: &'static str| {
            move |detail: String| PluginError::Run {
                name: provider.name.clone(),
                step,
                detail,
            }
        };
        let asked = timeout(PATIENCE, self.talk(provider, repository));
        let said = match asked.await {
            Ok(said) => said.map_err(|error| failed("run")(error.to_string()))?,
            Err(_) => {
                let detail = format!("no answer within {} s", PATIENCE.as_secs());
                return Err(failed("run")(detail));
            }
        };
        let answer = provider.answer(&said);
        answer.map_err(|error| failed("read its answer")(error.to_string()))
    }

    /// One run of a program: the request on its input, the answer on its output.
    async fn talk(&self, provider: &Provider, repository: &str) -> std::io::Result<Vec<u8>> {
        let mut command = Command::new(self.folder.join(&provider.name));
        command
            .args(provider.args.iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for variable in provider.env.iter().flatten() {
            command.env(&variable.name, &variable.value);
        }
        let mut child = command.spawn()?;
        let (input, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let request = provider.request(repository);
        let tell = async move {
            if let Some(mut input) = input {
                // A program may answer without reading what it is asked.
                drop(input.write_all(request.as_bytes()).await);
            }
        };
        let (mut said, mut complaint) = (Vec::new(), Vec::new());
        let hear = async {
            let Some(output) = output else { return Ok(0) };
            output.take(LONGEST).read_to_end(&mut said).await
        };
        let listen = async {
            let Some(errors) = errors else { return Ok(0) };
            errors.take(LONGEST).read_to_end(&mut complaint).await
        };
        let ((), heard, listened) = tokio::join!(tell, hear, listen);
        heard?;
        listened?;
        let status = child.wait().await?;
        if status.success() {
            return Ok(said);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        Err(std::io::Error::other(format!(
            "{status}: {}",
            complaint.trim()
        )))
    }
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> PluginError {
    let path = path.to_owned();
    move |source| PluginError::Read { path, source }
}

/// The file itself, or those of a folder that have an end of configurations.
fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path)?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let ends = ["json", "yaml", "yml"];
    files.retain(|file| {
        file.extension()
            .is_some_and(|end| ends.iter().any(|e| end == *e))
    });
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CONFIG: &str = "apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: plugin
  matchImages: [\"*.io\"]
  defaultCacheDuration: 1h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [SCOPE]
  env: [{name: WHO, value: ann}]
";
    /// Writes each question down, and answers with who it was told to be.
    const PROGRAM: &str = r#"#!/bin/sh
cat >> "$0.asked"; echo >> "$0.asked"
[ "$1" = fail ] && { echo broken >&2; exit 3; }
echo '{"kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
"cacheKeyType": "'$1'", "auth": {"*.io": {"username": "'$WHO'", "password": "p"}}}'
"#;

    struct Plugin {
        dir: tempfile::TempDir,
        plugins: CredentialPlugins,
    }

    fn plugin(scope: &str) -> Plugin {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("plugin");
        std::fs::write(&program, PROGRAM).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("a.yaml"), CONFIG.replace("SCOPE", scope)).unwrap();
        std::fs::write(config.join("README"), "not a configuration").unwrap();
        let plugins = CredentialPlugins::load(Some(&config), Some(dir.path())).unwrap();
        Plugin { dir, plugins }
    }

    impl Plugin {
        /// A program that was just written may be held open by a process that is being started.
        async fn users(&self, image: &str) -> Vec<String> {
            loop {
                let (found, wrong) = self.plugins.credentials(image).await;
                match wrong.as_slice() {
                    [] => return found.into_iter().map(|c| c.username).collect(),
                    [busy] if busy.to_string().contains("busy") => tokio::task::yield_now().await,
                    other => panic!("{other:?}"),
                }
            }
        }

        fn asked(&self) -> Vec<String> {
            let asked = std::fs::read_to_string(self.dir.path().join("plugin.asked"));
            let asked = asked.unwrap_or_default();
            let image = |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["image"].as_str().unwrap().to_owned()
            };
            asked.lines().map(image).collect()
        }
    }

    #[tokio::test]
    async fn an_answer_is_used_again_for_what_it_is_good_for() {
        for (scope, asked) in [
            ("Image", &["a.io/x", "a.io/y", "b.io/x"][..]),
            ("Registry", &["a.io/x", "b.io/x"]),
            ("Global", &["a.io/x"]),
        ] {
            let plugin = plugin(scope);
            for image in ["a.io/x:1", "a.io/x:2", "a.io/y", "b.io/x"] {
                assert_eq!(plugin.users(image).await, ["ann"], "{scope} {image}");
            }
            assert_eq!(plugin.users("a.com/x").await, Vec::<String>::new());
            assert_eq!(plugin.asked(), asked, "{scope}");
        }
    }

    #[tokio::test]
    async fn what_a_program_complains_of_is_told() {
        let plugin = plugin("fail");
        let complaint = loop {
            let (found, wrong) = plugin.plugins.credentials("a.io/x").await;
            assert_eq!(found, []);
            let text = wrong[0].to_string();
            if !text.contains("busy") {
                break text;
            }
        };
        assert!(
            complaint.contains("credential provider plugin: run:"),
            "{complaint}"
        );
        assert!(complaint.contains("exit status: 3: broken"), "{complaint}");
    }

    #[test]
    fn both_flags_are_needed_and_the_program_must_be_there() {
        let plugin = plugin("Image");
        let config = plugin.dir.path().join("config");
        let half = CredentialPlugins::load(Some(&config), None).unwrap_err();
        assert!(matches!(half, PluginError::HalfSet));
        let absent = CredentialPlugins::load(Some(&config), Some(&config)).unwrap_err();
        assert!(absent.to_string().contains("config/plugin"), "{absent}");
    }
}
