//! What must follow after a step of a case.

use keelson_kubelet::model::Mono;
use keelson_kubelet::reconcile::waits;
use keelson_kubelet::status::{NodeFacts, pod_status};
use serde_json::Value;

use super::Turn;
use super::words::{differences, in_words, matches};
use super::world::World;

impl World {
    pub fn check(&mut self, turn: &Turn) {
        let step = if turn.settle {
            self.settle()
        } else {
            self.reconcile()
        };
        self.notes.extend(step.notes.clone());
        let actions: Vec<String> = step.actions.iter().map(in_words).collect();
        if let Some(expected) = &turn.expect {
            let same = actions.len() == expected.len()
                && step
                    .actions
                    .iter()
                    .zip(expected)
                    .all(|(a, text)| matches(a, text));
            assert!(
                same,
                "actions\n  {actions:#?}\nbut expected\n  {expected:#?}"
            );
        }
        for text in &turn.expect_some {
            let found = step.actions.iter().any(|a| matches(a, text));
            assert!(found, "no {text:?} among {actions:#?}");
        }
        self.check_notes(turn);
        if let Some(wake) = turn.wake {
            let start = Mono(3_600_000);
            let seconds = step
                .wake_at
                .map_or(-1.0, |at| at.since(start).as_secs_f64());
            assert!(
                (seconds - wake).abs() < 0.01,
                "wakes at {seconds}, not at {wake}"
            );
        }
        if let Some(expected) = &turn.status {
            self.check_status(expected);
        }
        self.check_waits(&turn.waits);
        if let Some(life) = &turn.life {
            let is = format!("{:?}", self.memory.life);
            assert!(is.starts_with(life.as_str()), "life is {is}, not {life}");
        }
    }

    fn check_notes(&mut self, turn: &Turn) {
        let notes: Vec<String> = self
            .notes
            .drain(..)
            .map(|n| format!("{}: {}", n.reason, n.message))
            .collect();
        for expected in &turn.notes {
            let (reason, part) = expected.split_once(": ").unwrap_or((expected, ""));
            let fits = |n: &&String| n.starts_with(&format!("{reason}: ")) && n.contains(part);
            assert!(
                notes.iter().any(|n| fits(&n)),
                "no note {expected:?} in {notes:#?}"
            );
        }
        for reason in &turn.no_notes {
            let found = notes.iter().find(|n| n.starts_with(&format!("{reason}: ")));
            assert!(found.is_none(), "unexpected note {found:?}");
        }
    }

    fn check_status(&self, expected: &Value) {
        let node = NodeFacts {
            host_ips: vec!["192.168.0.1".parse().unwrap()],
            runtime: "containerd".into(),
            recursive_read_only: false,
        };
        let status = pod_status(
            self.now(),
            &self.pod,
            &self.spec,
            &self.observed,
            &self.memory,
            &node,
        );
        let status = serde_json::to_value(&status).unwrap();
        let mut wrong = String::new();
        differences("status", &status, expected, &mut wrong);
        let all = serde_json::to_string_pretty(&status).unwrap();
        assert!(wrong.is_empty(), "{wrong}in {all}");
    }

    fn check_waits(&self, expected: &[String]) {
        let waits = waits(&self.spec, &self.observed, &self.memory, self.mono());
        let text: Vec<String> = waits
            .iter()
            .map(|w| format!("{} {}", w.container.as_deref().unwrap_or("pod"), w.what))
            .collect();
        for part in expected {
            assert!(
                text.iter().any(|t| t.contains(part.as_str())),
                "no {part:?} in {text:#?}"
            );
        }
    }
}
