//! Files that come from ConfigMaps, Secrets and tokens.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, KeyToPath, SecretVolumeSource, VolumeProjection,
};

use super::super::content::Payload;
use super::super::plan::VolumeError;
use super::{DEFAULT_MODE, Maker};
use crate::model::objects::{Data, TokenKey};

/// What is taken of one ConfigMap or Secret.
struct Reference<'a> {
    kind: &'static str,
    name: &'a str,
    optional: bool,
    items: Option<&'a [KeyToPath]>,
    mode: i32,
    found: Option<&'a Data>,
}

impl Maker<'_> {
    /// Files of a `configMap` volume.
    pub fn config_map(&self, source: &ConfigMapVolumeSource) -> Result<Payload, VolumeError> {
        let mut payload = Payload::new();
        let reference = Reference {
            kind: "configMap",
            name: &source.name,
            optional: source.optional == Some(true),
            items: source.items.as_deref(),
            mode: source.default_mode.unwrap_or(DEFAULT_MODE),
            found: self.facts.objects.config_maps.get(&source.name),
        };
        self.add_data(&mut payload, &reference)?;
        Ok(payload)
    }

    /// Files of a `secret` volume.
    pub fn secret(&self, source: &SecretVolumeSource) -> Result<Payload, VolumeError> {
        let mut payload = Payload::new();
        let name = source.secret_name.as_deref().unwrap_or_default();
        let reference = Reference {
            kind: "secret",
            name,
            optional: source.optional == Some(true),
            items: source.items.as_deref(),
            mode: source.default_mode.unwrap_or(DEFAULT_MODE),
            found: self.facts.objects.secrets.get(name),
        };
        self.add_data(&mut payload, &reference)?;
        Ok(payload)
    }

    /// Files of a projection of a ConfigMap, a Secret or a token; false for any other.
    pub(super) fn add_referenced(
        &self,
        payload: &mut Payload,
        projection: &VolumeProjection,
        mode: i32,
    ) -> Result<bool, VolumeError> {
        let objects = &self.facts.objects;
        if let Some(source) = &projection.config_map {
            let reference = Reference {
                kind: "configMap",
                name: &source.name,
                optional: source.optional == Some(true),
                items: source.items.as_deref(),
                mode,
                found: objects.config_maps.get(&source.name),
            };
            self.add_data(payload, &reference)?;
        } else if let Some(source) = &projection.secret {
            let reference = Reference {
                kind: "secret",
                name: &source.name,
                optional: source.optional == Some(true),
                items: source.items.as_deref(),
                mode,
                found: objects.secrets.get(&source.name),
            };
            self.add_data(payload, &reference)?;
        } else if let Some(source) = &projection.service_account_token {
            let key = TokenKey::of(source.audience.as_deref(), source.expiration_seconds);
            let Some(token) = objects.tokens.get(&key) else {
                return Err(self.missing("serviceAccountToken", &source.path));
            };
            self.add(payload, &source.path, token.clone().into_bytes(), mode)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn add_data(
        &self,
        payload: &mut Payload,
        reference: &Reference<'_>,
    ) -> Result<(), VolumeError> {
        let Some(data) = reference.found else {
            if reference.optional && self.facts.objects.attached {
                return Ok(());
            }
            return Err(self.missing(reference.kind, reference.name));
        };
        let Some(items) = reference.items.filter(|items| !items.is_empty()) else {
            for (key, value) in data {
                self.add(payload, key, value.clone(), reference.mode)?;
            }
            return Ok(());
        };
        for item in items {
            let Some(value) = data.get(&item.key) else {
                if reference.optional {
                    continue;
                }
                let cure = format!(
                    "{} {:?} has no key {:?}",
                    reference.kind, reference.name, item.key
                );
                return Err(self.wrong(&item.path, cure));
            };
            let mode = item.mode.unwrap_or(reference.mode);
            self.add(payload, &item.path, value.clone(), mode)?;
        }
        Ok(())
    }

    /// What is not there: on a node of its own it never will be.
    fn missing(&self, kind: &'static str, name: &str) -> VolumeError {
        let volume = self.volume.to_owned();
        if self.facts.objects.attached {
            let name = name.to_owned();
            VolumeError::Missing { volume, kind, name }
        } else {
            VolumeError::NeedsApiServer { volume, kind }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::objects::Objects;
    use crate::volume::plan::Facts;

    fn made(source: Value) -> Result<Vec<String>, String> {
        let data = [("a", "1"), ("b", "2")];
        let data: Data = data
            .map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()))
            .into();
        let facts = Facts {
            objects: Objects {
                attached: true,
                config_maps: [("m".to_owned(), data.clone())].into(),
                secrets: [("s".to_owned(), data)].into(),
                tokens: [(TokenKey::of(None, None), "t".to_owned())].into(),
                ..Objects::default()
            },
            ..Facts::default()
        };
        let pod = Default::default();
        let maker = Maker {
            volume: "v",
            pod: &pod,
            facts: &facts,
        };
        let source = serde_json::from_value(json!({"sources": [source]})).unwrap();
        let payload = maker
            .projected(&source)
            .map_err(|error| error.to_string())?;
        let file = |(path, content): (&String, &crate::volume::content::FileContent)| {
            let text = String::from_utf8_lossy(&content.bytes);
            format!("{path}={text} {:o}", content.mode)
        };
        Ok(payload.iter().map(file).collect())
    }

    #[test]
    fn whole_objects_and_items() {
        let check = |source: Value, expected: &[&str]| {
            assert_eq!(made(source.clone()).unwrap(), expected, "{source}");
        };
        check(json!({"configMap": {"name": "m"}}), &["a=1 644", "b=2 644"]);
        check(
            json!({"secret": {"name": "s", "items": [{"key": "b", "path": "x/y", "mode": 256}]}}),
            &["x/y=2 400"],
        );
        check(
            json!({"serviceAccountToken": {"path": "token"}}),
            &["token=t 644"],
        );
        check(
            json!({"configMap": {"name": "gone", "optional": true}}),
            &[],
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |source: Value, expected: &str| {
            assert_eq!(made(source).unwrap_err(), expected);
        };
        check(
            json!({"configMap": {"name": "gone"}}),
            "volume \"v\": configMap \"gone\" not found",
        );
        check(
            json!({"secret": {"name": "s", "items": [{"key": "z", "path": "z"}]}}),
            "volume \"v\": item \"z\": secret \"s\" has no key \"z\"",
        );
    }
}
