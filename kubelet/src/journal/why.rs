//! "Why is this pod not running?", answered from its status and its journal. Pure.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use serde::Serialize;

use super::{Entry, Journal, Kind};

/// Entries shown with an answer.
const SHOWN_ENTRIES: usize = 8;

/// What is known of a pod when the question is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodView {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    /// Pending, Running, Succeeded, Failed, or Terminating.
    pub phase: String,
    /// When the node saw the pod first.
    pub since: Option<Timestamp>,
    /// What the pod waits for, most telling first.
    pub waits: Vec<Wait>,
    /// What will happen next, soonest first.
    pub next: Vec<Next>,
}

/// One thing a pod waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// Who waits: `container web`, `volume data`, `pod`.
    pub subject: String,
    /// A reason of upstream's vocabulary, such as `CrashLoopBackOff`.
    pub reason: String,
    /// The details in words; may be empty.
    pub message: String,
    /// Since when, if known.
    pub since: Option<Timestamp>,
}

/// One thing that will happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Next {
    /// What: `restart of container web`.
    pub what: String,
    /// When, if it is a matter of time alone.
    pub at: Option<Timestamp>,
}

/// The answer. Shown as text, or sent as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's phase.
    pub phase: String,
    /// When the node saw the pod first.
    pub since: Option<Timestamp>,
    /// What it waits for.
    pub waits_for: Vec<Wait>,
    /// What comes next.
    pub next: Vec<Next>,
    /// The last entries of its journal, oldest first.
    pub entries: Vec<Entry>,
    /// When the question was asked.
    pub now: Timestamp,
}

/// Says for a pod: its phase, what it waits for and since when, what comes next, and what
/// happened last.
pub fn why(pod: &PodView, journal: &Journal, now: Timestamp) -> Why {
    let mut entries = journal.pod(&pod.uid);
    let surplus = entries.len().saturating_sub(SHOWN_ENTRIES);
    entries.drain(..surplus);
    Why {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        phase: pod.phase.clone(),
        since: pod.since,
        waits_for: pod.waits.clone(),
        next: pod.next.clone(),
        entries,
        now,
    }
}

impl PodView {
    /// Reads what a pod's status alone tells. The owner of timers adds to `next`.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        let start_time = status.and_then(|status| status.start_time.as_ref());
        let mut view = Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            phase: phase.unwrap_or("Pending").to_owned(),
            since: start_time.map(|time| time.0),
            waits: waits_of(pod),
            next: Vec::new(),
        };
        if let Some(deleted) = &pod.metadata.deletion_timestamp {
            view.phase = "Terminating".to_owned();
            view.next.push(Next {
                what: "kill of what still runs".to_owned(),
                at: Some(deleted.0),
            });
        }
        view
    }
}

fn waits_of(pod: &Pod) -> Vec<Wait> {
    let Some(status) = &pod.status else {
        return vec![wait(
            "pod",
            "NotSeen",
            "the node has not begun with it",
            None,
        )];
    };
    let mut waits = Vec::new();
    if let Some(reason) = &status.reason {
        let message = status.message.as_deref().unwrap_or_default();
        waits.push(wait("pod", reason, message, None));
    }
    let init = status.init_container_statuses.iter().flatten();
    let containers = status.container_statuses.iter().flatten();
    waits.extend(init.chain(containers).filter_map(container_wait));
    let finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if !finished {
        let conditions = status.conditions.iter().flatten();
        waits.extend(conditions.filter_map(condition_wait));
    }
    waits
}

fn container_wait(status: &ContainerStatus) -> Option<Wait> {
    let subject = format!("container {}", status.name);
    let state = status.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let last = status.last_state.as_ref();
        let ended = last.and_then(|last| last.terminated.as_ref());
        return Some(Wait {
            subject,
            reason: waiting.reason.clone().unwrap_or_default(),
            message: waiting.message.clone().unwrap_or_default(),
            since: ended.and_then(|ended| ended.finished_at.as_ref().map(|time| time.0)),
        });
    }
    let ended = state.terminated.as_ref()?;
    (ended.exit_code != 0).then(|| Wait {
        subject,
        reason: ended.reason.clone().unwrap_or_default(),
        message: format!("exit code {}", ended.exit_code),
        since: ended.finished_at.as_ref().map(|time| time.0),
    })
}

fn condition_wait(condition: &PodCondition) -> Option<Wait> {
    (condition.status == "False").then(|| Wait {
        subject: format!("condition {}", condition.type_),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        since: condition.last_transition_time.as_ref().map(|time| time.0),
    })
}

fn wait(subject: &str, reason: &str, message: &str, since: Option<Timestamp>) -> Wait {
    Wait {
        subject: subject.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        since,
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "pod {}/{}: {}", self.namespace, self.name, self.phase)?;
        writeln!(out, "{}", since(self.since, self.now))?;
        if self.waits_for.is_empty() {
            writeln!(out, "waits for: nothing")?;
        } else {
            writeln!(out, "waits for:")?;
        }
        for wait in &self.waits_for {
            write!(out, "  {}: {}", wait.subject, wait.reason)?;
            if !wait.message.is_empty() {
                write!(out, ": {}", wait.message)?;
            }
            writeln!(out, "{}", since(wait.since, self.now))?;
        }
        for next in &self.next {
            writeln!(out, "next: {}{}", next.what, until(next.at, self.now))?;
        }
        if !self.entries.is_empty() {
            writeln!(out, "last:")?;
        }
        for entry in &self.entries {
            writeln!(out, "  {}", EntryLine(entry, self.now))?;
        }
        Ok(())
    }
}

