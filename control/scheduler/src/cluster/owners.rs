//! What selects pods, for spreading those that say nothing about it themselves: services, and the
//! workload that a pod belongs to.

use std::collections::HashMap;

use crate::intern::Word;
use crate::model::{Labels, Pod, PodKey, Requirement, Selector};

/// Selectors of services and workloads.
#[derive(Debug, Default)]
pub struct Owners {
    services: HashMap<Word, HashMap<Word, Labels>>,
    workloads: HashMap<(Word, PodKey), Selector>,
}

impl Owners {
    /// A service selects these labels, or none.
    pub fn set_service(&mut self, key: &PodKey, selects: Option<Labels>) {
        let inside = self.services.entry(key.namespace.clone()).or_default();
        match selects.filter(|labels| !labels.pairs().is_empty()) {
            Some(labels) => {
                inside.insert(key.name.clone(), labels);
            }
            None => {
                inside.remove(&key.name);
                if inside.is_empty() {
                    self.services.remove(&key.namespace);
                }
            }
        }
    }

    /// A workload of this kind selects pods like this, or is gone.
    pub fn set_workload(&mut self, kind: &Word, key: &PodKey, selector: Option<Selector>) {
        let key = (kind.clone(), key.clone());
        match selector {
            Some(selector) => self.workloads.insert(key, selector),
            None => self.workloads.remove(&key),
        };
    }

    /// What selects a pod and others like it: its services' selectors and that of its workload at
    /// once. `None` where nothing does.
    #[must_use]
    pub fn selector_of(&self, pod: &Pod) -> Option<Selector> {
        let mut all: Vec<Requirement> = Vec::new();
        let services = self.services.get(pod.namespace()).into_iter().flatten();
        for (_, selects) in services {
            let pairs = selects.pairs();
            if pairs
                .iter()
                .all(|(key, value)| pod.labels().value(key) == Some(value))
            {
                let pairs = pairs.iter().cloned();
                all.extend(pairs.map(|(key, value)| Requirement::equal(key, value)));
            }
        }
        if let Some((kind, name)) = &pod.class.owner {
            let key = PodKey {
                namespace: pod.namespace().clone(),
                name: name.clone(),
            };
            if let Some(Selector::All(more)) = self.workloads.get(&(kind.clone(), key)) {
                all.extend(more.iter().cloned());
            }
        }
        (!all.is_empty()).then_some(Selector::All(all))
    }
}
