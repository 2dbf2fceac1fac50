//! Runs a credential plugin (`client.authentication.k8s.io`) and reads what it prints. Must not
//! know who uses the credential.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::process::Command;

use super::KubeconfigError;
use super::file::ExecConfig;

/// How long a plugin may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a plugin printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecCredential {
    /// A bearer token.
    pub token: Option<String>,
    /// Certificate and key, PEM.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// How long it is good for; for ever if `None`.
    pub life: Option<Duration>,
}

/// Runs the plugin once.
///
/// # Errors
/// It cannot be run, fails, takes too long or prints no `ExecCredential` of the right version.
pub async fn run(config: &ExecConfig) -> Result<ExecCredential, KubeconfigError> {
    let fail = |reason: String| KubeconfigError::Exec {
        command: config.command.clone(),
        reason,
    };
    let info = serde_json::json!({
        "apiVersion": config.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": false},
    });
    let variables = config.env.iter().flatten();
    let child = Command::new(&config.command)
        .args(config.args.iter().flatten())
        .envs(variables.map(|variable| (&variable.name, &variable.value)))
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, child)
        .await
        .map_err(|_| fail(format!("took longer than {}s", LIMIT.as_secs())))?
        .map_err(|error| fail(with_hint(&error.to_string(), config)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(fail(format!("{}: {}", output.status, said.trim())));
    }
    read(&output.stdout, &config.api_version, Timestamp::now()).map_err(fail)
}

fn with_hint(error: &str, config: &ExecConfig) -> String {
    if config.install_hint.is_empty() {
        return error.to_owned();
    }
    format!("{error}; {}", config.install_hint)
}

/// Reads what the plugin printed.
fn read(output: &[u8], version: &str, now: Timestamp) -> Result<ExecCredential, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Printed {
        api_version: String,
        kind: String,
        status: Option<PrintedStatus>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct PrintedStatus {
        token: Option<String>,
        client_certificate_data: Option<String>,
        client_key_data: Option<String>,
        expiration_timestamp: Option<Timestamp>,
    }
    let printed: Printed = serde_json::from_slice(output)
        .map_err(|error| format!("printed no credential: {error}"))?;
    if printed.kind != "ExecCredential" || printed.api_version != version {
        return Err(format!(
            "printed {} of {}, not ExecCredential of {version}",
            printed.kind, printed.api_version
        ));
    }
    let status = printed.status.ok_or("printed no status")?;
    let certificate = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((certificate.into_bytes(), key.into_bytes())),
        (None, None) => None,
        _ => return Err("printed a certificate without a key or a key without one".into()),
    };
    if status.token.is_none() && certificate.is_none() {
        return Err("printed neither a token nor a certificate".into());
    }
    let life = status
        .expiration_timestamp
        .map(|end| Duration::try_from(end.duration_since(now)).unwrap_or(Duration::ZERO));
    Ok(ExecCredential {
        token: status.token,
        certificate,
        life,
    })
}

#[cfg(test)]
mod tests {
    use super::{read, run};
    use crate::kubeconfig::file::{EnvVar, ExecConfig};
    use std::time::Duration;

    const V1: &str = "client.authentication.k8s.io/v1";

    #[tokio::test]
    async fn runs_a_plugin() {
        let script = format!(
            r#"printf '{{"apiVersion":"{V1}","kind":"ExecCredential","status":{{"token":"%s"}}}}' "$T""#
        );
        let config = ExecConfig {
            api_version: V1.into(),
            command: "sh".into(),
            args: Some(vec!["-c".into(), script]),
            env: Some(vec![EnvVar {
                name: "T".into(),
                value: "secret".into(),
            }]),
            ..ExecConfig::default()
        };
        assert_eq!(run(&config).await.unwrap().token.as_deref(), Some("secret"));
        let fails = ExecConfig {
            args: Some(vec!["-c".into(), "echo no >&2; exit 3".into()]),
            ..config
        };
        let error = run(&fails).await.unwrap_err().to_string();
        assert_eq!(error, "credential plugin \"sh\": exit status: 3: no");
    }

    #[test]
    fn reads_an_expiry() {
        let text = format!(
            r#"{{"apiVersion":"{V1}","kind":"ExecCredential","status":{{"token":"t","expirationTimestamp":"2026-01-01T00:01:00Z"}}}}"#
        );
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let credential = read(text.as_bytes(), V1, now).unwrap();
        assert_eq!(credential.life, Some(Duration::from_secs(60)));
        assert!(read(text.as_bytes(), "client.authentication.k8s.io/v1beta1", now).is_err());
        assert!(read(b"{}", V1, now).is_err());
    }
}
