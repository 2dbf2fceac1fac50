//! `/containerLogs`: reads what is asked for, finds the file and streams it.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::body::{Body, streamed, text, typed};
use super::query::Query;
use super::route::ContainerTarget;
use super::view::{LogTarget, LogUnavailable, NodeView};
use crate::logs::print::LogOptions;
use crate::logs::read::LogReader;

/// What a request for a log asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRequest {
    /// Which lines, and how.
    pub options: LogOptions,
    /// The instance before the present one.
    pub previous: bool,
}

/// Why a request for a log is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogRequestError {
    /// A parameter is no number or no time.
    #[error(r#"{{"message": "Unable to decode query."}}"#)]
    Undecodable,
    /// A parameter is out of range, or two exclude each other.
    #[error(r#"{{"message": "Invalid request."}}"#)]
    Invalid,
    /// One stream alone is asked for.
    #[error(
        "unable to return the given log stream: {0:?}. Please enable PodLogsQuerySplitStreams feature gate in kubelet"
    )]
    Stream(String),
}

impl LogRequestError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Undecodable | Self::Stream(_) => StatusCode::BAD_REQUEST,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl LogRequest {
    /// Reads `PodLogOptions` from a query.
    pub fn parse(query: &Query, now: Timestamp) -> Result<Self, LogRequestError> {
        let tail = query.first("tail").filter(|tail| !tail.is_empty());
        let tail_lines = match tail {
            Some("all") => None,
            Some(tail) => Some(integer(tail)?),
            None => number(query, "tailLines")?,
        };
        let since_seconds = number(query, "sinceSeconds")?;
        let since_time = match query.first("sinceTime").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| LogRequestError::Undecodable)?),
        };
        if let Some(stream) = query.first("stream").filter(|stream| *stream != "All") {
            return Err(LogRequestError::Stream(stream.to_owned()));
        }
        let limit_bytes = number(query, "limitBytes")?;
        Ok(Self {
            options: LogOptions {
                follow: query.flag("follow"),
                tail_lines: at_least(0, tail_lines)?,
                since: since(at_least(1, since_seconds)?, since_time, now)?,
                limit_bytes: at_least(1, limit_bytes)?,
                timestamps: query.flag("timestamps"),
            },
            previous: query.flag("previous"),
        })
    }
}

fn number(query: &Query, name: &str) -> Result<Option<i64>, LogRequestError> {
    let given = query.first(name).filter(|text| !text.is_empty());
    given.map(integer).transpose()
}

fn integer(text: &str) -> Result<i64, LogRequestError> {
    text.parse().map_err(|_| LogRequestError::Undecodable)
}

fn at_least(least: u64, number: Option<i64>) -> Result<Option<u64>, LogRequestError> {
    let Some(number) = number else {
        return Ok(None);
    };
    let number = u64::try_from(number).map_err(|_| LogRequestError::Invalid)?;
    (number >= least)
        .then_some(Some(number))
        .ok_or(LogRequestError::Invalid)
}

fn since(
    seconds: Option<u64>,
    time: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, LogRequestError> {
    match (seconds, time) {
        (Some(_), Some(_)) => Err(LogRequestError::Invalid),
        (Some(seconds), None) => {
            let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Ok(Some(now.checked_sub(ago).unwrap_or(Timestamp::MIN)))
        }
        (None, time) => Ok(time),
    }
}

/// Says from a pod's status whether the log of a container, or of the instance before the present
/// one, can exist; the runtime's ID of that instance if so.
pub fn log_instance(
    pod: &Pod,
    target: &ContainerTarget,
    previous: bool,
) -> Result<String, LogUnavailable> {
    let (container, pod_name) = (target.container.clone(), target.pod.clone());
    let Some(status) = container_status(pod, &target.container) else {
        return Err(match has_container(pod, &target.container) {
            true => LogUnavailable::NotAvailable {
                container,
                pod: pod_name,
            },
            false => LogUnavailable::NoContainer {
                container,
                pod: pod_name,
            },
        });
    };
    let last = status.last_state.as_ref();
    let last = last.and_then(|state| state.terminated.as_ref());
    let state = status.state.clone().unwrap_or_default();
    if previous {
        let id = last.and_then(|last| last.container_id.clone());
        return id.ok_or(LogUnavailable::NoPrevious {
            container,
            pod: pod_name,
        });
    }
    let present = state.terminated.and_then(|ended| ended.container_id);
    let running = state.running.and(status.container_id.clone());
    let waiting = state.waiting.and_then(|waiting| waiting.reason);
    let fallback = last.and_then(|last| last.container_id.clone());
    running
        .or(present)
        .or(fallback)
        .ok_or_else(|| match waiting {
            Some(reason) => LogUnavailable::Waiting {
                container,
                pod: pod_name,
                reason: waiting_text(&reason).to_owned(),
            },
            None => LogUnavailable::NotAvailable {
                container,
                pod: pod_name,
            },
        })
}

fn waiting_text(reason: &str) -> &str {
    match reason {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    }
}

fn container_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|status| status.name == name)
}

fn has_container(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else {
        return false;
    };
    let init = spec.init_containers.iter().flatten();
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    spec.containers.iter().chain(init).any(|c| c.name == name)
        || ephemeral.map(|c| &c.name).any(|found| found == name)
}

