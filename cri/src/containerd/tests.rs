//! Which problems follow from which facts about a containerd.

use super::*;
use crate::error::Unreachable;

fn runtime(name: &str, version: &str) -> Result<RuntimeVersion, CriError> {
    Ok(RuntimeVersion {
        name: name.into(),
        version: version.into(),
        api_version: "v1".into(),
    })
}

fn facts(runtime: Result<RuntimeVersion, CriError>) -> Facts {
    Facts {
        socket: "/run/c.sock".into(),
        runtime,
        containerd: None,
        may_lower_oom_score: Some(true),
        restricts_oom_score: Some(false),
    }
}

fn check_says(facts: &Facts, expected: &[&str]) {
    let problems: Vec<String> = check(facts).iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, words) in problems.iter().zip(expected) {
        assert!(problem.contains(words), "{problem} lacks {words}");
    }
}

#[test]
fn versions_decide() {
    check_says(&facts(runtime("containerd", "2.1.9+unknown")), &[]);
    check_says(&facts(runtime("containerd", "v2.0.0-rc.1")), &[]);
    check_says(
        &facts(runtime("containerd", "1.6.20~ds1")),
        &["containerd at /run/c.sock is version 1.6.20~ds1; version 2.0 or newer is needed"],
    );
    check_says(&facts(runtime("containerd", "built by hand")), &[]);
    check_says(&facts(runtime("cri-o", "1.34.0")), &[]);
}

#[test]
fn oom_score_needs_the_capability_or_the_setting() {
    for (may, restricts, fails) in [
        (Some(false), Some(false), true),
        (Some(false), Some(true), false),
        (Some(true), Some(false), false),
        (None, Some(false), false),
        (Some(false), None, false),
    ] {
        let mut facts = facts(runtime("containerd", "2.1.9"));
        facts.may_lower_oom_score = may;
        facts.restricts_oom_score = restricts;
        let expected: &[&str] = if fails {
            &["restrict_oom_score_adj = true"]
        } else {
            &[]
        };
        check_says(&facts, expected);
    }
}

fn unimplemented() -> CriError {
    CriError::Unimplemented {
        call: Call::new("Version", ""),
        message: "unknown service runtime.v1.RuntimeService".into(),
    }
}

#[test]
fn a_silent_cri_plugin_is_explained() {
    let containerd = |version: &str, error: Option<&str>| Facts {
        containerd: Some(Containerd {
            version: version.into(),
            plugin_error: error.map(Into::into),
        }),
        ..facts(Err(unimplemented()))
    };
    check_says(&containerd("2.1.9", None), &["remove \"cri\""]);
    check_says(
        &containerd("2.1.9", Some("invalid plugin config")),
        &["failed to load: invalid plugin config"],
    );
    check_says(&containerd("v1.4.3", None), &["2.0 or newer"]);
    check_says(&facts(Err(unimplemented())), &["does not support it"]);
}

#[test]
fn a_missing_socket_is_named() {
    let error = CriError::Unavailable {
        call: Call::new("Version", ""),
        socket: "/run/c.sock".into(),
        cause: Unreachable::SocketMissing,
    };
    check_says(
        &facts(Err(error)),
        &["at /run/c.sock: there is no socket; start"],
    );
}

#[tokio::test]
async fn observing_nothing_finds_the_missing_socket() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = folder.path().join("c.sock").into();
    let client = Client::new(&endpoint, crate::Deadlines::default());
    let facts = observe(&client).await;
    assert_eq!(
        (facts.may_lower_oom_score, facts.restricts_oom_score),
        (None, None)
    );
    check_says(&facts, &["there is no socket"]);
}

#[test]
fn small_parsers() {
    assert_eq!(restricts(r#"{"restrictOOMScoreAdj":true}"#), Some(true));
    assert_eq!(restricts(r#"{"restrictOOMScoreAdj":false}"#), Some(false));
    assert_eq!(restricts("{}"), None);
    assert_eq!(restricts("nonsense"), None);
    let status = "Name:\tx\nCapEff:\t000001ffffffffff\n";
    assert_eq!(effective_capabilities(status), Some(0x1ff_ffff_ffff));
    assert_eq!(effective_capabilities("Name:\tx\n"), None);
}
