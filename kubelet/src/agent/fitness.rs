//! Whether pods can run with the runtime at all: told once at start, and not once for every pod.

use keelson_cri::containerd::{self, Problem};
use keelson_cri::values::RuntimeVersion;
use keelson_cri::{Client, CriError};

use super::{AgentError, until_answered};

/// Waits for the runtime and checks it. Runtimes other than containerd are taken at their word.
///
/// # Errors
/// Everything that keeps pods from running with it, each with its cure.
pub(super) async fn runtime_version(cri: &Client) -> Result<RuntimeVersion, AgentError> {
    let version = until_answered(|| cri.version()).await;
    if version.as_ref().is_ok_and(|v| v.name != "containerd") {
        return Ok(version?);
    }
    decide(version, containerd::check(&containerd::observe(cri).await))
}

/// A runtime that went away again meanwhile is waited for, not refused.
fn decide(
    version: Result<RuntimeVersion, CriError>,
    problems: Vec<Problem>,
) -> Result<RuntimeVersion, AgentError> {
    let passing = |p: &Problem| matches!(p, Problem::NoAnswer(error) if error.is_unavailable());
    match problems.iter().all(passing) {
        true => Ok(version?),
        false => Err(AgentError::Unfit(problems)),
    }
}

/// One problem to a line.
pub(super) fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("\n  - {p}")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use keelson_cri::error::{Call, Unreachable};

    use super::*;

    fn socket() -> PathBuf {
        "/run/containerd/containerd.sock".into()
    }

    fn version() -> RuntimeVersion {
        RuntimeVersion {
            name: "containerd".to_owned(),
            version: "2.1.9".to_owned(),
            api_version: "v1".to_owned(),
        }
    }

    #[test]
    fn every_problem_is_told_with_its_cure() {
        let old = Problem::TooOld {
            socket: socket(),
            found: "1.7.2".to_owned(),
        };
        let problems = vec![old, Problem::OomScore { socket: socket() }];
        let error = decide(Ok(version()), problems).unwrap_err().to_string();
        for words in ["version 1.7.2", "restrict_oom_score_adj = true", "\n  - "] {
            assert!(error.contains(words), "{error:?} does not say {words:?}");
        }
    }

    #[test]
    fn a_fit_runtime_and_one_that_is_just_away_are_no_reason_to_refuse() {
        let away = Problem::NoAnswer(CriError::Unavailable {
            call: Call::new("Version", ""),
            socket: socket(),
            cause: Unreachable::Refused,
        });
        for problems in [vec![], vec![away]] {
            assert_eq!(decide(Ok(version()), problems).unwrap(), version());
        }
    }
}