struct EntryLine<'a>(&'a Entry, Timestamp);

impl fmt::Display for EntryLine<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry, now) = self;
        let age = Span::between(entry.at, *now);
        let kind = match entry.kind {
            Kind::Normal => "",
            Kind::Warning => "! ",
        };
        write!(
            out,
            "{age:>6} ago  {kind}{}: {}",
            entry.reason, entry.message
        )?;
        if entry.count > 1 {
            write!(out, " (x{})", entry.count)?;
        }
        Ok(())
    }
}

fn since(from: Option<Timestamp>, now: Timestamp) -> String {
    from.map(|from| format!(" (for {})", Span::between(from, now)))
        .unwrap_or_default()
}

fn until(at: Option<Timestamp>, now: Timestamp) -> String {
    match at {
        None => String::new(),
        Some(at) if at <= now => " now".to_owned(),
        Some(at) => format!(" in {}", Span::between(now, at)),
    }
}

/// Whole seconds, written the way `kubectl` writes ages.
struct Span(i64);

impl Span {
    fn between(from: Timestamp, to: Timestamp) -> Self {
        Self((to.as_second() - from.as_second()).max(0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours) = (self.0 / 86_400, self.0 / 3_600 % 24);
        let (minutes, seconds) = (self.0 / 60 % 60, self.0 % 60);
        let text = match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds}s"),
            (0, 0, _) => format!("{minutes}m{seconds}s"),
            (0, _, _) => format!("{hours}h{minutes}m"),
            _ => format!("{days}d{hours}h"),
        };
        out.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PodKey, reason};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn crashing_pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
            "status": {
                "phase": "Running",
                "startTime": "1970-01-01T00:00:10Z",
                "conditions": [
                    {"type": "Initialized", "status": "True"},
                    {"type": "Ready", "status": "False", "reason": "ContainersNotReady",
                     "message": "containers with unready status: [app]",
                     "lastTransitionTime": "1970-01-01T00:01:00Z"}],
                "containerStatuses": [
                    {"name": "app", "image": "x", "imageID": "", "ready": false, "restartCount": 3,
                     "state": {"waiting": {"reason": "CrashLoopBackOff",
                               "message": "back-off 40s restarting failed container"}},
                     "lastState": {"terminated": {"exitCode": 1,
                                   "finishedAt": "1970-01-01T00:01:40Z"}}},
                    {"name": "ok", "image": "x", "imageID": "", "ready": true, "restartCount": 0,
                     "state": {"running": {"startedAt": "1970-01-01T00:00:20Z"}}}]
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_crash_loop_is_told_in_full() {
        let journal = Journal::default();
        let pod = crashing_pod();
        let key = PodKey {
            namespace: "default",
            name: "web",
            uid: "u1",
            field: "",
        };
        for second in [60, 80, 100] {
            journal.record(at(second), key, Kind::Warning, reason::BACK_OFF, "back-off");
        }
        let mut view = PodView::of(&pod);
        view.next.push(Next {
            what: "restart of container app".into(),
            at: Some(at(140)),
        });
        let answer = why(&view, &journal, at(130));
        assert_eq!(
            answer.to_string(),
            "pod default/web: Running (for 2m0s)\n\
             waits for:\n\
             \x20 container app: CrashLoopBackOff: back-off 40s restarting failed container (for 30s)\n\
             \x20 condition Ready: ContainersNotReady: containers with unready status: [app] (for 1m10s)\n\
             next: restart of container app in 10s\n\
             last:\n\
             \x20    30s ago  ! BackOff: back-off (x3)\n"
        );
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["waitsFor"][0]["reason"], "CrashLoopBackOff");
        assert_eq!(json["entries"][0]["count"], 3);
    }

    #[test]
    fn a_pod_without_status_waits_for_the_node() {
        let view = PodView::of(&Pod::default());
        assert_eq!(
            (&*view.phase, &*view.waits[0].reason),
            ("Pending", "NotSeen")
        );
    }

    #[test]
    fn a_terminating_pod_says_when_it_is_killed() {
        let mut pod = crashing_pod();
        pod.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(200)),
        );
        let text = why(&PodView::of(&pod), &Journal::default(), at(170)).to_string();
        assert!(text.starts_with("pod default/web: Terminating"), "{text}");
        assert!(
            text.contains("next: kill of what still runs in 30s"),
            "{text}"
        );
    }

    #[test]
    fn spans() {
        for (seconds, expected) in [
            (-5, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3_600, "1h0m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(Span::between(at(0), at(seconds)).to_string(), expected);
        }
    }
}
