//! postStart and preStop: what runs, for how long, and what is said when it fails.

use std::time::Duration;

use hyper::header::AUTHORIZATION;
use k8s_openapi::api::core::v1::Pod;
use keelson_cri::CriError;
use tokio::time::timeout;

use super::Prober;
use super::connect::ConnectError;
use super::exec::{self, ExecSync};
use super::http::{self, HttpError};
use super::target::{HookTarget, HttpTarget};
use super::url::Scheme;

/// Whose hook it is, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOwner {
    /// The pod as `name_namespace(uid)`.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

impl HookOwner {
    /// Names a container of a pod.
    #[must_use]
    pub fn new(pod: &Pod, container: &str) -> Self {
        let part = |name: &Option<String>| name.clone().unwrap_or_default();
        let (name, namespace) = (part(&pod.metadata.name), part(&pod.metadata.namespace));
        Self {
            pod: format!("{name}_{namespace}({})", part(&pod.metadata.uid)),
            container: container.to_owned(),
        }
    }
}

/// What a hook that worked has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookNote {
    /// Nothing.
    Done,
    /// An HTTPS hook was answered in plain HTTP and repeated as such: to be published as an event
    /// `LifecycleHTTPFallback`.
    HttpFallback {
        /// The event's message.
        message: String,
    },
}

/// Why a hook failed. The text is for logs; the event's text is
/// [`POST_START_FAILED`](super::POST_START_FAILED) or
/// [`PRE_STOP_FAILED`](super::PRE_STOP_FAILED).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} lifecycle hook ({subject}) for Container {:?} in Pod {:?} failed - error: {cause}{}", owner.container, owner.pod, output_suffix(output.as_ref()))]
pub struct HookError {
    kind: &'static str,
    subject: String,
    owner: HookOwner,
    cause: String,
    output: Option<String>,
    timed_out: bool,
}

impl HookError {
    /// The hook was cut off by its budget.
    #[must_use]
    pub const fn timed_out(&self) -> bool {
        self.timed_out
    }
}

fn output_suffix(output: Option<&String>) -> String {
    output.map_or(String::new(), |output| format!(", message: {output:?}"))
}

/// A failure before it has a name.
struct Cause {
    text: String,
    output: Option<String>,
    timed_out: bool,
}

impl Cause {
    fn new(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            output: None,
            timed_out: false,
        }
    }

    fn timed_out(text: impl ToString) -> Self {
        Self {
            timed_out: true,
            ..Self::new(text)
        }
    }
}

/// Runs one hook within `budget`.
pub(super) async fn run<E: ExecSync>(
    prober: &Prober<E>,
    container_id: &str,
    owner: &HookOwner,
    target: &HookTarget,
    budget: Duration,
) -> Result<HookNote, HookError> {
    let (kind, subject) = describe(target);
    let done = match target {
        HookTarget::Exec(command) => {
            let run = run_command(prober, container_id, command, budget);
            bounded(budget, run, &format!("command {subject:?} timed out")).await
        }
        HookTarget::Http { target, .. } => {
            let late = http::format_failure(target, &"context deadline exceeded");
            bounded(budget, get(prober, target), &late).await
        }
        HookTarget::Sleep(seconds) => sleep(*seconds, budget).await,
    };
    done.map_err(|cause| HookError {
        kind,
        subject,
        owner: owner.clone(),
        cause: cause.text,
        output: cause.output,
        timed_out: cause.timed_out,
    })
}

fn describe(target: &HookTarget) -> (&'static str, String) {
    match target {
        HookTarget::Exec(command) => ("Exec", format!("[{}]", command.join(" "))),
        HookTarget::Http { path, .. } => ("HTTP", path.clone()),
        HookTarget::Sleep(seconds) => ("Sleep", seconds.to_string()),
    }
}

async fn bounded(
    budget: Duration,
    run: impl Future<Output = Result<HookNote, Cause>>,
    late: &str,
) -> Result<HookNote, Cause> {
    timeout(budget, run)
        .await
        .unwrap_or_else(|_elapsed| Err(Cause::timed_out(late)))
}

async fn sleep(seconds: i64, budget: Duration) -> Result<HookNote, Cause> {
    let wanted = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    tokio::time::sleep(wanted.min(budget)).await;
    if wanted > budget {
        return Err(Cause::timed_out(
            "container terminated before sleep hook finished",
        ));
    }
    Ok(HookNote::Done)
}

async fn run_command<E: ExecSync>(
    prober: &Prober<E>,
    container_id: &str,
    command: &[String],
    budget: Duration,
) -> Result<HookNote, Cause> {
    let ran = prober
        .runtime
        .exec_sync(container_id, command, budget)
        .await;
    match ran {
        Ok(output) if output.exit_code == 0 => Ok(HookNote::Done),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let line = command.join(" ");
            let text = format!(
                "command '{line}' exited with {}: {stderr}",
                output.exit_code
            );
            let combined = super::bounded_text(&exec::combined(&output));
            Err(Cause {
                output: Some(combined),
                ..Cause::new(super::bounded_text(&text))
            })
        }
        Err(error @ CriError::DeadlineExceeded { .. }) => Err(Cause::timed_out(error)),
        Err(error) => Err(Cause::new(error)),
    }
}

/// Any answer will do, whatever its status. One in plain HTTP to an HTTPS request makes the hook try
/// again in plain HTTP, without credentials.
async fn get<E: ExecSync>(prober: &Prober<E>, target: &HttpTarget) -> Result<HookNote, Cause> {
    let failed = match http::get(&prober.dialer, target).await {
        Ok(_) => return Ok(HookNote::Done),
        Err(error) => error,
    };
    let cause = || Cause::new(http::format_failure(target, &failed));
    if !matches!(failed, HttpError::Connect(ConnectError::NotTls)) {
        return Err(cause());
    }
    let mut plain = target.clone();
    plain.url.scheme = Scheme::Http;
    plain.headers.remove(AUTHORIZATION);
    http::get(&prober.dialer, &plain)
        .await
        .map_err(|_| cause())?;
    Ok(HookNote::HttpFallback {
        message: format!(
            "request to HTTPS lifecycle hook {} got HTTP response, retry with HTTP succeeded",
            target.url.authority
        ),
    })
}
