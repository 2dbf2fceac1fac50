//! A model of the API and of what runs: objects with versions, watches that are late, a kubelet.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::tz::TimeZone;
use keelson_client::backoff::Jitter;
use keelson_client::cache::{Key, Store, Writer};
use serde_json::{Value, json};

use crate::caches::Sight;
use crate::controller::{Failure, Input, Reconcile, Verb};
use crate::cron_job::CronJobs;
use crate::deployment::Deployments;
use crate::given::at;
use crate::job::Jobs;
use crate::kinds::{CronJob, Deployment, Job, Kind, Pod, ReplicaSet};
use crate::ledger::{Ledger, Written};
use crate::replica_set::Replicas;
use crate::write::{Action, Write, merge};

pub const DEPLOYMENTS: &str = "deployments";
pub const SETS: &str = "replicasets";
pub const PODS: &str = "pods";
pub const JOBS: &str = "jobs";
pub const CRONS: &str = "cronjobs";
const KINDS: [&str; 5] = [DEPLOYMENTS, SETS, PODS, JOBS, CRONS];

/// Who takes in what a watch brings.
trait Feed {
    fn apply(&mut self, object: Value);
    fn remove(&mut self, name: &str);
    fn seen(&mut self, version: u64);
    fn relist(&mut self, all: Vec<Value>);
}

impl<K: Kind> Feed for Writer<K> {
    fn apply(&mut self, object: Value) {
        Self::apply(self, serde_json::from_value(object).unwrap());
    }

    fn remove(&mut self, name: &str) {
        Self::remove(self, &Key::new("a", name));
    }

    fn seen(&mut self, version: u64) {
        Self::seen(self, &version.to_string());
    }

    fn relist(&mut self, all: Vec<Value>) {
        self.begin_list();
        for object in all {
            Feed::apply(self, object);
        }
        self.end_list();
    }
}

struct Controller {
    kind: &'static str,
    reconcile: Box<dyn Reconcile>,
    ledger: Ledger,
    failures: BTreeMap<Key, Failure>,
}

#[derive(Debug)]
enum Refusal {
    Conflict,
    Exists,
    Gone,
}

/// The world.
pub struct Cluster {
    seed: u64,
    chance: Jitter,
    /// Without faults: for coming to rest.
    calm: bool,
    second: i64,
    /// Seconds that have passed, whatever the clock says.
    pub elapsed: u64,
    version: u64,
    objects: BTreeMap<(&'static str, String), Value>,
    feeds: BTreeMap<&'static str, Box<dyn Feed>>,
    /// What watches have not brought yet: version, object, whether it is gone.
    late: BTreeMap<&'static str, VecDeque<(u64, Value, bool)>>,
    sight: Sight,
    controllers: Vec<Controller>,
    highest: BTreeMap<String, i64>,
    ended: BTreeMap<String, &'static str>,
    pub was_full: bool,
}

pub fn is_active(pod: &Value) -> bool {
    let ended = pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    !ended && pod["metadata"]["deletionTimestamp"].is_null()
}

fn kind_of(write: &Write) -> &'static str {
    let mut kinds = KINDS.into_iter();
    kinds.find(|kind| *kind == write.resource.plural).unwrap()
}

