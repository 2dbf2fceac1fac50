//! One set of pods from several sources.
//!
//! Pure. Two pods of one namespace and name cannot run at one time: the first one wins, in the
//! order of the sources and of the files in them, and the other is a problem that names both.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DesiredPod, PodOrigin, SourceProblem, SourceSnapshot, describe};

/// What all sources want together.
#[must_use]
pub fn merge<'a>(sources: impl IntoIterator<Item = &'a SourceSnapshot>) -> SourceSnapshot {
    let mut owners: BTreeMap<(String, String), PodOrigin> = BTreeMap::new();
    let mut merged = SourceSnapshot {
        ready: true,
        ..SourceSnapshot::default()
    };
    for source in sources {
        merged.ready &= source.ready;
        merged.problems.extend(source.problems.iter().cloned());
        for desired in &source.pods {
            let key = key(desired);
            match owners.get(&key) {
                Some(owner) => merged.problems.push(duplicate(desired, &key, owner)),
                None => {
                    owners.insert(key, desired.origin.clone());
                    merged.pods.push(Arc::clone(desired));
                }
            }
        }
    }
    merged
}

fn key(desired: &DesiredPod) -> (String, String) {
    let meta = &desired.pod.metadata;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (text(&meta.namespace), text(&meta.name))
}

fn duplicate(desired: &DesiredPod, key: &(String, String), owner: &PodOrigin) -> SourceProblem {
    let message = format!(
        "pod {}/{} is wanted by {} already",
        key.0,
        key.1,
        describe(owner)
    );
    SourceProblem {
        field: "metadata.name".to_owned(),
        ..SourceProblem::whole(
            desired.origin.clone(),
            message,
            "give one of the two another name",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keelson_api::core::Pod;

    use super::merge;
    use crate::pod_source::{DesiredPod, PodOrigin, SourceSnapshot};

    fn desired(file: &str, name: &str) -> Arc<DesiredPod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        Arc::new(DesiredPod {
            uid: format!("{file}-{name}").as_str().into(),
            pod: Arc::new(pod),
            origin: PodOrigin::File(file.into()),
        })
    }

    fn source(pods: &[(&str, &str)], ready: bool) -> SourceSnapshot {
        SourceSnapshot {
            ready,
            pods: pods
                .iter()
                .map(|(file, name)| desired(file, name))
                .collect(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn the_first_of_one_name_wins() {
        let (a, b) = (
            source(&[("/1", "x"), ("/2", "x"), ("/2", "y")], true),
            source(&[("/3", "y")], true),
        );
        let merged = merge([&a, &b]);
        let uids: Vec<_> = merged
            .pods
            .iter()
            .map(|p| p.uid.as_str().to_owned())
            .collect();
        assert_eq!(uids, ["/1-x", "/2-y"]);
        let texts: Vec<_> = merged.problems.iter().map(ToString::to_string).collect();
        assert!(
            texts[0].starts_with("/2: metadata.name: pod /x is wanted by /1 already"),
            "{texts:?}"
        );
        assert!(
            texts[1].starts_with("/3: ") && texts[1].contains("by /2"),
            "{texts:?}"
        );
    }

    #[test]
    fn is_ready_when_all_are() {
        assert!(merge([&source(&[], true), &source(&[], true)]).ready);
        assert!(!merge([&source(&[], true), &source(&[], false)]).ready);
    }
}
