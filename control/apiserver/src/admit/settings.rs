//! What the server's configuration says to admission plugins: an `AdmissionConfiguration`. Pure:
//! the files that it names are opened by the caller.

use serde_json::Value;

use super::fields;
use super::pod_security::exempt::Configuration;

const KIND: &str = "AdmissionConfiguration";
const GROUP: &str = "apiserver.config.k8s.io/v1";

/// What plugins are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) pod_security: Configuration,
}

impl Settings {
    /// Reads a configuration. `open` reads a document that it names, beside it.
    pub(crate) fn read(
        document: &Value,
        open: &dyn Fn(&str) -> Result<Value, String>,
    ) -> Result<Self, String> {
        let (version, kind) = (
            fields::text(document, "/apiVersion"),
            fields::text(document, "/kind"),
        );
        if (version, kind) != (GROUP, KIND) {
            return Err(format!(
                "expected {KIND} of {GROUP}, found {kind:?} of {version:?}"
            ));
        }
        let mut settings = Self::default();
        for plugin in fields::list(document, "/plugins") {
            let name = fields::text(plugin, "/name");
            if name != "PodSecurity" {
                return Err(format!("plugin {name:?} takes no configuration"));
            }
            let read = match fields::text(plugin, "/path") {
                "" => Configuration::read(fields::value(plugin, "/configuration")),
                path => open(path).and_then(|document| Configuration::read(&document)),
            };
            settings.pod_security = read.map_err(|why| format!("plugin {name:?}: {why}"))?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(plugin: Value) -> Result<Settings, String> {
        let document = json!({"apiVersion": GROUP, "kind": KIND, "plugins": [plugin]});
        let file = json!({"kind": "PodSecurityConfiguration", "apiVersion": "pod-security.admission.config.k8s.io/v1",
            "exemptions": {"namespaces": ["sys"]}});
        Settings::read(&document, &|name| match name {
            "ps.yaml" => Ok(file.clone()),
            other => Err(format!("{other}: no such file")),
        })
    }

    #[test]
    fn plugins_are_told_what_is_theirs() {
        let found = read(json!({"name": "PodSecurity", "path": "ps.yaml"})).unwrap();
        assert_eq!(found.pod_security.namespaces, ["sys"]);
        let wrong = |plugin| read(plugin).unwrap_err();
        assert_eq!(
            wrong(json!({"name": "PodSecurity", "path": "x"})),
            "plugin \"PodSecurity\": x: no such file"
        );
        assert_eq!(
            wrong(json!({"name": "Priority"})),
            "plugin \"Priority\" takes no configuration"
        );
        let other = Settings::read(&json!({"kind": "Pod"}), &|_| Ok(Value::Null));
        assert!(
            other
                .unwrap_err()
                .starts_with("expected AdmissionConfiguration")
        );
    }
}