impl Cluster {
    pub fn new(seed: u64) -> Self {
        let (deployments, deployment_feed) = Store::new(Deployment::all_indexes());
        let (sets, set_feed) = Store::new(ReplicaSet::all_indexes());
        let (pods, pod_feed) = Store::new(Pod::all_indexes());
        let (jobs, job_feed) = Store::new(Job::all_indexes());
        let (crons, cron_feed) = Store::new(CronJob::all_indexes());
        let sight = Sight::default();
        sight.add(deployments.clone());
        sight.add(sets.clone());
        sight.add(pods.clone());
        sight.add(jobs.clone());
        sight.add(crons.clone());
        let feeds: [(&str, Box<dyn Feed>); 5] = [
            (DEPLOYMENTS, Box::new(deployment_feed)),
            (SETS, Box::new(set_feed)),
            (PODS, Box::new(pod_feed)),
            (JOBS, Box::new(job_feed)),
            (CRONS, Box::new(cron_feed)),
        ];
        let controller = |kind, reconcile| Controller {
            kind,
            reconcile,
            ledger: Ledger::default(),
            failures: BTreeMap::new(),
        };
        let replicas = Replicas {
            sets: sets.clone(),
            pods: pods.clone(),
        };
        let crons = CronJobs {
            crons,
            jobs: jobs.clone(),
            zone: |_| Some(TimeZone::UTC),
        };
        let jobs = Jobs {
            jobs,
            pods: pods.clone(),
        };
        let deployments = Deployments {
            deployments,
            sets,
            pods,
        };
        Self {
            seed,
            chance: Jitter::new(seed),
            calm: false,
            second: 1_800_000_000,
            elapsed: 0,
            version: 1,
            objects: BTreeMap::new(),
            feeds: feeds.into_iter().collect(),
            late: KINDS.iter().map(|kind| (*kind, VecDeque::new())).collect(),
            sight,
            controllers: vec![
                controller(DEPLOYMENTS, Box::new(deployments)),
                controller(SETS, Box::new(replicas)),
                controller(JOBS, Box::new(jobs)),
                controller(CRONS, Box::new(crons)),
            ],
            highest: BTreeMap::new(),
            ended: BTreeMap::new(),
            was_full: false,
        }
    }

