//! The scheduler at work: takes changes in, lets the state decide, carries steps out. Owns every
//! task. One task decides; bindings and what is told go on beside it, a bounded number at once.

use std::sync::Arc;
use std::time::Duration;

use keelson_client::events::{Recorder, reference};
use keelson_client::{Change, Client, Error, Resource, footprint};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::bind;
use crate::bind::claims::{BindError, bind_claims};
use crate::framework::{Errand, Held};
use crate::hints::Event;
use crate::intern::Word;
use crate::metrics::{Metrics, Outcome};
use crate::model::{Pod, PodKey};
use crate::preempt::Plan;
use crate::queue::Taken;
use crate::state::{State, Step};
use crate::watch::Watches;

/// Writes under way at once, at most.
const WRITES: usize = 128;
/// How long decisions are made before others get a turn on this thread.
const STINT: Duration = Duration::from_millis(5);
/// How often it is looked for pods that wait for too long.
const AUDIT: Duration = Duration::from_secs(30);
/// How long writes that are under way may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What came of a write.
enum Written {
    /// A binding.
    Bound {
        taken: Taken,
        node: Word,
        held: Held,
        began: Instant,
        outcome: Result<(), BindError>,
    },
    /// A preemption or a message.
    Told {
        key: PodKey,
        outcome: Result<(), Error>,
    },
}

