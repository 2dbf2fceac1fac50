//! `SchedulingGates`: a pod with gates is not thought about before the last one is gone.

use crate::framework::{PreEnqueue, Reason};
use crate::intern::Word;
use crate::model::Pod;

/// The plugin.
#[derive(Debug)]
pub struct SchedulingGates;

impl PreEnqueue for SchedulingGates {
    fn hold(&self, pod: &Pod) -> Option<Reason> {
        let gates = &pod.class.gates;
        if gates.is_empty() {
            return None;
        }
        let names: Vec<&str> = gates.iter().map(Word::text).collect();
        let text = format!("waiting for scheduling gates: [{}]", names.join(" "));
        Some(Reason::Said(Word::of(&text)))
    }
}
