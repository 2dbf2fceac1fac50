//! The kubeconfig file's own shape (`apiVersion: v1, kind: Config`), and how several are merged.
//! Fields that nothing here reads are ignored, as upstream ignores them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A kubeconfig file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KubeconfigFile {
    /// Which context counts.
    pub current_context: String,
    /// Servers by name.
    pub clusters: Vec<NamedCluster>,
    /// Credentials by name.
    pub users: Vec<NamedUser>,
    /// Pairs of both by name.
    pub contexts: Vec<NamedContext>,
}

/// One of `clusters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NamedCluster {
    /// Its name.
    pub name: String,
    /// What it says.
    pub cluster: Cluster,
}

/// One of `users`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NamedUser {
    /// Its name.
    pub name: String,
    /// What it says.
    pub user: User,
}

/// One of `contexts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NamedContext {
    /// Its name.
    pub name: String,
    /// What it says.
    pub context: Context,
}

/// Where a server is and how it is recognized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Cluster {
    /// Its URL; several, separated by commas, are tried in order (ours alone).
    pub server: String,
    /// The name that its certificate must have.
    pub tls_server_name: String,
    /// Whether its certificate is not looked at.
    pub insecure_skip_tls_verify: bool,
    /// The file of the CA.
    pub certificate_authority: PathBuf,
    /// The CA itself, base64 of PEM.
    pub certificate_authority_data: String,
    /// A proxy in between.
    pub proxy_url: String,
}

/// Credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct User {
    /// The file of our certificate.
    pub client_certificate: PathBuf,
    /// Our certificate itself, base64 of PEM.
    pub client_certificate_data: String,
    /// The file of our key.
    pub client_key: PathBuf,
    /// Our key itself, base64 of PEM.
    pub client_key_data: String,
    /// A bearer token.
    pub token: String,
    /// The file of a bearer token.
    #[serde(rename = "tokenFile")]
    pub token_file: PathBuf,
    /// A name to log in with.
    pub username: String,
    /// Its password.
    pub password: String,
    /// A program that prints credentials.
    pub exec: Option<ExecConfig>,
    /// Credentials by built-in plugins, gone upstream.
    pub auth_provider: Option<serde_json::Value>,
    /// Whom to act as.
    #[serde(rename = "as")]
    pub act_as: String,
}

/// A program that prints credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExecConfig {
    /// The version of `ExecCredential` it prints.
    pub api_version: String,
    /// The program; with a slash and relative, from the kubeconfig's folder.
    pub command: String,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// What is added to its environment.
    pub env: Option<Vec<EnvVar>>,
    /// What to tell those who don't have the program.
    pub install_hint: String,
    /// Whether the program is told about the cluster.
    pub provide_cluster_info: bool,
    /// Whether it may ask the user: `Never`, `IfAvailable`, `Always`.
    pub interactive_mode: String,
}

/// One variable of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Which cluster and user belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The cluster's name.
    pub cluster: String,
    /// The user's name.
    pub user: String,
    /// The namespace meant where none is named.
    pub namespace: String,
}

impl KubeconfigFile {
    /// Reads the file's text, YAML or JSON.
    ///
    /// # Errors
    /// It is neither, or a field is of the wrong type; the text says where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: BTreeMap<String, serde_json::Value> =
            serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if value.get("kind").is_some_and(|kind| kind != "Config") {
            return Err(format!("kind is {}, not \"Config\"", value["kind"]));
        }
        let present = value.into_iter().filter(|(_, value)| !value.is_null());
        serde_json::from_value(present.collect()).map_err(|error| error.to_string())
    }

    /// Makes relative paths start at the file's folder.
    pub fn anchor(&mut self, folder: &Path) {
        let anchor = |path: &mut PathBuf| {
            if path.is_relative() && !path.as_os_str().is_empty() {
                *path = folder.join(&*path);
            }
        };
        for cluster in &mut self.clusters {
            anchor(&mut cluster.cluster.certificate_authority);
        }
        for user in &mut self.users {
            let user = &mut user.user;
            anchor(&mut user.client_certificate);
            anchor(&mut user.client_key);
            anchor(&mut user.token_file);
            if let Some(exec) = &mut user.exec
                && exec.command.contains('/')
                && !exec.command.starts_with('/')
            {
                exec.command = folder.join(&exec.command).to_string_lossy().into_owned();
            }
        }
    }

    /// Takes in a later file of `$KUBECONFIG`: of equal names the first one counts.
    pub fn merge(&mut self, later: Self) {
        if self.current_context.is_empty() {
            self.current_context = later.current_context;
        }
        add_new(&mut self.clusters, later.clusters, |entry| &entry.name);
        add_new(&mut self.users, later.users, |entry| &entry.name);
        add_new(&mut self.contexts, later.contexts, |entry| &entry.name);
    }
}

fn add_new<T>(into: &mut Vec<T>, later: Vec<T>, name: impl Fn(&T) -> &String) {
    for entry in later {
        if into.iter().all(|known| name(known) != name(&entry)) {
            into.push(entry);
        }
    }
}
