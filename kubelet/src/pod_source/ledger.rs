//! What is known of each manifest file, and when to believe it.
//!
//! Pure: contents and times come in. A file that parses counts at once. One that does not, or
//! that is gone, counts only after a time of quiet, so that an editor may truncate, rename and
//! write in any order; until then, and for as long as it stays broken, its last good pods stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::manifest::{self, Reading};
use super::{DesiredPod, PodOrigin, SourceProblem, SourceSnapshot};

/// Quiet after which a broken manifest is reported.
pub(super) const BROKEN_QUIET: Duration = Duration::from_millis(200);
/// Quiet after which a missing manifest takes its pods along.
pub(super) const GONE_QUIET: Duration = Duration::from_millis(100);

/// What was found at a path.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A manifest.
    Text(String),
    /// Nothing, or nothing that could be a manifest.
    Gone,
    /// Something that cannot be read.
    Unreadable(String),
}

#[derive(Debug, Default)]
struct File {
    pods: Vec<Arc<DesiredPod>>,
    problems: Vec<SourceProblem>,
    /// A verdict that counts from that time on, unless the file changes before.
    pending: Option<(Duration, Verdict)>,
}

#[derive(Debug)]
enum Verdict {
    Broken(Vec<SourceProblem>),
    Gone,
}

/// All files of one folder.
#[derive(Debug)]
pub(super) struct Ledger {
    node_name: String,
    files: BTreeMap<PathBuf, File>,
}

impl Ledger {
    pub(super) fn new(node_name: String) -> Self {
        Self {
            node_name,
            files: BTreeMap::new(),
        }
    }

