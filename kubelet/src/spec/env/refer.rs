//! Variables that come from ConfigMaps and Secrets.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource};

use super::SpecError;
use crate::model::objects::{Data, Objects};

/// The variables of `envFrom`, in order. Keys that are no names of variables are left out.
pub(super) fn env_from(
    container: &Container,
    objects: &Objects,
) -> Result<Vec<(String, String)>, SpecError> {
    let mut variables = Vec::new();
    for source in container.env_from.iter().flatten() {
        let map = source.config_map_ref.as_ref();
        let map = map.map(|r| ("configMapRef", &r.name, r.optional, &objects.config_maps));
        let secret = source.secret_ref.as_ref();
        let secret = secret.map(|r| ("secretRef", &r.name, r.optional, &objects.secrets));
        let Some((kind, name, optional, known)) = map.or(secret) else {
            continue;
        };
        let found = known.get(name);
        if found.is_none() && optional != Some(true) {
            let field = format!("envFrom.{kind} of {}", container.name);
            return Err(missing(&field, kind, name, objects));
        }
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in found.into_iter().flatten() {
            let name = format!("{prefix}{key}");
            if is_variable(&name) {
                variables.push((name, text(value)));
            }
        }
    }
    Ok(variables)
}

/// The value of one key of a ConfigMap or Secret; `None` where it is optional and not there.
pub(super) fn key(
    container: &Container,
    variable: &EnvVar,
    source: &EnvVarSource,
    objects: &Objects,
) -> Result<Option<String>, SpecError> {
    let field = |kind: &str| {
        format!(
            "env {}.valueFrom.{kind} of {}",
            variable.name, container.name
        )
    };
    let map = source.config_map_key_ref.as_ref();
    let map = map.map(|r| {
        (
            "configMapKeyRef",
            &r.name,
            &r.key,
            r.optional,
            &objects.config_maps,
        )
    });
    let secret = source.secret_key_ref.as_ref();
    let secret = secret.map(|r| {
        (
            "secretKeyRef",
            &r.name,
            &r.key,
            r.optional,
            &objects.secrets,
        )
    });
    let Some((kind, name, key, optional, known)) = map.or(secret) else {
        return Err(SpecError::NotSupported {
            field: field("fileKeyRef"),
            detail: "variables are not read from files yet".to_owned(),
        });
    };
    let found = known.get(name);
    match found.and_then(|data: &Data| data.get(key)) {
        Some(value) => Ok(Some(text(value))),
        None if optional == Some(true) => Ok(None),
        None if found.is_some() => Err(SpecError::Env {
            container: container.name.clone(),
            name: variable.name.clone(),
            detail: format!("couldn't find key {key} in {} {name}", noun(kind)),
        }),
        None => Err(missing(&field(kind), kind, name, objects)),
    }
}

fn missing(field: &str, kind: &str, name: &str, objects: &Objects) -> SpecError {
    let detail = if objects.attached {
        format!("{} {name:?} not found", noun(kind))
    } else {
        "a standalone node has no apiserver to ask; write the value into the manifest".to_owned()
    };
    SpecError::NotSupported {
        field: field.to_owned(),
        detail,
    }
}

fn noun(kind: &str) -> &'static str {
    if kind.starts_with("secret") {
        "secret"
    } else {
        "configmap"
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Any printable ASCII but '='.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{DownwardFacts, environment};
    use crate::model::objects::Objects;

    fn made(container: Value, attached: bool) -> Result<Vec<(String, String)>, String> {
        let data = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
                .collect()
        };
        let objects = Objects {
            attached,
            config_maps: [(
                "m".to_owned(),
                data(&[("A", "1"), ("b.c", "2"), ("d=", "3")]),
            )]
            .into(),
            secrets: [("s".to_owned(), data(&[("P", "x")]))].into(),
            ..Objects::default()
        };
        let facts = DownwardFacts {
            objects,
            ..DownwardFacts::default()
        };
        let container = serde_json::from_value(container).unwrap();
        environment(&Default::default(), &container, &facts).map_err(|error| error.to_string())
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn takes_over_whole_objects_and_single_keys() {
        let container = json!({"name": "c",
        "envFrom": [{"prefix": "X_", "configMapRef": {"name": "m"}},
            {"secretRef": {"name": "gone", "optional": true}}],
        "env": [
            {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "P"}}},
            {"name": "N", "valueFrom": {"configMapKeyRef":
                {"name": "m", "key": "no", "optional": true}}},
            {"name": "X_A", "value": "mine $(P)"},
        ]});
        assert_eq!(
            made(container, true).unwrap(),
            pairs(&[("X_A", "mine x"), ("X_b.c", "2"), ("P", "x")])
        );
    }

    #[test]
    fn says_what_is_missing() {
        let check = |env: Value, attached: bool, words: &str| {
            let error = made(json!({"name": "c", "env": [env]}), attached).unwrap_err();
            assert!(error.contains(words), "{error:?} does not say {words:?}");
        };
        let of = |name: &str, key: &str| json!({"name": "V", "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}});
        check(of("gone", "k"), true, "configmap \"gone\" not found");
        check(of("m", "k"), true, "couldn't find key k in configmap m");
        check(of("gone", "k"), false, "a standalone node");
    }
}
