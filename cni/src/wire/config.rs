//! The configuration on stdin: decoded, checked, every refusal naming its field.
//! [`Input`] is what all plugins share; each plugin's own fields are in a module of their own.

pub mod bridge;
pub mod host_local;
pub mod portmap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::env::Attachment;
use super::error_code::{Code, Failure, Outcome};
use super::result::{Attached, Dns};
use super::version::Version;

const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";

/// The part of a configuration that every plugin has.
#[derive(Debug, Clone)]
pub struct Input {
    /// Protocol version.
    pub version: Version,
    /// Name of the network.
    pub network: String,
    /// Result of the plugin before, or of the ADD that CHECK and DEL are about.
    pub previous: Option<Attached>,
    /// Name resolution given by the administrator.
    pub dns: Dns,
    /// GC: the attachments that still exist.
    pub valid_attachments: Option<Vec<Attachment>>,
    /// Everything, for the plugin's own fields.
    pub value: Value,
    /// As it came, for a delegated plugin.
    pub raw: Vec<u8>,
}

/// Decodes only the version, so that even an error about the rest carries it.
///
/// # Errors
/// Code 6 where the input is no JSON, 7 where it is no object, 1 for an unknown version.
pub fn version(raw: &[u8]) -> Outcome<(Value, Version)> {
    let mut value: Value = serde_json::from_slice(raw)
        .map_err(|error| Failure::new(Code::Decoding, format!("network configuration: {error}")))?;
    drop_nulls(&mut value);
    if !value.is_object() {
        return Err(Failure::config(
            "network configuration",
            "must be an object",
        ));
    }
    let text = match value.get("cniVersion") {
        None => "0.1.0",
        Some(Value::String(text)) => text.as_str(),
        Some(_) => return Err(Failure::config("cniVersion", "must be text")),
    };
    let version = text.parse().map_err(|()| {
        let known = super::version::SUPPORTED.map(Version::as_str).join(", ");
        Failure::new(
            Code::IncompatibleVersion,
            format!("cniVersion: version {text:?} is not supported"),
        )
        .with_details(format!("supported versions: {known}"))
    })?;
    Ok((value, version))
}

impl Input {
    /// Reads what all plugins share.
    ///
    /// # Errors
    /// Code 7 with the wrong field.
    pub fn read(raw: Vec<u8>, value: Value, version: Version) -> Outcome<Self> {
        #[derive(Deserialize)]
        struct Common {
            #[serde(default)]
            name: String,
            #[serde(default)]
            dns: Dns,
        }
        let common: Common = fields(&value)?;
        check_name(&common.name)?;
        let previous = match value.get("prevResult") {
            None => None,
            Some(result) => Some(Attached::read("prevResult", result)?),
        };
        Ok(Self {
            version,
            network: common.name,
            previous,
            dns: common.dns,
            valid_attachments: valid_attachments(&value)?,
            value,
            raw,
        })
    }

    /// The attachments that GC keeps.
    ///
    /// # Errors
    /// Code 7 where the runtime gave none: taking that for an empty list would cut off every pod.
    pub fn keep(&self) -> Outcome<&[Attachment]> {
        self.valid_attachments
            .as_deref()
            .ok_or_else(|| Failure::config(VALID_ATTACHMENTS, "missing, GC needs it"))
    }

    /// The result of the ADD that CHECK is about.
    ///
    /// # Errors
    /// Code 7 where the runtime gave none.
    pub fn previous(&self) -> Outcome<&Attached> {
        self.previous
            .as_ref()
            .ok_or_else(|| Failure::config("prevResult", "missing, it is needed here"))
    }
}

/// Deserialises a plugin's fields, naming the path of the first wrong one.
pub(crate) fn fields<T: DeserializeOwned>(value: &Value) -> Outcome<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        if path == "." {
            return Failure::config("network configuration", error.inner());
        }
        Failure::config(&path, error.inner())
    })
}

fn check_name(name: &str) -> Outcome<()> {
    let plain = |c: char| c.is_ascii_alphanumeric();
    if name.is_empty() {
        return Err(Failure::config("name", "missing"));
    }
    if name.starts_with(plain) && name.chars().all(|c| plain(c) || "_.-".contains(c)) {
        return Ok(());
    }
    Err(Failure::config(
        "name",
        format!("{name:?} has characters other than letters, digits, '_', '.' and '-'"),
    ))
}

fn valid_attachments(value: &Value) -> Outcome<Option<Vec<Attachment>>> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(rename = "containerID")]
        container: String,
        #[serde(rename = "ifname")]
        interface: String,
    }
    let Some(list) = value.get(VALID_ATTACHMENTS) else {
        return Ok(None);
    };
    let list: Vec<Wire> = serde_path_to_error::deserialize(list).map_err(|error| {
        Failure::config(
            &format!("{VALID_ATTACHMENTS}{}", error.path()),
            error.inner(),
        )
    })?;
    let convert = |wire: Wire| Attachment {
        container: wire.container,
        interface: wire.interface,
    };
    Ok(Some(list.into_iter().map(convert).collect()))
}

/// A null means the same as an absent field.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn input(value: Value) -> Outcome<Input> {
        let raw = value.to_string().into_bytes();
        let (value, version) = version(&raw)?;
        Input::read(raw, value, version)
    }

    #[test]
    fn reads_the_common_part() {
        let read = input(json!({
            "cniVersion": "1.1.0", "name": "n", "type": "x", "unknown": 1, "dns": null,
            "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]
        }))
        .unwrap();
        assert_eq!(read.network, "n");
        assert_eq!(read.keep().unwrap().len(), 1);
        assert_eq!(read.previous().unwrap_err().code, 7);
    }

    #[test]
    fn refuses_with_the_code_and_the_field() {
        for (raw, code, text) in [
            ("", 6, "network configuration"),
            ("{\"name\":", 6, "network configuration"),
            ("[]", 7, "must be an object"),
            (r#"{"name":"n"}"#, 1, "cniVersion"),
            (r#"{"cniVersion":"9.9.9","name":"n"}"#, 1, "9.9.9"),
            (r#"{"cniVersion":1,"name":"n"}"#, 7, "cniVersion"),
            (r#"{"cniVersion":"1.0.0"}"#, 7, "name"),
            (r#"{"cniVersion":"1.0.0","name":"a/b"}"#, 7, "name"),
            (r#"{"cniVersion":"1.0.0","name":["a"]}"#, 7, "name"),
            (
                r#"{"cniVersion":"1.0.0","name":"n","dns":{"search":1}}"#,
                7,
                "dns.search",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"n","cni.dev/valid-attachments":[{}]}"#,
                7,
                "valid-attachments[0]",
            ),
        ] {
            let failure = version(raw.as_bytes())
                .and_then(|(value, version)| Input::read(raw.into(), value, version))
                .unwrap_err();
            assert_eq!(failure.code, code, "{raw}");
            assert!(failure.message.contains(text), "{raw}: {}", failure.message);
        }
    }
}
