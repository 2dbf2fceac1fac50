//! The content of downwardAPI, configMap, secret and projected volumes. Pure.

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, DownwardAPIVolumeSource, Pod, ProjectedVolumeSource, VolumeProjection,
};
use keelson_api::field_path;

mod referenced;

use super::content::{FileContent, Payload, check_path};
use super::plan::{Facts, VolumeError};

/// Mode of files when neither the volume nor the item says.
const DEFAULT_MODE: i32 = 0o644;

/// What the files are made from.
pub(super) struct Maker<'a> {
    /// Name of the volume, for messages.
    pub volume: &'a str,
    /// The pod it belongs to.
    pub pod: &'a Pod,
    /// The node's part.
    pub facts: &'a Facts,
}

impl Maker<'_> {
    /// Files of a `downwardAPI` volume.
    pub fn downward_api(&self, source: &DownwardAPIVolumeSource) -> Result<Payload, VolumeError> {
        let mut payload = Payload::new();
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        self.add_items(
            &mut payload,
            source.items.as_deref().unwrap_or_default(),
            mode,
        )?;
        Ok(payload)
    }

    /// Files of a `projected` volume.
    pub fn projected(&self, source: &ProjectedVolumeSource) -> Result<Payload, VolumeError> {
        let mut payload = Payload::new();
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        for projection in source.sources.iter().flatten() {
            if let Some(downward) = &projection.downward_api {
                let items = downward.items.as_deref().unwrap_or_default();
                self.add_items(&mut payload, items, mode)?;
            } else if !self.add_referenced(&mut payload, projection, mode)? {
                return Err(self.refused(projection));
            }
        }
        Ok(payload)
    }

    fn refused(&self, projection: &VolumeProjection) -> VolumeError {
        let kinds = [
            (
                projection.cluster_trust_bundle.is_some(),
                "projected clusterTrustBundle",
            ),
            (
                projection.pod_certificate.is_some(),
                "projected podCertificate",
            ),
        ];
        let volume = self.volume.to_owned();
        match kinds.into_iter().find(|(set, _)| *set) {
            Some((_, kind)) => VolumeError::NeedsApiServer { volume, kind },
            None => VolumeError::NoSource { volume },
        }
    }

    fn add_items(
        &self,
        payload: &mut Payload,
        items: &[DownwardAPIVolumeFile],
        default_mode: i32,
    ) -> Result<(), VolumeError> {
        for item in items {
            let bytes = self.value(item)?.into_bytes();
            self.add(
                payload,
                &item.path,
                bytes,
                item.mode.unwrap_or(default_mode),
            )?;
        }
        Ok(())
    }

    fn add(
        &self,
        payload: &mut Payload,
        path: &str,
        bytes: Vec<u8>,
        mode: i32,
    ) -> Result<(), VolumeError> {
        let wrong = |cure: &str| self.wrong(path, cure.to_owned());
        check_path(path).map_err(wrong)?;
        let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or_else(|| wrong("mode must be 0 to 0777"))?;
        let before = payload.insert(path.to_owned(), FileContent { bytes, mode });
        if before.is_some() || is_in_the_way(payload, path) {
            return Err(wrong("collides with another item"));
        }
        Ok(())
    }

    fn value(&self, item: &DownwardAPIVolumeFile) -> Result<String, VolumeError> {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), None) => field_path::volume_value(&field.field_path, self.pod),
            (None, Some(resource)) => {
                let name = resource.container_name.as_deref().unwrap_or_default();
                field_path::container(self.pod, name).and_then(|container| {
                    field_path::resource_value(
                        &resource.resource,
                        resource.divisor.as_ref().map(|divisor| divisor.0.as_str()),
                        container.resources.as_ref(),
                        &self.facts.allocatable,
                    )
                })
            }
            _ => {
                let cure = "needs one of fieldRef and resourceFieldRef".to_owned();
                return Err(self.wrong(&item.path, cure));
            }
        };
        value.map_err(|error| self.wrong(&item.path, error.to_string()))
    }

    fn wrong(&self, path: &str, cure: String) -> VolumeError {
        VolumeError::Item {
            volume: self.volume.to_owned(),
            path: path.to_owned(),
            cure,
        }
    }
}