    /// The paths that are known.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files.keys().cloned().collect()
    }

    /// Takes in what was found; whether the snapshot changes at once.
    pub(super) fn observe(
        &mut self,
        path: &Path,
        content: Content,
        seen: &str,
        now: Duration,
    ) -> bool {
        match content {
            Content::Gone => self.gone(path, now),
            Content::Unreadable(why) => {
                let origin = PodOrigin::File(path.to_owned());
                let cure = "make the file readable, or remove it";
                self.broken(path, vec![SourceProblem::whole(origin, why, cure)], now);
                false
            }
            Content::Text(text) => self.text(path, &text, seen, now),
        }
    }

    fn gone(&mut self, path: &Path, now: Duration) -> bool {
        if let Some(file) = self.files.get_mut(path) {
            file.pending = Some((now + GONE_QUIET, Verdict::Gone));
        }
        false
    }

    fn broken(&mut self, path: &Path, problems: Vec<SourceProblem>, now: Duration) {
        let file = self.files.entry(path.to_owned()).or_default();
        file.pending = Some((now + BROKEN_QUIET, Verdict::Broken(problems)));
    }

    fn text(&mut self, path: &Path, text: &str, seen: &str, now: Duration) -> bool {
        let origin = PodOrigin::File(path.to_owned());
        let reading = Reading {
            origin: &origin,
            node_name: &self.node_name,
            seen,
        };
        match manifest::parse(&reading, text) {
            Err(problems) => {
                self.broken(path, problems, now);
                false
            }
            Ok(pods) => {
                let file = self.files.entry(path.to_owned()).or_default();
                file.pending = None;
                let same = file.pods.len() == pods.len()
                    && file.pods.iter().zip(&pods).all(|(a, b)| a.uid == b.uid);
                let changed = !same || !file.problems.is_empty();
                if !same {
                    file.pods = pods;
                }
                file.problems.clear();
                changed
            }
        }
    }

    /// Lets verdicts count whose time has come; whether the snapshot changes.
    pub(super) fn settle(&mut self, now: Duration) -> bool {
        let due: Vec<_> = self
            .files
            .iter()
            .filter(|(_, file)| file.pending.as_ref().is_some_and(|(at, _)| *at <= now))
            .map(|(path, _)| path.clone())
            .collect();
        let mut changed = false;
        for path in due {
            changed |= self.conclude(&path);
        }
        changed
    }

    fn conclude(&mut self, path: &Path) -> bool {
        let Some(file) = self.files.get_mut(path) else {
            return false;
        };
        match file.pending.take() {
            Some((_, Verdict::Gone)) => {
                let changed = !file.pods.is_empty() || !file.problems.is_empty();
                self.files.remove(path);
                changed
            }
            Some((_, Verdict::Broken(problems))) if problems != file.problems => {
                file.problems = problems;
                true
            }
            _ => false,
        }
    }

    /// When the next verdict counts.
    pub(super) fn next(&self) -> Option<Duration> {
        self.files
            .values()
            .filter_map(|file| file.pending.as_ref().map(|(at, _)| *at))
            .min()
    }

    /// What the folder wants, files by name.
    pub(super) fn snapshot(&self) -> SourceSnapshot {
        SourceSnapshot {
            ready: true,
            pods: self
                .files
                .values()
                .flat_map(|f| f.pods.iter().cloned())
                .collect(),
            problems: self
                .files
                .values()
                .flat_map(|f| f.problems.iter().cloned())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Content, Ledger};

    fn pod(image: &str) -> Content {
        Content::Text(format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
        ))
    }

    fn broken() -> Content {
        Content::Text("apiVersion: v1\nkind: Pod\nspec: {".to_owned())
    }

    const FILE: &str = "/m/a.yaml";

    struct Desk(Ledger);

    impl Desk {
        fn new() -> Self {
            Self(Ledger::new("n".to_owned()))
        }

        fn observe(&mut self, content: Content, at: u64) -> bool {
            self.0
                .observe(Path::new(FILE), content, "now", Duration::from_millis(at))
        }

        fn settle(&mut self, at: u64) -> bool {
            self.0.settle(Duration::from_millis(at))
        }

        fn counts(&self) -> (usize, usize) {
            let snapshot = self.0.snapshot();
            (snapshot.pods.len(), snapshot.problems.len())
        }
    }

    #[test]
    fn a_good_file_counts_at_once_and_once() {
        let mut desk = Desk::new();
        assert!(desk.observe(pod("x"), 0));
        assert!(!desk.observe(pod("x"), 1));
        let first = desk.0.snapshot().pods[0].uid.clone();
        assert!(desk.observe(pod("other"), 2));
        assert_ne!(desk.0.snapshot().pods[0].uid, first);
        assert_eq!(desk.0.next(), None);
    }

    #[test]
    fn a_broken_file_counts_after_quiet_and_keeps_its_pod() {
        let mut desk = Desk::new();
        desk.observe(pod("x"), 0);
        assert!(!desk.observe(broken(), 10));
        assert!(!desk.observe(broken(), 150));
        assert!(!desk.settle(349));
        assert!(desk.settle(350));
        assert_eq!(desk.counts(), (1, 1));
        assert!(!desk.observe(broken(), 400));
        assert!(!desk.settle(600), "the same problem is not news");
        assert!(desk.observe(pod("x"), 700));
        assert_eq!(desk.counts(), (1, 0));
    }

    #[test]
    fn a_file_that_is_replaced_in_steps_never_vanishes() {
        let mut desk = Desk::new();
        desk.observe(pod("x"), 0);
        desk.observe(Content::Gone, 10);
        desk.observe(Content::Text(String::new()), 11);
        assert!(desk.observe(pod("other"), 20));
        assert!(!desk.settle(1_000));
        assert_eq!(desk.counts(), (1, 0));
    }

    #[test]
    fn a_file_that_is_gone_takes_its_pods_along() {
        let mut desk = Desk::new();
        desk.observe(pod("x"), 0);
        desk.observe(Content::Gone, 10);
        assert_eq!(desk.0.next(), Some(Duration::from_millis(110)));
        assert!(desk.settle(110));
        assert_eq!(desk.counts(), (0, 0));
        assert!(!desk.observe(Content::Gone, 200));
        assert_eq!(desk.0.next(), None);
    }
}
