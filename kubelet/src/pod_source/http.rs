//! Static pods from a URL.
//!
//! Fetches the manifest again and again; whatever goes wrong leaves the pods of the last good
//! answer alone and is reported. An answer that has not changed costs one request without body
//! where the server knows entity tags.

mod fetch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use fetch::FetchError;
use fetch::{Answer, Fetcher};

use super::manifest::{self, Reading};
use super::{DesiredPod, PodOrigin, SourceProblem, SourceSnapshot};

/// A manifest behind a URL.
#[derive(Debug)]
pub struct HttpSource {
    url: String,
    headers: BTreeMap<String, Vec<String>>,
    node_name: String,
    period: Duration,
}

impl HttpSource {
    /// `url` is `staticPodURL`, `headers` is `staticPodURLHeader`, `period` is
    /// `httpCheckFrequency`.
    #[must_use]
    pub fn new(
        url: String,
        headers: BTreeMap<String, Vec<String>>,
        node_name: String,
        period: Duration,
    ) -> Self {
        Self {
            url,
            headers,
            node_name,
            period,
        }
    }

    /// Publishes snapshots until it is cancelled.
    pub async fn run(
        self,
        snapshots: watch::Sender<Arc<SourceSnapshot>>,
        cancelled: CancellationToken,
    ) {
        let mut fetcher = Fetcher::new(self.url.clone(), self.headers.clone());
        let mut ticks = interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut state = State::default();
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let answer = tokio::select! {
                () = cancelled.cancelled() => return,
                answer = fetcher.fetch() => answer,
            };
            if self.take(&mut state, answer) {
                if !state.problems.is_empty() {
                    // Whatever comes next must come whole, to be judged again.
                    fetcher.forget();
                }
                snapshots.send_replace(Arc::new(state.snapshot()));
            }
        }
    }

    /// Takes in an answer; whether the snapshot changes.
    fn take(&self, state: &mut State, answer: Result<Answer, FetchError>) -> bool {
        let origin = PodOrigin::Http(self.url.clone());
        let problems = match answer {
            Ok(Answer::Same) => return false,
            Ok(Answer::Text(text)) => {
                let reading = Reading {
                    origin: &origin,
                    node_name: &self.node_name,
                    seen: &jiff::Timestamp::now().to_string(),
                };
                match manifest::parse(&reading, &text) {
                    Ok(pods) => return state.good(pods),
                    Err(problems) => problems,
                }
            }
            Err(error) => vec![SourceProblem::whole(
                origin,
                error.to_string(),
                error.cure(),
            )],
        };
        let changed = problems != state.problems;
        state.problems = problems;
        changed
    }
}

#[derive(Debug, Default)]
struct State {
    /// Whether one answer was good. Until then it is not known what is wanted.
    ready: bool,
    pods: Vec<Arc<DesiredPod>>,
    problems: Vec<SourceProblem>,
}

impl State {
    /// Takes in the pods of a good answer; whether anything changes.
    fn good(&mut self, pods: Vec<Arc<DesiredPod>>) -> bool {
        let healed = !self.problems.is_empty();
        self.problems.clear();
        let uids =
            |pods: &[Arc<DesiredPod>]| pods.iter().map(|p| p.uid.clone()).collect::<Vec<_>>();
        let other = uids(&self.pods) != uids(&pods);
        if other {
            self.pods = pods;
        }
        let first = !std::mem::replace(&mut self.ready, true);
        first || healed || other
    }

    fn snapshot(&self) -> SourceSnapshot {
        SourceSnapshot {
            ready: self.ready,
            pods: self.pods.clone(),
            problems: self.problems.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
