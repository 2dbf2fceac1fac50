//! From texts and flags to one configuration: file, then drop-ins by name, then flags.
//!
//! Pure: the texts come in, problems come out with the file and the line of the field.

use std::path::{Path, PathBuf};

use keelson_api::decode::{self, DecodeError};
use keelson_api::yaml::{self, Document};
use serde_json::Value;

use super::drop_in::merge;
use super::fields::{KubeletConfiguration, ZERO_MEANS_DEFAULT, default_eviction_hard};
use super::flags::FieldSetting;
use super::{Blame, Origin, validate};

const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
const KIND: &str = "KubeletConfiguration";

/// Paths that are relative to the file which names them.
const RELATIVE: [&str; 7] = [
    "staticPodPath",
    "authentication.x509.clientCAFile",
    "tlsCertFile",
    "tlsPrivateKeyFile",
    "resolvConf",
    "volumePluginDir",
    "podLogsDir",
];

/// Fields of which a flag sets only a part.
const ADDS_UP: [&str; 4] = ["featureGates", "authentication", "authorization", "logging"];

/// A file that has been read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// One layer of the configuration, the lowest first.
struct Layer {
    origin: Origin,
    document: Option<Document>,
    value: Value,
}

/// Merges, completes and checks.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn resolve(
    sources: &[Source],
    settings: &[FieldSetting],
) -> Result<KubeletConfiguration, Vec<Blame>> {
    let mut layers = sources.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
    layers.extend(settings.iter().map(flag_layer));
    let mut merged = Value::Object(serde_json::Map::new());
    for layer in &layers {
        merge_layer(&mut merged, layer);
    }
    let mut explicit = merged.clone();
    drop_zeros(&mut explicit);
    let mut config = decode::strict(&explicit).map_err(|e| blames(&layers, &e))?;
    settle(&mut config, &explicit);
    let problems = validate::validate(&config);
    if problems.is_empty() {
        return Ok(config);
    }
    Err(problems
        .into_iter()
        .map(|problem| blame(&layers, &problem.path, problem.message))
        .collect())
}

fn layer(source: &Source) -> Result<Layer, Vec<Blame>> {
    let origin = Origin::File(source.path.clone());
    let document = yaml::parse_one(&source.text).map_err(|e| {
        vec![Blame {
            origin: origin.clone(),
            line: e.at.line,
            path: String::new(),
            message: e.message,
        }]
    })?;
    let mut value = document.value.clone();
    let result = check_type(&value);
    if let Some(object) = value.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    let folder = source.path.parent().unwrap_or(Path::new("/"));
    RELATIVE
        .iter()
        .for_each(|field| make_absolute(&mut value, field, folder));
    let layer = Layer {
        origin,
        document: Some(document),
        value,
    };
    let mut without_nulls = Value::Null;
    merge(&mut without_nulls, &layer.value);
    result
        .and_then(|()| decode::strict::<KubeletConfiguration>(&without_nulls).map(drop))
        .map_err(|e| blames(std::slice::from_ref(&layer), &e))?;
    Ok(layer)
}

fn check_type(value: &Value) -> Result<(), DecodeError> {
    let (api_version, kind) = decode::type_meta(value)?;
    if (api_version, kind) == (API_VERSION, KIND) {
        return Ok(());
    }
    Err(DecodeError::WrongKind {
        kind: kind.to_owned(),
        api_version: api_version.to_owned(),
        expected: format!("{API_VERSION} {KIND}"),
    })
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn make_absolute(value: &mut Value, field: &str, folder: &Path) {
    if let Some(Value::String(path)) = value.pointer_mut(&pointer(field))
        && !path.is_empty()
        && !path.starts_with('/')
    {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

fn flag_layer(setting: &FieldSetting) -> Layer {
    let parts = setting.path.rsplit('.');
    let value = parts.fold(
        setting.value.clone(),
        |value, part| serde_json::json!({ part: value }),
    );
    Layer {
        origin: Origin::Flag(setting.flag),
        document: None,
        value,
    }
}

/// A flag replaces the whole map of its field, except for feature gates, which add up.
fn merge_layer(merged: &mut Value, layer: &Layer) {
    if let Origin::Flag(_) = layer.origin
        && let (Some(merged), Some(value)) = (merged.as_object_mut(), layer.value.as_object())
    {
        for name in value
            .keys()
            .filter(|name| !ADDS_UP.contains(&name.as_str()))
        {
            merged.remove(name);
        }
    }
    merge(merged, &layer.value);
}

/// Zero and empty text mean "the default" for the fields that say so.
fn drop_zeros(value: &mut Value) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    object.retain(|name, value| {
        let zero = match value {
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => {
                text.is_empty()
                    || keelson_api::duration::Duration::parse(text).is_ok_and(|d| d.is_zero())
            }
            _ => false,
        };
        !(zero && ZERO_MEANS_DEFAULT.contains(&name.as_str()))
    });
}

/// Defaults that follow from other fields.
fn settle(config: &mut KubeletConfiguration, explicit: &Value) {
    let set = |name: &str| explicit.get(name).is_some();
    if set("nodeStatusUpdateFrequency") && !set("nodeStatusReportFrequency") {
        config.node_status_report_frequency = config.node_status_update_frequency;
    }
    if !set("serializeImagePulls") && config.max_parallel_image_pulls.is_some_and(|n| n > 1) {
        config.serialize_image_pulls = false;
    }
    if config.pod_pids_limit < 0 {
        config.pod_pids_limit = -1;
    }
    if config.merge_default_eviction_settings {
        for (signal, threshold) in default_eviction_hard() {
            config.eviction_hard.entry(signal).or_insert(threshold);
        }
    }
}

fn blames(layers: &[Layer], error: &DecodeError) -> Vec<Blame> {
    match error {
        DecodeError::Unknown { paths } => paths
            .iter()
            .map(|path| blame(layers, path, unknown(path)))
            .collect(),
        DecodeError::WrongType { path, message } => vec![blame(layers, path, message.clone())],
        other => vec![blame(layers, other.path(), other.to_string())],
    }
}

fn unknown(path: &str) -> String {
    let near = super::fields::FIELD_NAMES
        .iter()
        .find(|name| name.eq_ignore_ascii_case(path));
    match near {
        Some(name) => format!("unknown field; did you mean {name:?}?"),
        None => "unknown field".to_owned(),
    }
}

/// Blames the uppermost layer that says anything of the field.
fn blame(layers: &[Layer], path: &str, message: String) -> Blame {
    let top = path.split(['.', '[']).next().unwrap_or_default();
    let says = |layer: &&Layer| path.is_empty() || layer.value.get(top).is_some();
    let layer = layers.iter().rev().find(says).or(layers.last());
    let line = layer
        .and_then(|l| l.document.as_ref())
        .map_or(0, |d| d.locate(path).line);
    Blame {
        origin: layer.map_or(Origin::Default, |l| l.origin.clone()),
        line,
        path: path.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests;