    pub fn must(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds, "seed {}: {}", self.seed, what());
    }

    pub fn get(&self, kind: &'static str, name: &str) -> Option<Value> {
        self.objects.get(&(kind, name.to_owned())).cloned()
    }

    pub fn all(&self, kind: &str) -> Vec<Value> {
        let all = self.objects.iter().filter(|((known, _), _)| *known == kind);
        all.map(|(_, object)| object.clone()).collect()
    }

    /// The highest size that a set ever had.
    pub fn highest(&mut self, uid: &str, size: i64) -> i64 {
        let highest = self.highest.entry(uid.to_owned()).or_insert(size);
        *highest = (*highest).max(size);
        *highest
    }

    pub fn active_of(&self, uid: &str) -> Vec<Value> {
        let mut pods = self.all(PODS);
        pods.retain(|pod| is_active(pod) && pod["metadata"]["ownerReferences"][0]["uid"] == uid);
        pods
    }

    pub fn ready(&self, app: &str) -> usize {
        let mut pods = self.all(PODS);
        pods.retain(|pod| {
            let ready = &pod["status"]["conditions"][0]["status"];
            is_active(pod) && pod["metadata"]["labels"]["app"] == app && *ready == "True"
        });
        pods.len()
    }

    /// How many pods ended like this, gone or not.
    pub fn ended(&self, phase: &str) -> u64 {
        let count = self.ended.values().filter(|known| **known == phase).count();
        u64::try_from(count).unwrap()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a fraction of a small number"
    )]
    fn below(&mut self, bound: usize) -> usize {
        ((self.chance.fraction() * bound as f64) as usize).min(bound.saturating_sub(1))
    }

    fn happens(&mut self, one_in: usize) -> bool {
        !self.calm && self.below(one_in) == 0
    }

    fn stored(&mut self, kind: &'static str, object: Value, gone: bool) -> u64 {
        self.version += 1;
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let news = (self.version, object.clone(), gone);
        self.late.get_mut(kind).unwrap().push_back(news);
        if gone {
            self.objects.remove(&(kind, name));
        } else {
            self.objects.insert((kind, name), object);
        }
        self.version
    }

    pub fn create(&mut self, kind: &'static str, object: Value) {
        self.create_one(kind, object).unwrap();
    }

    fn create_one(&mut self, kind: &'static str, mut object: Value) -> Result<u64, Refusal> {
        let number = self.version + 1;
        let meta = &mut object["metadata"];
        if meta["name"].is_null() {
            meta["name"] = json!(format!(
                "{}{number}",
                meta["generateName"].as_str().unwrap()
            ));
        }
        let name = meta["name"].as_str().unwrap().to_owned();
        if self.objects.contains_key(&(kind, name)) {
            return Err(Refusal::Exists);
        }
        meta["namespace"] = json!("a");
        meta["uid"] = json!(format!("uid-{number}"));
        meta["generation"] = json!(1);
        meta["creationTimestamp"] = json!(at(self.second));
        if kind == PODS {
            object["status"] = json!({"phase": "Pending"});
        }
        Ok(self.stored(kind, object, false))
    }

    /// A user changes something.
    pub fn edit(&mut self, kind: &'static str, name: &str, change: &Value) {
        let mut object = self.get(kind, name).unwrap();
        merge(&mut object, change.clone());
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = json!(generation + 1);
        self.stored(kind, object, false);
    }

    fn write(&mut self, write: &Write) -> Result<Option<Written>, Refusal> {
        if self.happens(25) {
            return Err(Refusal::Conflict);
        }
        let kind = kind_of(write);
        let resource = write.resource.clone();
        match &write.action {
            Action::Create { object, .. } => {
                let version = self.create_one(kind, object.clone())?;
                Ok(Some(Written::Version { resource, version }))
            }
            Action::Patch {
                name,
                uid,
                version,
                subresource,
                changes,
            } => {
                let old = self.get(kind, name).ok_or(Refusal::Gone)?;
                let stale = !version.is_empty() && old["metadata"]["resourceVersion"] != **version;
                if stale || old["metadata"]["uid"] != **uid {
                    return Err(Refusal::Conflict);
                }
                let mut new = old.clone();
                merge(&mut new, changes.clone());
                if new == old {
                    return Ok(None);
                }
                if subresource.is_empty() && new["spec"] != old["spec"] {
                    let generation = new["metadata"]["generation"].as_i64().unwrap();
                    new["metadata"]["generation"] = json!(generation + 1);
                }
                let version = self.settle(kind, new);
                Ok(Some(Written::Version { resource, version }))
            }
            Action::Delete { name, uid, .. } => {
                let mut object = self.get(kind, name).ok_or(Refusal::Gone)?;
                if object["metadata"]["uid"] != **uid {
                    return Err(Refusal::Conflict);
                }
                if object["metadata"]["deletionTimestamp"].is_null() {
                    object["metadata"]["deletionTimestamp"] = json!(at(self.second));
                    self.settle(kind, object);
                }
                let (key, uid) = (Key::new("a", name), uid.clone());
                Ok(Some(Written::Deleted { resource, key, uid }))
            }
        }
    }

    /// Stores an object, unless it is leaving and nothing holds it any more. Pods are held by the
    /// kubelet until they have ended.
    fn settle(&mut self, kind: &'static str, object: Value) -> u64 {
        let leaving = !object["metadata"]["deletionTimestamp"].is_null();
        let finalizers = object["metadata"]["finalizers"].as_array();
        let held = finalizers.is_some_and(|all| !all.is_empty());
        let runs = kind == PODS && object["status"]["stopped"].is_null();
        self.stored(kind, object, leaving && !held && !runs)
    }

    fn pass(&mut self, seconds: u32) {
        self.elapsed += u64::from(seconds);
        self.second += i64::from(seconds);
    }

    /// Somebody sets the clock.
    pub fn set_clock(&mut self, by: i64) {
        self.second += by;
    }

    /// Something happens.
    pub fn step(&mut self) {
        match self.below(12) {
            0..=3 => {
                let at = self.below(KINDS.len());
                self.deliver(KINDS[at]);
            }
            4..=7 => self.decide(),
            8..=9 => self.kubelet(),
            10 => self.pass(3),
            _ if self.happens(20) => self.restart(),
            _ if self.happens(10) => {
                let at = self.below(KINDS.len());
                self.relist(KINDS[at]);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, kind: &'static str) -> bool {
        let Some((version, object, gone)) = self.late.get_mut(kind).unwrap().pop_front() else {
            return false;
        };
        let feed = self.feeds.get_mut(kind).unwrap();
        if gone {
            feed.remove(object["metadata"]["name"].as_str().unwrap());
            feed.seen(version);
        } else {
            feed.apply(object);
        }
        true
    }

    /// A watch broke, and everything was listed anew.
    fn relist(&mut self, kind: &'static str) {
        let all = self.all(kind);
        self.late.get_mut(kind).unwrap().clear();
        let feed = self.feeds.get_mut(kind).unwrap();
        feed.relist(all);
        feed.seen(self.version);
    }

    /// The program was killed, and the next one begins with what there is.
    fn restart(&mut self) {
        for kind in KINDS {
            self.relist(kind);
        }
        for controller in &mut self.controllers {
            controller.ledger = Ledger::default();
            controller.failures.clear();
        }
    }

    /// One controller works on one key.
    fn decide(&mut self) {
        let at = self.below(self.controllers.len());
        let kind = self.controllers[at].kind;
        let all = self.all(kind);
        if all.is_empty() {
            return;
        }
        let one = self.below(all.len());
        let key = Key::new("a", all[one]["metadata"]["name"].as_str().unwrap());
        self.work(at, &key);
    }

    fn work(&mut self, at: usize, key: &Key) {
        let elapsed = Duration::from_secs(self.elapsed);
        let (sight, now) = (self.sight.clone(), crate::given::at(self.second));
        let controller = &mut self.controllers[at];
        let seen = |written: &Written| sight.is_seen(written);
        if controller.ledger.wait(elapsed, key, seen).is_some() {
            return;
        }
        let failure = controller.failures.remove(key);
        let input = Input {
            now,
            key,
            failure: failure.as_ref(),
        };
        let plan = controller.reconcile.reconcile(&input);
        for write in &plan.writes {
            // Killed in the middle of it.
            if self.happens(400) {
                return self.restart();
            }
            match self.write(write) {
                Ok(Some(written)) => self.controllers[at].ledger.note(elapsed, key, written),
                Ok(None) => {}
                Err(Refusal::Gone) if write.verb() == Verb::Delete => {}
                Err(_) => return,
            }
        }
    }

    /// A pod gets on.
    fn kubelet(&mut self) {
        let pods = self.all(PODS);
        if pods.is_empty() {
            return;
        }
        let at = self.below(pods.len());
        let fails = self.happens(4);
        self.run_pod(pods[at].clone(), fails);
    }

    fn run_pod(&mut self, mut pod: Value, fails: bool) -> bool {
        let name = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let is_job = pod["metadata"]["labels"]["app"] == "work";
        let phase = pod["status"]["phase"].as_str().unwrap().to_owned();
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if !pod["status"]["stopped"].is_null() {
                return false;
            }
            pod["status"]["stopped"] = json!(true);
            if phase != "Succeeded" {
                pod["status"]["phase"] = json!("Failed");
                self.ended.insert(name, "Failed");
            }
        } else if phase == "Pending" {
            pod["status"]["phase"] = json!("Running");
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True",
                "lastTransitionTime": at(self.second)}]);
        } else if phase == "Running" && is_job {
            let end = if fails { "Failed" } else { "Succeeded" };
            pod["status"]["phase"] = json!(end);
            pod["status"]["containerStatuses"] = json!([{"state": {"terminated":
                {"exitCode": i32::from(fails), "finishedAt": at(self.second)}}}]);
            self.ended.insert(name, end);
        } else {
            return false;
        }
        self.settle(PODS, pod);
        true
    }

    /// Goes on without faults until nothing changes any more.
    pub fn come_to_rest(&mut self, check: impl Fn(&mut Self)) {
        self.calm = true;
        for _ in 0..2000 {
            let before = self.version;
            while KINDS.into_iter().any(|kind| self.deliver(kind)) {}
            for at in 0..self.controllers.len() {
                for object in self.all(self.controllers[at].kind) {
                    let key = Key::new("a", object["metadata"]["name"].as_str().unwrap());
                    self.work(at, &key);
                    check(self);
                    while KINDS.into_iter().any(|kind| self.deliver(kind)) {}
                }
            }
            for pod in self.all(PODS) {
                self.run_pod(pod, false);
                check(self);
            }
            self.pass(60);
            if self.version == before {
                return;
            }
        }
        panic!("seed {}: the world does not come to rest", self.seed);
    }
}
