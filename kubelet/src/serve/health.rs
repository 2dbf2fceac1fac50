//! `/healthz`: the checks and how their outcome is told. Pure.

use hyper::{Response, StatusCode};

use super::body::{Body, text};
use super::query::Query;
use super::route::HealthCheck;

/// One check's name and, if it fails, why.
type Outcome = (&'static str, Result<(), String>);

/// Answers a health request. `sync_loop` is the freshness of the pod loop. Ping and log never
/// fail: a server that answers is up, and our log is written without a buffer.
pub fn answer(check: HealthCheck, query: &Query, sync_loop: Result<(), String>) -> Response<Body> {
    match check {
        HealthCheck::Ping | HealthCheck::Log => text(StatusCode::OK, "ok"),
        HealthCheck::SyncLoop => one(sync_loop),
        HealthCheck::All => {
            let outcomes = [("ping", Ok(())), ("log", Ok(())), ("syncloop", sync_loop)];
            all(&outcomes, query)
        }
    }
}

fn one(outcome: Result<(), String>) -> Response<Body> {
    match outcome {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(reason) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("internal server error: {reason}\n"),
        ),
    }
}

fn all(outcomes: &[Outcome], query: &Query) -> Response<Body> {
    let excluded = |name: &str| query.all("exclude").any(|excluded| excluded == name);
    let mut report = String::new();
    let mut healthy = true;
    for (name, outcome) in outcomes {
        let line = match outcome {
            _ if excluded(name) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            Err(_) => {
                healthy = false;
                format!("[-]{name} failed: reason withheld\n")
            }
        };
        report += &line;
    }
    match (healthy, query.first("verbose")) {
        (true, None) => text(StatusCode::OK, "ok"),
        (true, Some(_)) => text(StatusCode::OK, report + "healthz check passed\n"),
        (false, _) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            report + "healthz check failed\n",
        ),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn check(check: HealthCheck, query: &str, stale: bool, status: u16, expected: &str) {
        let fresh = if stale {
            Err("stale for 9m".into())
        } else {
            Ok(())
        };
        let response = answer(check, &Query::parse(query), fresh);
        assert_eq!(response.status(), status, "{check:?} {query}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected, "{check:?} {query}");
    }

    #[tokio::test]
    async fn answers() {
        use HealthCheck::{All, Ping, SyncLoop};
        check(All, "", false, 200, "ok").await;
        check(Ping, "", true, 200, "ok").await;
        check(SyncLoop, "", false, 200, "ok").await;
        let told = "internal server error: stale for 9m\n";
        check(SyncLoop, "", true, 500, told).await;
        let report = "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n";
        check(All, "verbose", false, 200, report).await;
        let report =
            "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        check(All, "", true, 500, report).await;
        check(All, "exclude=syncloop", true, 200, "ok").await;
    }
}