/// Whether `path` is a directory of another file, or another file is a directory of it.
fn is_in_the_way(payload: &Payload, path: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    payload
        .keys()
        .any(|other| inside(other, path) || inside(path, other))
}

#[cfg(test)]
mod tests {
    use keelson_api::quantity::Quantity;
    use serde_json::{Value, json};

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}},
            "spec": {"containers": [
                {"name": "app", "resources": {"limits": {"memory": "64Mi"}}},
            ]},
        }))
        .unwrap()
    }

    fn made(source: Value) -> Result<Payload, VolumeError> {
        let (pod, source) = (pod(), serde_json::from_value(source).unwrap());
        let cpu = Quantity::parse("4").unwrap();
        let facts = Facts {
            allocatable: [("cpu".to_owned(), cpu)].into(),
            ..Facts::default()
        };
        Maker {
            volume: "info",
            pod: &pod,
            facts: &facts,
        }
        .projected(&source)
    }

    fn field(path: &str, field: &str) -> Value {
        json!({"path": path, "fieldRef": {"fieldPath": field}})
    }

    fn resource(path: &str, resource: &str) -> Value {
        json!({"path": path, "resourceFieldRef": {"containerName": "app", "resource": resource}})
    }

    #[test]
    fn fields_and_resources() {
        let mut special = field("sub/name", "metadata.name");
        special["mode"] = json!(0o400);
        let got = made(json!({"defaultMode": 0o440, "sources": [
            {"downwardAPI": {"items": [special, field("labels", "metadata.labels")]}},
            {"downwardAPI": {"items": [
                resource("memory", "limits.memory"), resource("cpu", "limits.cpu"),
            ]}},
        ]}))
        .unwrap();
        let text = |path: &str| {
            let file = &got[path];
            (String::from_utf8(file.bytes.clone()).unwrap(), file.mode)
        };
        assert_eq!(text("sub/name"), ("web".to_owned(), 0o400));
        assert_eq!(
            text("labels"),
            ("app=\"web\"\ntier=\"front\"".to_owned(), 0o440)
        );
        assert_eq!(text("memory"), ((64 << 20).to_string(), 0o440));
        assert_eq!(text("cpu"), ("4".to_owned(), 0o440));
    }

    #[test]
    fn refusals_name_the_item() {
        let check = |source: Value, words: &str| {
            let error = made(json!({"sources": [source]})).unwrap_err().to_string();
            assert!(error.contains(words), "{error:?} does not say {words:?}");
        };
        let items = |items: Value| json!({"downwardAPI": {"items": items}});
        check(
            json!({"secret": {"name": "s"}}),
            "secret is not supported without",
        );
        check(
            json!({"serviceAccountToken": {"path": "t"}}),
            "serviceAccountToken is not supported without",
        );
        check(json!({}), "has no source");
        check(
            items(json!([field("../a", "metadata.name")])),
            "item \"../a\": must",
        );
        check(
            items(json!([field("a", "status.podIP")])),
            "unsupported fieldPath: status.podIP",
        );
        check(
            items(json!([{"path": "a"}])),
            "needs one of fieldRef and resourceFieldRef",
        );
        check(items(json!([resource("a", "limits.gpu")])), "limits.gpu");
        let name = |path| field(path, "metadata.name");
        check(items(json!([name("a"), name("a")])), "collides");
        check(items(json!([name("a/b"), name("a")])), "collides");
        let mut wild = name("a");
        wild["mode"] = json!(0o1777);
        check(items(json!([wild])), "mode must be 0 to 0777");
    }
}
