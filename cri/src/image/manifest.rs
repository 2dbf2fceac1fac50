//! The JSON documents of an image: configuration, manifest and index. Pure.

use std::collections::{BTreeMap, HashMap};

use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
    SCHEMA_VERSION,
};
use serde::Serialize;
use serde_json::Value;

use super::layer::{Layer, sha256};

/// How containerd finds an image's full name in an archive.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// How other tools find its tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What an image runs, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod may replace.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; empty for `/`.
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty for root.
    pub user: String,
    /// `80/tcp`, for people only.
    pub exposed_ports: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The signal that stops it, such as `SIGQUIT`; empty for SIGTERM.
    pub stop_signal: String,
}

/// Why an image can't be described.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The name would not be found again by the runtime.
    #[error(
        "image name {0:?} is not a full reference; write registry/path:tag, such as localhost/{0}:1"
    )]
    Name(String),
    /// An environment variable without a name or a value.
    #[error("image {image}: environment variable {variable:?} is not NAME=value")]
    Env {
        /// The image.
        image: String,
        /// As given.
        variable: String,
    },
    /// A document could not be put together.
    #[error("image {image}: writing the {document}: {source}")]
    Document {
        /// The image.
        image: String,
        /// Which one.
        document: &'static str,
        /// Why.
        source: OciSpecError,
    },
}

/// The documents of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    pub(super) config: Blob,
    pub(super) manifest: Blob,
    pub(super) index: Vec<u8>,
}

/// Content under its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: sha256(&bytes),
            bytes,
        }
    }
}

/// Writes the documents of an image made of these layers.
pub(super) fn describe(
    name: &str,
    layers: &[Layer],
    settings: &Settings,
) -> Result<Documents, ImageError> {
    let tag = tag(name).ok_or_else(|| ImageError::Name(name.to_owned()))?;
    check_env(name, settings)?;
    let failed = |document| {
        move |source| ImageError::Document {
            image: name.to_owned(),
            document,
            source,
        }
    };
    let config = Blob::new(configuration(layers, settings).map_err(failed("configuration"))?);
    let manifest = Blob::new(manifest(&config, layers).map_err(failed("manifest"))?);
    let index = index(name, tag, &manifest).map_err(failed("index"))?;
    Ok(Documents {
        config,
        manifest,
        index,
    })
}

/// The tag of a full reference: a registry (it has a dot or a port, or is localhost), a path and
/// a tag. Anything shorter means another image to a runtime than to us.
fn tag(name: &str) -> Option<&str> {
    let (registry, rest) = name.split_once('/')?;
    let (path, tag) = rest.rsplit_once(':')?;
    let is_registry = registry == "localhost" || registry.contains(['.', ':']);
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    let tag_char = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let valid = is_registry
        && !path.is_empty()
        && path.chars().all(lower)
        && !tag.is_empty()
        && tag.chars().all(tag_char);
    valid.then_some(tag)
}

fn check_env(name: &str, settings: &Settings) -> Result<(), ImageError> {
    let malformed = |variable: &&String| variable.find('=').is_none_or(|at| at == 0);
    settings
        .env
        .iter()
        .find(malformed)
        .map_or(Ok(()), |variable| {
            Err(ImageError::Env {
                image: name.to_owned(),
                variable: variable.clone(),
            })
        })
}

fn configuration(layers: &[Layer], settings: &Settings) -> Result<Vec<u8>, OciSpecError> {
    let mut config = ConfigBuilder::default()
        .entrypoint(settings.entrypoint.clone())
        .cmd(settings.cmd.clone())
        .env(settings.env.clone())
        .exposed_ports(settings.exposed_ports.clone());
    if !settings.working_dir.is_empty() {
        config = config.working_dir(&*settings.working_dir);
    }
    if !settings.user.is_empty() {
        config = config.user(&*settings.user);
    }
    if !settings.stop_signal.is_empty() {
        config = config.stop_signal(&*settings.stop_signal);
    }
    let labels: HashMap<String, String> = settings.labels.clone().into_iter().collect();
    let diff_ids: Vec<String> = layers.iter().map(|l| l.digest().to_owned()).collect();
    let configuration = ImageConfigurationBuilder::default()
        .architecture(architecture())
        .os(Os::Linux)
        .config(config.labels(labels).build()?)
        .rootfs(
            RootFsBuilder::default()
                .typ("layers")
                .diff_ids(diff_ids)
                .build()?,
        )
        .history(Vec::new())
        .build()?;
    canonical(&configuration)
}

