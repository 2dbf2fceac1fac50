//! Requests that are not about a resource: health, version, discovery.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde_json::json;

use crate::api::{Admitted, Api};
use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::handle::{discovery, openapi};
use crate::respond::Reply;
use crate::route::{Query, RequestInfo};

/// The level of the API, which clients compare with their own.
const MAJOR: &str = "1";
const MINOR: &str = "36";
pub(crate) const VERSION: &str = concat!("v1.36.4+keelson-", env!("CARGO_PKG_VERSION"));

/// Answers.
pub(crate) async fn answer(api: &Arc<Api>, admitted: Admitted) -> Outcome<Response<Body>> {
    let RequestInfo::Path { verb, path } = &admitted.info else {
        return Err(Failure::unknown_path());
    };
    if verb != "get" && verb != "head" {
        return Err(Failure::method_not_allowed("", path, verb));
    }
    let headers = &admitted.headers;
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let reply = match first {
        "api" | "apis" => discovery::answer(api, path, headers)?,
        ".well-known" | "openid" => match api.accounts.document(path) {
            Some((document, kind)) => Reply::value(StatusCode::OK, &document).typed(kind),
            None => return Err(Failure::unknown_path()),
        },
        "openapi" => return openapi::answer(api, path, headers),
        "metrics" if path == "/metrics" => metrics(api).await,
        "version" => Reply::value(StatusCode::OK, &version()),
        "livez" | "readyz" | "healthz" => health(api, path, &admitted.query).await?,
        "" => Reply::value(StatusCode::OK, &json!({"paths": PATHS})),
        _ => return Err(Failure::unknown_path()),
    };
    Ok(reply.into_response(headers))
}

/// Upstream's metrics, as far as there is something behind them.
async fn metrics(api: &Api) -> Reply {
    let mut page = String::new();
    api.metrics.render(&mut page);
    api.admit_metrics.render(&mut page);
    api.engine.render(&mut page).await;
    page.push_str("# TYPE apiserver_storage_objects gauge\n");
    let mut counts = api.registry.caches.counts();
    counts.sort();
    for (name, count) in counts {
        page.push_str(&format!(
            "apiserver_storage_objects{{resource=\"{name}\"}} {count}\n"
        ));
    }
    Reply::text(StatusCode::OK, page).typed("text/plain; version=0.0.4; charset=utf-8")
}

const PATHS: [&str; 8] = [
    "/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/metrics", "/version",
];

fn version() -> serde_json::Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": MINOR,
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// One thing that health is made of.
struct Check {
    name: &'static str,
    fine: bool,
}

async fn checks(api: &Api, page: &str) -> Vec<Check> {
    let mut checks = vec![
        Check {
            name: "ping",
            fine: true,
        },
        Check {
            name: "etcd",
            fine: api.registry.store.revision().await.is_ok(),
        },
        Check {
            name: "poststarthook/rbac/bootstrap-roles",
            fine: api.started.is_cancelled(),
        },
    ];
    if page == "readyz" {
        checks.push(Check {
            name: "informer-sync",
            fine: api.registry.caches.is_fed(),
        });
        checks.push(Check {
            name: "shutdown",
            fine: !api.stopping.is_cancelled(),
        });
    }
    checks
}

/// `/livez`, `/readyz`, `/healthz` and each of their checks by name.
async fn health(api: &Api, path: &str, query: &Query) -> Outcome<Reply> {
    let inner = path.trim_matches('/');
    let (page, wanted) = inner.split_once('/').unwrap_or((inner, ""));
    let excluded: Vec<&str> = query.values("exclude").collect();
    let mut checks = checks(api, page).await;
    if !wanted.is_empty() {
        checks.retain(|check| check.name == wanted);
        if checks.is_empty() {
            return Err(Failure::unknown_path());
        }
    }
    let mut text = String::new();
    let mut failed = 0;
    for check in &checks {
        let line = if excluded.contains(&check.name) {
            format!("[+]{} excluded: ok\n", check.name)
        } else if check.fine {
            format!("[+]{} ok\n", check.name)
        } else {
            failed += 1;
            format!("[-]{} failed: reason withheld\n", check.name)
        };
        text.push_str(&line);
    }
    if failed > 0 {
        text.push_str(&format!("{page} check failed\n"));
        return Ok(Reply::text(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    if query.has("verbose") {
        text.push_str(&format!("{page} check passed\n"));
        return Ok(Reply::text(StatusCode::OK, text));
    }
    Ok(Reply::text(StatusCode::OK, "ok"))
}
