//! Wishes for other resources of pods at hand: granted, put off or refused, and asked again when
//! room may have come. What is granted is remembered with the pod, over a restart of the agent.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use keelson_api::resources::is_sidecar;
use serde_json::json;

use super::pod_loop::PodLoop;
use super::records::Record;
use crate::admit::resize::{ResizeVerdict, rank, resize};
use crate::model::memory::{Life, RetryOf};
use crate::model::resources::{Pending, Progress};
use crate::model::{PodMemory, PodUid};
use crate::observe::clock;
use crate::reconcile::Note;

impl PodLoop {
    /// Looks at every wish that is not granted, in their order.
    pub(super) fn judge_resizes(&mut self) {
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let mut waiting: Vec<_> = records
            .iter()
            .filter(|(_, record)| record.memory.life == Life::Wanted)
            .filter_map(|(uid, record)| {
                let wish = record.wish.as_ref()?;
                let pending = record.memory.resize.pending.as_ref();
                let since = (pending.is_none(), pending.map(|pending| pending.since));
                Some((rank(&record.pod, wish, since), uid.clone(), wish.clone()))
            })
            .collect();
        waiting.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, uid, wish) in waiting {
            let holds = |(other, record): &(&PodUid, &Record)| {
                **other != uid && matches!(record.memory.life, Life::Wanted | Life::Terminating(_))
            };
            let others = records.iter().filter(holds);
            let others: Vec<&Pod> = others.map(|(_, record)| &*record.pod).collect();
            let verdict = resize(&wish, &self.parts.admission, &others);
            if let Some(record) = records.get_mut(&uid)
                && self.follow_verdict(record, &wish, verdict)
            {
                self.save(&uid, record);
                self.dirty.insert(uid);
            }
        }
    }

    /// True if that changes anything.
    fn follow_verdict(&self, record: &mut Record, wish: &Arc<Pod>, verdict: ResizeVerdict) -> bool {
        let (infeasible, message) = match verdict {
            ResizeVerdict::Grant => {
                let note = grant(record, wish);
                self.note(record, &[note]);
                return true;
            }
            ResizeVerdict::Defer(message) => (false, message),
            ResizeVerdict::Refuse(message) => (true, message),
        };
        let before = record.memory.resize.pending.take();
        let now = clock::now().wall;
        let since = before.as_ref().map_or(now, |before| before.since);
        let pending = Pending {
            infeasible,
            message,
            generation: wish.metadata.generation,
            since,
        };
        let news = before.as_ref() != Some(&pending);
        if news {
            let (reason, text) = (pending.reason(), &pending.message);
            let event = match infeasible {
                true => "ResizeInfeasible",
                false => "ResizeDeferred",
            };
            let text = format!("Pod resize {reason}: {},\"error\":{text:?}}}", about(wish));
            self.note(record, &[Note::of_pod(event, text).warn()]);
        }
        record.memory.resize.pending = Some(pending);
        news
    }
}

/// The pod has what it asked for from now on; what runs follows.
fn grant(record: &mut Record, wish: &Arc<Pod>) -> Note {
    record.take(wish.clone());
    record.wish = None;
    // What shows resources in a volume shows these.
    record.observed.volumes_outdated = Some(clock::mono());
    begin(&mut record.memory, wish)
}

fn begin(memory: &mut PodMemory, wish: &Pod) -> Note {
    let about = about(wish);
    let note = Note::of_pod("ResizeStarted", format!("Pod resize started: {about}}}"));
    memory.retries.remove(&RetryOf::Resize);
    memory.resize.pending = None;
    memory.resize.progress = Some(Progress {
        about,
        generation: wish.metadata.generation,
        since: clock::now().wall,
        error: None,
    });
    note
}

/// What a pod asks for, as events tell it; the last brace is left out.
fn about(pod: &Pod) -> String {
    let of =
        |container: &Container| json!({"name": container.name, "resources": container.resources});
    let spec = pod.spec.as_ref();
    let list = |containers: Vec<&Container>| {
        let list: Vec<_> = containers.into_iter().map(of).collect();
        serde_json::Value::from(list)
    };
    let sidecars = spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = sidecars.filter(|c| is_sidecar(c)).collect::<Vec<_>>();
    let containers = spec.iter().flat_map(|spec| &spec.containers).collect();
    let mut text = format!("{{\"containers\":{}", list(containers));
    if !sidecars.is_empty() {
        text += &format!(",\"initContainers\":{}", list(sidecars));
    }
    if let Some(own) = spec.and_then(|spec| spec.resources.as_ref()) {
        text += &format!(",\"resources\":{}", json!(own));
    }
    text + &format!(",\"generation\":{}", pod.metadata.generation.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_tell_what_is_asked_for() {
        let pod = serde_json::from_value(json!({
            "metadata": {"generation": 3},
            "spec": {
                "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
                "containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}],
            },
        }));
        assert_eq!(
            about(&pod.unwrap()),
            r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":"1"}}}],"initContainers":[{"name":"s","resources":null}],"generation":3"#
        );
    }
}