fn manifest(config: &Blob, layers: &[Layer]) -> Result<Vec<u8>, OciSpecError> {
    let describe = |layer: &Layer| descriptor(MediaType::ImageLayer, layer.digest(), layer.bytes());
    let layers = layers.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(
            MediaType::ImageConfig,
            &config.digest,
            &config.bytes,
        )?)
        .layers(layers)
        .build()?;
    canonical(&manifest)
}

fn index(name: &str, tag: &str, manifest: &Blob) -> Result<Vec<u8>, OciSpecError> {
    let mut described = descriptor(MediaType::ImageManifest, &manifest.digest, &manifest.bytes)?;
    let platform = PlatformBuilder::default()
        .architecture(architecture())
        .os(Os::Linux)
        .build()?;
    described.set_platform(Some(platform));
    described.set_annotations(Some(HashMap::from([
        (IMAGE_NAME.to_owned(), name.to_owned()),
        (REF_NAME.to_owned(), tag.to_owned()),
    ])));
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![described])
        .build()?;
    canonical(&index)
}

fn descriptor(kind: MediaType, digest: &str, bytes: &[u8]) -> Result<Descriptor, OciSpecError> {
    DescriptorBuilder::default()
        .media_type(kind)
        .digest(digest.parse::<Digest>()?)
        .size(bytes.len() as u64)
        .build()
}

/// The architecture that this program was built for, in OCI's words.
pub(crate) fn architecture() -> Arch {
    match std::env::consts::ARCH {
        "x86_64" => Arch::Amd64,
        "aarch64" => Arch::ARM64,
        other => Arch::Other(other.to_owned()),
    }
}

/// JSON with the keys in order, whatever the maps inside.
fn canonical<T: Serialize>(document: &T) -> Result<Vec<u8>, OciSpecError> {
    let value = sorted(serde_json::to_value(document)?);
    Ok(serde_json::to_vec(&value)?)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::layer::File;

    fn layer() -> Layer {
        let file = File {
            path: "web",
            mode: 0o755,
            content: b"x",
        };
        Layer::from_files(&[file]).unwrap()
    }

    #[test]
    fn names_must_be_full_references() {
        for name in [
            "localhost/demo/web:1",
            "registry.k8s.io/pause:3.10",
            "r:5000/a/b:v1.2-x",
        ] {
            assert!(tag(name).is_some(), "{name}");
        }
        for name in [
            "web",
            "web:1",
            "demo/web:1",
            "localhost/web",
            "localhost/Web:1",
            "localhost/:1",
            "localhost/a:",
            "a.b/c@sha256:0",
        ] {
            assert_eq!(tag(name), None, "{name}");
        }
    }

    #[test]
    fn settings_reach_the_configuration() {
        let settings = Settings {
            entrypoint: vec!["/web".into()],
            cmd: vec!["--port".into(), "80".into()],
            env: vec!["A=1".into()],
            working_dir: "/srv".into(),
            user: "1000:1000".into(),
            exposed_ports: vec!["80/tcp".into()],
            labels: BTreeMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]),
            stop_signal: "SIGQUIT".into(),
        };
        let documents = describe("localhost/web:1", &[layer()], &settings).unwrap();
        let config: Value = serde_json::from_slice(&documents.config.bytes).unwrap();
        let expected = serde_json::json!({
            "Entrypoint": ["/web"], "Cmd": ["--port", "80"], "Env": ["A=1"], "WorkingDir": "/srv",
            "User": "1000:1000", "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "1", "b": "2"},
            "StopSignal": "SIGQUIT",
        });
        assert_eq!(config["config"], expected);
        assert_eq!(config["rootfs"]["diff_ids"][0], layer().digest());
        let index: Value = serde_json::from_slice(&documents.index).unwrap();
        assert_eq!(
            index["manifests"][0]["annotations"][IMAGE_NAME],
            "localhost/web:1"
        );
        assert_eq!(index["manifests"][0]["annotations"][REF_NAME], "1");
        assert_eq!(index["manifests"][0]["digest"], documents.manifest.digest);
    }

    #[test]
    fn bad_input_is_named() {
        let settings = Settings {
            env: vec!["=x".into()],
            ..Settings::default()
        };
        let error = describe("localhost/web:1", &[], &settings).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image localhost/web:1: environment variable \"=x\" is not NAME=value"
        );
        let error = describe("web", &[], &Settings::default()).unwrap_err();
        assert!(
            error.to_string().contains("such as localhost/web:1"),
            "{error}"
        );
    }
}