/// Answers a request for a log.
pub fn answer(view: &Arc<dyn NodeView>, target: &ContainerTarget, query: &Query) -> Response<Body> {
    let request = match LogRequest::parse(query, Timestamp::now()) {
        Ok(request) => request,
        Err(refused) => return text(refused.status(), refused.to_string()),
    };
    let log = match find(view.as_ref(), target, request.previous) {
        Ok(log) => log,
        Err(refused) => return text(status_of(&refused), refused.to_string()),
    };
    match LogReader::open(&log.path, &request.options) {
        Ok(reader) => stream(reader, log),
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

fn find(
    view: &dyn NodeView,
    target: &ContainerTarget,
    previous: bool,
) -> Result<LogTarget, LogUnavailable> {
    let missing = || LogUnavailable::NoPod {
        pod: target.pod.clone(),
    };
    let pod = view
        .pod(&target.namespace, &target.pod)
        .ok_or_else(missing)?;
    log_instance(&pod, target, previous)?;
    view.container_log(target, previous)
}

fn status_of(refused: &LogUnavailable) -> StatusCode {
    match refused {
        LogUnavailable::NoPod { .. } | LogUnavailable::NoContainer { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The task ends with the log, or with its reader, whose departure closes the channel.
fn stream(reader: LogReader, log: LogTarget) -> Response<Body> {
    let (sender, body) = streamed();
    tokio::spawn(async move {
        if let Err(error) = reader.run(log.running, &sender).await {
            // A reader that has gone needs no error.
            let _ = sender.send(Err(error.into())).await;
        }
    });
    let plain = hyper::header::HeaderValue::from_static("text/plain");
    typed(StatusCode::OK, plain, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<LogRequest, LogRequestError> {
        let now = Timestamp::from_second(1000).unwrap();
        LogRequest::parse(&Query::parse(query), now)
    }

    #[test]
    fn options_are_read() {
        let seen = parsed(
            "follow=true&tailLines=5&sinceSeconds=10&previous=1&timestamps=true&limitBytes=9&stream=All",
        );
        let expected = LogRequest {
            options: LogOptions {
                follow: true,
                tail_lines: Some(5),
                since: Some(Timestamp::from_second(990).unwrap()),
                limit_bytes: Some(9),
                timestamps: true,
            },
            previous: true,
        };
        assert_eq!(seen, Ok(expected));
        assert_eq!(
            parsed("tail=all&tailLines=3").unwrap().options.tail_lines,
            None
        );
        assert_eq!(parsed("tail=7").unwrap().options.tail_lines, Some(7));
        let since = parsed("sinceTime=1970-01-01T00:00:05Z")
            .unwrap()
            .options
            .since;
        assert_eq!(since, Some(Timestamp::from_second(5).unwrap()));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (query, expected) in [
            ("tailLines=x", LogRequestError::Undecodable),
            ("tailLines=-1", LogRequestError::Invalid),
            ("sinceSeconds=0", LogRequestError::Invalid),
            ("limitBytes=0", LogRequestError::Invalid),
            ("sinceTime=yesterday", LogRequestError::Undecodable),
            (
                "sinceSeconds=1&sinceTime=1970-01-01T00:00:05Z",
                LogRequestError::Invalid,
            ),
            ("stream=Stdout", LogRequestError::Stream("Stdout".into())),
        ] {
            assert_eq!(parsed(query), Err(expected), "{query}");
        }
    }

    fn instance(state: &str, last: &str, previous: bool) -> Result<String, String> {
        let pod: Pod = serde_json::from_str(&format!(
            r#"{{"spec": {{"containers": [{{"name": "app"}}, {{"name": "new"}}]}},
                "status": {{"containerStatuses": [{{"name": "app", "image": "", "imageID": "",
                  "ready": false, "restartCount": 0, "containerID": "containerd://now",
                  "state": {state}, "lastState": {last}}}]}}}}"#
        ))
        .unwrap();
        let target = ContainerTarget {
            namespace: "default".into(),
            pod: "web".into(),
            uid: None,
            container: "app".into(),
        };
        log_instance(&pod, &target, previous).map_err(|refused| refused.to_string())
    }

    #[test]
    fn instances() {
        let before = r#"{"terminated": {"exitCode": 1, "containerID": "containerd://before"}}"#;
        let waiting = |reason| format!(r#"{{"waiting": {{"reason": "{reason}"}}}}"#);
        let say = |what: &str| Err(format!("container \"app\" in pod \"web\" is {what}"));
        let running = r#"{"running": {}}"#;
        assert_eq!(
            instance(running, "{}", false),
            Ok("containerd://now".into())
        );
        assert_eq!(
            instance(running, before, true),
            Ok("containerd://before".into())
        );
        assert_eq!(
            instance(before, "{}", false),
            Ok("containerd://before".into())
        );
        let crashing = instance(&waiting("CrashLoopBackOff"), before, false);
        assert_eq!(crashing, Ok("containerd://before".into()));
        for (reason, text) in [
            ("ContainerCreating", "ContainerCreating"),
            ("ErrImagePull", "image can't be pulled"),
            ("ImagePullBackOff", "trying and failing to pull image"),
        ] {
            let seen = instance(&waiting(reason), "{}", false);
            assert_eq!(seen, say(&format!("waiting to start: {text}")));
        }
        assert_eq!(instance("{}", "{}", false), say("not available"));
        assert_eq!(
            instance(running, "{}", true),
            Err("previous terminated container \"app\" in pod \"web\" not found".into())
        );
    }
}
