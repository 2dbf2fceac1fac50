//! Asks webhooks: the one place of admission that talks to others. Which ones are asked, what, and
//! what the answer means is decided in `admit::webhook`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request as HttpRequest, StatusCode, header};
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::admit::webhook::review::{Answer, answer, question};
use crate::admit::webhook::{Hook, Kind, Target};
use crate::admit::{Notes, Request};
use crate::admit_metrics::AdmitMetrics;
use crate::auth::service_account::token_id;
use crate::failure::{Failure, Outcome};

/// The largest answer that is read.
const MAX_ANSWER: usize = 3 * 1024 * 1024;

/// Why a webhook could not be asked.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("caBundle holds no certificate: the system's own are not used")]
    NoRoots,
    #[error("caBundle: {0}")]
    Roots(String),
    #[error("{0:?} is no name of a host")]
    Host(String),
    #[error("dial {address}: {source}")]
    Connect {
        address: String,
        source: std::io::Error,
    },
    #[error("TLS with {host}: {source}")]
    Tls {
        host: String,
        source: std::io::Error,
    },
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request could not be made: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the answer could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the server answered {0}")]
    Code(StatusCode),
    #[error("context deadline exceeded")]
    Late,
}

/// Asks one webhook after the other and changes the object as they say. `settle` brings a changed
/// object back into order: defaults, and the plugins that stand before webhooks. Those that want
/// to be asked again after later changes are, once.
pub(crate) async fn mutate(
    hooks: &[Hook],
    request: &Request<'_>,
    object: &mut Value,
    notes: &mut Notes,
    settle: &(dyn Fn(&mut Value) -> Outcome<()> + Sync),
    metrics: &AdmitMetrics,
) -> Outcome<()> {
    let mut again = vec![false; hooks.len()];
    for (at, hook) in hooks.iter().enumerate() {
        if ask_to_change(hook, request, object, notes, settle, metrics).await? {
            again[..at].fill(true);
        }
    }
    let chosen = hooks
        .iter()
        .zip(again)
        .filter(|(hook, again)| *again && hook.reinvoke);
    for (hook, _) in chosen {
        ask_to_change(hook, request, object, notes, settle, metrics).await?;
    }
    Ok(())
}

/// Whether the object is another one afterwards.
async fn ask_to_change(
    hook: &Hook,
    request: &Request<'_>,
    object: &mut Value,
    notes: &mut Notes,
    settle: &(dyn Fn(&mut Value) -> Outcome<()> + Sync),
    metrics: &AdmitMetrics,
) -> Outcome<bool> {
    if !hook.wants(object, request.old) {
        return Ok(false);
    }
    let Some(patch) = ask(hook, Kind::Mutating, request, object, notes, metrics).await? else {
        return Ok(false);
    };
    if object.is_null() {
        return Ok(false);
    }
    let before = hook.see(request, object)?;
    let mut changed = before.clone().into_owned();
    if let Err(error) = keelson_schema::patch::json::apply(&mut changed, &patch) {
        return hook
            .failed(&format!("its patch does not apply: {error}"))
            .map(|()| false);
    }
    if changed == *before {
        return Ok(false);
    }
    *object = hook.unsee(request, changed)?;
    settle(object)?;
    Ok(true)
}

/// Asks all webhooks at once; the first of them, in their order, that says no is heard.
pub(crate) async fn validate(
    hooks: Vec<Hook>,
    request: &Request<'_>,
    object: &Value,
    notes: &mut Notes,
    metrics: &AdmitMetrics,
) -> Outcome<()> {
    let wanted = hooks
        .into_iter()
        .filter(|hook| hook.wants(object, request.old));
    let asked = wanted.map(|hook| async move {
        let mut own = Notes::default();
        let found = ask(&hook, Kind::Validating, request, object, &mut own, metrics).await;
        (found.map(drop), own)
    });
    let mut outcome = Ok(());
    for (found, own) in futures_util::future::join_all(asked).await {
        notes.warnings.extend(own.warnings);
        notes.audit.extend(own.audit);
        outcome = outcome.and(found);
    }
    outcome
}

/// The patch of a webhook that says yes, if it has one.
async fn ask(
    hook: &Hook,
    kind: Kind,
    request: &Request<'_>,
    object: &Value,
    notes: &mut Notes,
    metrics: &AdmitMetrics,
) -> Outcome<Option<Value>> {
    let begun = Instant::now();
    let uid = token_id(&SystemRandom::new())
        .map_err(|_| Failure::internal("the system has no random numbers"))?;
    let found = match &hook.target {
        Ok(target) => {
            let (object, old) = (hook.see(request, object)?, hook.see(request, request.old)?);
            let seen = Request {
                old: &old,
                ..hook.see_request(request)
            };
            let body = question(&seen, request, &object, &uid).to_string();
            let limit = Duration::from_secs(hook.timeout_seconds);
            let answered = timeout(limit, post(target, body)).await;
            let answered = answered.unwrap_or(Err(CallError::Late));
            answered
                .map_err(|error| failed_to_call(target, &error))
                .and_then(|body| answer(&hook.name, &hook.configuration, &body, &uid, notes))
        }
        Err(why) => Err(why.clone()),
    };
    let rejected = !matches!(found, Ok(Answer::Allowed(_)));
    metrics.webhook(
        &hook.name,
        kind,
        request.operation,
        rejected,
        begun.elapsed(),
    );
    match found {
        Ok(Answer::Allowed(patch)) => Ok(patch),
        Ok(Answer::Denied(failure)) => Err(failure),
        Err(why) => {
            if hook.ignore_failure {
                tracing::warn!(
                    webhook = hook.name,
                    why,
                    "a webhook failed and is passed over"
                );
            }
            hook.failed(&why).map(|()| None)
        }
    }
}

fn failed_to_call(target: &Target, error: &CallError) -> String {
    let Target {
        host, port, path, ..
    } = target;
    format!("failed to call webhook: Post \"https://{host}:{port}{path}\": {error}")
}

async fn post(target: &Target, body: String) -> Result<Bytes, CallError> {
    let connector = TlsConnector::from(Arc::new(trusting(&target.ca_bundle)?));
    let name = ServerName::try_from(target.host.clone());
    let name = name.map_err(|_| CallError::Host(target.host.clone()))?;
    let stream = TcpStream::connect((target.address.as_str(), target.port)).await;
    let stream = stream.map_err(|source| CallError::Connect {
        address: format!("{}:{}", target.address, target.port),
        source,
    })?;
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|source| CallError::Tls {
        host: target.host.clone(),
        source,
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender, at the end of this call at the latest.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = HttpRequest::post(&target.path)
        .header(header::HOST, &target.host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let code = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(CallError::Body)?.to_bytes();
    if code != StatusCode::OK {
        return Err(CallError::Code(code));
    }
    Ok(body)
}

fn trusting(ca_bundle: &[u8]) -> Result<ClientConfig, CallError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_bundle) {
        let wrong = |error: &dyn std::fmt::Display| CallError::Roots(error.to_string());
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(CallError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| CallError::Roots(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