/// Schedules until the token is cancelled. The state brings its profiles.
pub async fn work(
    client: Client,
    state: State,
    recorder: Recorder,
    metrics: Arc<Mutex<Metrics>>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let watches = Watches::start(&client, &mut tasks, &stop);
    let wake = Arc::new(Notify::new());
    let turns = watch::Sender::new(0);
    let (small, end) = (footprint::stay_small(turns.subscribe()), stop.clone());
    tasks.spawn(async move {
        end.run_until_cancelled(small).await;
    });
    if stop.run_until_cancelled(watches.synced()).await.is_some() {
        watches.wake(&wake);
        let mut agent = Agent {
            client,
            state,
            watches,
            recorder,
            metrics,
            wake,
            turns,
            writes: JoinSet::new(),
            slow: JoinSet::new(),
            start: Instant::now(),
            audit: Instant::now() + AUDIT,
        };
        stop.run_until_cancelled(agent.run()).await;
        agent.drain().await;
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}

struct Agent {
    client: Client,
    state: State,
    watches: Watches,
    recorder: Recorder,
    metrics: Arc<Mutex<Metrics>>,
    wake: Arc<Notify>,
    /// How often something was looked at.
    turns: watch::Sender<u64>,
    writes: JoinSet<Written>,
    /// Bindings that wait for volumes, each of a pod that has its place already.
    slow: JoinSet<Written>,
    start: Instant,
    audit: Instant,
}

impl Agent {
    async fn run(&mut self) {
        loop {
            self.turns.send_modify(|count| *count += 1);
            self.take_all();
            self.look_after();
            let busy = self.decide();
            self.note_depths();
            if busy && self.writes.len() < WRITES {
                tokio::task::yield_now().await;
            } else {
                self.wait().await;
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits for a change, the end of a write or of a back-off.
    async fn wait(&mut self) {
        let due = self.state.queue.next_due().map(|due| self.start + due);
        let due = due.filter(|_| self.writes.len() < WRITES);
        let due = due.map_or(self.audit, |due| due.min(self.audit));
        let wake = self.wake.clone();
        tokio::select! {
            Some(written) = self.writes.join_next() => {
                if let Ok(written) = written {
                    self.written(written);
                }
            }
            Some(written) = self.slow.join_next() => {
                if let Ok(written) = written {
                    self.written(written);
                }
            }
            () = wake.notified() => {}
            () = sleep_until(due) => {}
        }
    }

    /// Decides for a while; whether there is more to decide.
    fn decide(&mut self) -> bool {
        let began = Instant::now();
        while self.writes.len() < WRITES && began.elapsed() < STINT {
            let before = Instant::now();
            let Some(step) = self.state.next(self.now()) else {
                return false;
            };
            self.metrics.lock().decided(before.elapsed());
            self.carry_out(step, before);
        }
        true
    }

    fn carry_out(&mut self, step: Step, began: Instant) {
        match step {
            Step::Bind {
                taken,
                placement,
                held,
                errands,
            } => self.bind(taken, placement.node, held, errands, began),
            Step::Refuse {
                taken,
                message,
                plan,
                plugins,
            } => {
                self.note_refusal(&taken.pod, began, &plugins);
                self.refused(&taken.pod, message, plan);
            }
        }
    }

    fn bind(&mut self, taken: Taken, node: Word, held: Held, errands: Vec<Errand>, began: Instant) {
        let client = self.client.clone();
        let store = self.watches.claims.store().clone();
        // What waits for others must not hold up those who don't.
        let writes = match &errands[..] {
            [Errand::Binding] => &mut self.writes,
            _ => &mut self.slow,
        };
        let storage = &self.state.cluster.storage;
        let uids = held.claims.iter().map(|choice| {
            let claim = storage.claims.get(&choice.claim);
            claim.map(|claim| claim.uid.clone()).unwrap_or_default()
        });
        let uids: Vec<Word> = uids.collect();
        writes.spawn(async move {
            let mut outcome = Ok(());
            for errand in &errands {
                let done = match errand {
                    Errand::Claims(claims) => {
                        bind_claims(&client, &store, claims, &uids, node.text()).await
                    }
                    Errand::Binding => {
                        let bound = bind::bind(&client, &taken.pod, node.text()).await;
                        bound.map_err(BindError::from)
                    }
                };
                if done.is_err() {
                    outcome = done;
                    break;
                }
            }
            Written::Bound {
                taken,
                node,
                held,
                began,
                outcome,
            }
        });
    }

    fn note_refusal(&self, pod: &Pod, began: Instant, plugins: &[&'static str]) {
        let mut metrics = self.metrics.lock();
        let profile = pod.class.scheduler.text();
        metrics.attempt(Outcome::Unschedulable, profile, began.elapsed());
        for plugin in plugins {
            *metrics.refused_by.entry(plugin).or_default() += 1;
        }
    }

    fn refused(&mut self, pod: &Arc<Pod>, message: String, plan: Option<Plan>) {
        self.record(pod, true, "FailedScheduling", &message);
        let node = self.state.cluster.nomination(&pod.key).cloned();
        let is_told = pod.refused.as_deref() == Some(&*message) && pod.nominated == node;
        if plan.is_none() && is_told {
            return;
        }
        if let Some(plan) = &plan {
            let mut metrics = self.metrics.lock();
            metrics.preemptions += 1;
            metrics.victims += u64::try_from(plan.victims.len()).unwrap_or(0);
            drop(metrics);
            for victim in &plan.victims {
                let text = format!("Preempted by pod {} on node {}", pod.uid, plan.node);
                self.record(victim, false, "Preempted", &text);
            }
        }
        let (client, pod) = (self.client.clone(), pod.clone());
        self.writes.spawn(async move {
            let node = node.as_ref().map(Word::text);
            let outcome = tell(&client, &pod, &message, node, plan).await;
            Written::Told {
                key: pod.key.clone(),
                outcome,
            }
        });
    }

    fn written(&mut self, written: Written) {
        match written {
            Written::Told { key, outcome } => {
                if let Err(error) = outcome {
                    tracing::warn!(pod = %key, %error, "cannot tell that the pod has to wait");
                }
            }
            Written::Bound {
                taken,
                node,
                held,
                began,
                outcome,
            } => self.bound(&taken, &node, &held, began, outcome),
        }
    }

    fn bound(
        &mut self,
        taken: &Taken,
        node: &Word,
        held: &Held,
        began: Instant,
        outcome: Result<(), BindError>,
    ) {
        let now = self.now();
        let pod = &taken.pod;
        let profile = pod.class.scheduler.text();
        match outcome {
            Ok(()) => {
                self.state.bound(pod, node);
                let mut metrics = self.metrics.lock();
                metrics.attempt(Outcome::Scheduled, profile, began.elapsed());
                metrics.bound_after(now.saturating_sub(taken.since));
                drop(metrics);
                let text = format!("Successfully assigned {} to {node}", pod.key);
                self.record(pod, false, "Scheduled", &text);
            }
            Err(error) => {
                let metrics = &self.metrics;
                metrics
                    .lock()
                    .attempt(Outcome::Error, profile, began.elapsed());
                self.state.not_bound(now, pod, held);
                // Gone or bound by somebody else: the watch will tell.
                if error.will_be_told() {
                    return tracing::debug!(pod = %pod.key, %error, "not bound");
                }
                tracing::warn!(pod = %pod.key, %node, %error, "not bound, will try again");
                self.record(pod, true, "FailedScheduling", &error.to_string());
            }
        }
    }

    fn record(&self, pod: &Pod, warning: bool, reason: &str, message: &str) {
        let pods = Resource::of::<k8s_openapi::api::core::v1::Pod>();
        let key = &pod.key;
        let about = reference(&pods, key.namespace.text(), key.name.text(), &pod.uid);
        self.recorder.record(about, warning, reason, message);
    }

    fn look_after(&mut self) {
        while let Some(Ok(written)) = self.writes.try_join_next() {
            self.written(written);
        }
        while let Some(Ok(written)) = self.slow.try_join_next() {
            self.written(written);
        }
        if Instant::now() >= self.audit {
            self.audit = Instant::now() + AUDIT;
            let now = self.now();
            self.state.queue.wake_forgotten(now);
        }
    }

    fn note_depths(&self) {
        let mut metrics = self.metrics.lock();
        metrics.pending = self.state.queue.depths();
        metrics.binding = self.writes.len();
        let cluster = &self.state.cluster;
        metrics.cached = [cluster.len(), cluster.placed()];
    }

    async fn drain(&mut self) {
        let rest = async { while self.writes.join_next().await.is_some() {} };
        if timeout(DRAIN, rest).await.is_err() {
            tracing::warn!("writes are left unfinished");
        }
    }

    /// Takes in what changed. Nodes come before pods, so that pods find theirs.
    fn take_all(&mut self) {
        let now = self.now();
        let (watches, state) = (&mut self.watches, &mut self.state);
        while let Some(change) = watches.nodes.take() {
            match &change {
                Change::Applied { new, .. } => state.put_node(now, new),
                Change::Removed { old } => state.remove_node(now, &old.name),
            }
        }
        while let Some(change) = watches.pods.take() {
            match &change {
                Change::Applied { new, .. } => state.put_pod(now, new),
                Change::Removed { old } => state.remove_pod(now, &old.key),
            }
        }
        self.take_selectors(now);
        if self.watches.take_storage(&mut self.state.cluster.storage) {
            self.state.cluster.touch();
            self.state.tell(now, Event::Storage);
        }
    }

    fn take_selectors(&mut self, now: Duration) {
        let (watches, state) = (&mut self.watches, &mut self.state);
        while let Some(change) = watches.namespaces.take() {
            let labels = change.current().map(|new| new.metadata.labels.clone());
            let name = &change.latest().metadata.name;
            if state.cluster.namespace(name) != labels.as_ref() {
                state.cluster.set_namespace(name, labels);
                state.tell(now, Event::Namespace);
            }
        }
        let owners = &mut state.cluster.owners;
        while let Some(change) = watches.services.take() {
            let selects = change.current().map(|new| new.selects().clone());
            owners.set_service(&change.latest().metadata.key(), selects);
        }
        while let Some(change) = watches.controllers.take() {
            let selector = change.current().map(|new| new.selector());
            let kind = Word::of("ReplicationController");
            owners.set_workload(&kind, &change.latest().metadata.key(), selector);
        }
        for (kind, watched) in [
            ("ReplicaSet", &mut watches.replica_sets),
            ("StatefulSet", &mut watches.stateful_sets),
        ] {
            let kind = Word::of(kind);
            while let Some(change) = watched.take() {
                let selector = change.current().map(|new| new.selector().clone());
                owners.set_workload(&kind, &change.latest().metadata.key(), selector);
            }
        }
        while let Some(change) = watches.budgets.take() {
            let key = change.latest().metadata.key();
            match change.current() {
                Some(new) => drop(state.cluster.budgets.insert(key, new.budget())),
                None => drop(state.cluster.budgets.remove(&key)),
            }
        }
    }
}

/// Says that a pod has to wait. With a plan: makes its victims go first.
async fn tell(
    client: &Client,
    pod: &Pod,
    message: &str,
    node: Option<&str>,
    plan: Option<Plan>,
) -> Result<(), Error> {
    if let Some(plan) = plan {
        for key in &plan.displaced {
            bind::forget_nomination(client, key).await?;
        }
        bind::tell_refusal(client, pod, message, node).await?;
        let scheduler = pod.class.scheduler.text();
        let evictions = plan.victims.iter().filter(|victim| !victim.deleting);
        for victim in evictions {
            bind::evict(client, victim, scheduler).await?;
        }
        return Ok(());
    }
    bind::tell_refusal(client, pod, message, node).await
}
