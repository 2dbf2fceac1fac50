//! Values to typed objects, strictly: nothing unknown, nothing of the wrong type.
//!
//! Decides which field is to blame and says so with its whole path. It checks shape only;
//! what the values mean is for `validate`.

use k8s_openapi::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a value is not the object it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The document is a list or a scalar.
    #[error("expected a mapping with apiVersion and kind")]
    NotAnObject,
    /// `apiVersion` or `kind` is missing, empty or not text.
    #[error("{field}: required value")]
    TypeMeta {
        /// `apiVersion` or `kind`.
        field: &'static str,
    },
    /// The object is of another kind than the one asked for.
    #[error("no kind {kind:?} is registered for version {api_version:?} here: expected {expected}")]
    WrongKind {
        /// What the object says it is.
        kind: String,
        /// The version the object names.
        api_version: String,
        /// What would be right.
        expected: String,
    },
    /// Fields that the kind does not have.
    #[error("{}", render_unknown(.paths))]
    Unknown {
        /// The whole path of each field.
        paths: Vec<String>,
    },
    /// A field holds a value of the wrong type.
    #[error("{path}: {message}")]
    WrongType {
        /// The whole path of the field.
        path: String,
        /// What was found and what was expected.
        message: String,
    },
}

impl DecodeError {
    /// The path of the first field to blame; empty when it is the object as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::NotAnObject => "",
            Self::TypeMeta { field } => field,
            Self::WrongKind { .. } => "kind",
            Self::Unknown { paths } => paths.first().map_or("", String::as_str),
            Self::WrongType { path, .. } => path,
        }
    }
}

fn render_unknown(paths: &[String]) -> String {
    let fields: Vec<_> = paths
        .iter()
        .map(|p| format!("unknown field {p:?}"))
        .collect();
    fields.join(", ")
}

/// `apiVersion` and `kind` of an object.
///
/// # Errors
/// When the value is not a mapping or lacks one of the two.
pub fn type_meta(value: &Value) -> Result<(&str, &str), DecodeError> {
    let object = value.as_object().ok_or(DecodeError::NotAnObject)?;
    let text = |field: &'static str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or(DecodeError::TypeMeta { field })
    };
    Ok((text("apiVersion")?, text("kind")?))
}

/// Decodes an object of the kind `T`.
///
/// # Errors
/// When it says it is of another kind, has a field `T` lacks, or a value of the wrong type.
pub fn object<T: Resource + DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    let (api_version, kind) = type_meta(value)?;
    if (api_version, kind) != (T::API_VERSION, T::KIND) {
        return Err(DecodeError::WrongKind {
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
            expected: format!("{} {}", T::API_VERSION, T::KIND),
        });
    }
    strict(value)
}

/// Decodes any type, strictly.
///
/// # Errors
/// When the value has a field `T` lacks or a value of the wrong type.
pub fn strict<T: DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    let mut unknown = Vec::new();
    let decoded = lenient(value, |path| unknown.push(path))?;
    if unknown.is_empty() {
        Ok(decoded)
    } else {
        Err(DecodeError::Unknown { paths: unknown })
    }
}

/// Decodes any type; the path of each unknown field goes to `unknown`.
///
/// # Errors
/// When a value is of the wrong type.
pub fn lenient<T: DeserializeOwned>(
    value: &Value,
    mut unknown: impl FnMut(String),
) -> Result<T, DecodeError> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let mut note = |path: serde_ignored::Path<'_>| unknown(render(&path));
    let result = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    result.map_err(|e| DecodeError::WrongType {
        path: track.path().to_string(),
        message: e.to_string(),
    })
}

/// `spec.containers[0].image`, as field paths are written everywhere.
fn render(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    let join = |parent: &Path<'_>, key: &str| match render(parent) {
        parent if parent.is_empty() => key.to_owned(),
        parent => format!("{parent}.{key}"),
    };
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", render(parent)),
        Path::Map { parent, key } => join(parent, key),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => render(parent),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DecodeError, object, strict};
    use crate::core::Pod;

    fn blame(value: &serde_json::Value) -> (String, String) {
        let error = object::<Pod>(value).expect_err("should be refused");
        (error.path().to_owned(), error.to_string())
    }

    #[test]
    fn names_the_field_to_blame() {
        let pod =
            |spec: serde_json::Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
        let cases = [
            (json!([1]), "", "expected a mapping"),
            (json!({"kind": "Pod"}), "apiVersion", "required"),
            (json!({"apiVersion": "v1", "kind": ""}), "kind", "required"),
            (
                json!({"apiVersion": "v1", "kind": "Service"}),
                "kind",
                "expected v1 Pod",
            ),
            (json!({"apiVersion": "v2", "kind": "Pod"}), "kind", "\"v2\""),
            (
                pod(json!({"containers": [{"name": "a", "imagee": "x"}]})),
                "spec.containers[0].imagee",
                "unknown field \"spec.containers[0].imagee\"",
            ),
            (
                pod(json!({"containers": [{"name": "a", "ports": [{"containerPort": "80"}]}]})),
                "spec.containers[0].ports[0].containerPort",
                "invalid type: string \"80\", expected i32",
            ),
            (
                pod(json!({"containers": [{"name": 1}]})),
                "spec.containers[0].name",
                "expected a string",
            ),
            (
                pod(json!({"hostNetwork": "yes"})),
                "spec.hostNetwork",
                "expected a boolean",
            ),
            (
                pod(json!({"priority": 1.5})),
                "spec.priority",
                "expected i32",
            ),
            (
                pod(json!({"priority": 3_000_000_000u64})),
                "spec.priority",
                "expected i32",
            ),
        ];
        for (value, path, message) in cases {
            let (got_path, got_message) = blame(&value);
            assert_eq!(got_path, path, "{got_message}");
            assert!(
                got_message.contains(message),
                "{got_message} lacks {message}"
            );
        }
    }

    #[test]
    fn reports_every_unknown_field() {
        let value = json!({"apiVersion": "v1", "kind": "Pod", "a": 1, "metadata": {"b": 2}});
        let error = object::<Pod>(&value).unwrap_err();
        let paths = vec!["a".to_owned(), "metadata.b".to_owned()];
        assert_eq!(error, DecodeError::Unknown { paths });
    }

    #[test]
    fn takes_numbers_for_quantities_and_null_for_absent() {
        let value = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": null,
            "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]},
        });
        let pod: Pod = strict(&value).unwrap();
        let spec = pod.spec.unwrap();
        let limits = spec.containers[0]
            .resources
            .as_ref()
            .unwrap()
            .limits
            .as_ref()
            .unwrap();
        assert_eq!(limits["cpu"].0, "1");
    }
}
