//! Controllers against a model of the API, with virtual time, late watches, refused writes and
//! restarts at any step. What must always be true is checked after each write; at the end the world
//! has to come to rest as it was wanted. A seed that fails is named, and fails again.

mod cluster;

use cluster::{CRONS, Cluster, DEPLOYMENTS, JOBS, PODS, SETS};
use serde_json::{Value, json};

const SEEDS: u64 = 6;
const STEPS: u32 = 700;

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn deployment(strategy: &Value) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": 7, "template": template("one"),
        "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10, "strategy": strategy}})
}

fn job() -> Value {
    json!({"metadata": {"name": "work"}, "spec": {"completions": 9, "parallelism": 3,
        "backoffLimit": 1000, "completionMode": "NonIndexed",
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"app": "work"}},
        "template": {"metadata": {"labels": {"app": "work"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}}})
}

/// All sets together never want more than wanted and surge; no set ever has more pods than it ever
/// wanted; once full, no more are missing than may be.
fn check_deployment(cluster: &mut Cluster, most: i64, least: usize) {
    let sets = cluster.all(SETS);
    let wanted: i64 = sets
        .iter()
        .map(|set| set["spec"]["replicas"].as_i64().unwrap())
        .sum();
    cluster.must(wanted <= most, || format!("{wanted} pods wanted"));
    for set in sets {
        let uid = set["metadata"]["uid"].as_str().unwrap().to_owned();
        let size = set["spec"]["replicas"].as_i64().unwrap();
        let highest = cluster.highest(&uid, size);
        let pods = cluster.active_of(&uid).len();
        let within = i64::try_from(pods).unwrap() <= highest;
        cluster.must(within, || {
            format!("{pods} pods of a set that never wanted more than {highest}")
        });
    }
    let ready = cluster.ready("web");
    cluster.was_full |= ready == 7;
    let enough = ready >= least || !cluster.was_full;
    cluster.must(enough, || format!("{ready} pods ready"));
}

/// Never more pods at once than allowed, and never more successes told than there were.
fn check_job(cluster: &mut Cluster) {
    let Some(job) = cluster.get(JOBS, "work") else {
        return;
    };
    let uid = job["metadata"]["uid"].as_str().unwrap().to_owned();
    let active = cluster.active_of(&uid).len();
    cluster.must(active <= 3, || format!("{active} pods at once"));
    let told = job["status"]["succeeded"].as_u64().unwrap_or(0);
    let (succeeded, failed) = (cluster.ended("Succeeded"), cluster.ended("Failed"));
    cluster.must(told <= succeeded, || {
        format!("{told} successes told of {succeeded}")
    });
    cluster.must(succeeded <= 9, || format!("{succeeded} successes of 9"));
    let conditions = job["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if conditions
        .iter()
        .any(|condition| condition["type"] == "Complete")
    {
        let told_failed = job["status"]["failed"].as_u64().unwrap_or(0);
        let exact = (told, told_failed) == (9, failed);
        cluster.must(exact, || {
            format!("{told} and {told_failed} told of 9 and {failed}")
        });
    }
}

#[test]
fn a_rollout_stays_within_its_fence_whatever_fails() {
    let rolling = json!({"type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}});
    for seed in 0..SEEDS {
        let mut cluster = Cluster::new(seed);
        cluster.create(DEPLOYMENTS, deployment(&rolling));
        for step in 0..STEPS {
            if step == STEPS / 3 || step == STEPS / 2 {
                let image = if step == STEPS / 3 { "two" } else { "three" };
                cluster.edit(
                    DEPLOYMENTS,
                    "web",
                    &json!({"spec": {"template": template(image)}}),
                );
            }
            cluster.step();
            check_deployment(&mut cluster, 9, 6);
        }
        cluster.come_to_rest(|cluster| check_deployment(cluster, 9, 6));
        let status = cluster.get(DEPLOYMENTS, "web").unwrap()["status"].clone();
        for count in ["replicas", "updatedReplicas", "availableReplicas"] {
            assert_eq!(status[count], 7, "seed {seed}: {count}: {status:#}");
        }
        assert_eq!(cluster.all(PODS).len(), 7, "seed {seed}");
    }
}

#[test]
fn recreation_never_mixes_templates() {
    for seed in 0..SEEDS {
        let mut cluster = Cluster::new(seed);
        cluster.create(DEPLOYMENTS, deployment(&json!({"type": "Recreate"})));
        for step in 0..STEPS {
            if step == STEPS / 2 {
                cluster.edit(
                    DEPLOYMENTS,
                    "web",
                    &json!({"spec": {"template": template("two")}}),
                );
            }
            cluster.step();
            let active = cluster.all(PODS).into_iter().filter(cluster::is_active);
            let mut images: Vec<_> = active
                .map(|pod| pod["spec"]["containers"][0]["image"].to_string())
                .collect();
            images.sort();
            images.dedup();
            cluster.must(images.len() <= 1, || format!("pods of {images:?}"));
        }
        cluster.come_to_rest(|_| ());
        assert_eq!(cluster.ready("web"), 7, "seed {seed}");
    }
}

#[test]
fn each_pod_of_a_job_is_counted_once() {
    for seed in 0..SEEDS {
        let mut cluster = Cluster::new(seed);
        cluster.create(JOBS, job());
        for _ in 0..STEPS {
            cluster.step();
            check_job(&mut cluster);
        }
        cluster.come_to_rest(check_job);
        let status = cluster.get(JOBS, "work").unwrap()["status"].clone();
        assert_eq!(status["succeeded"], 9, "seed {seed}: {status:#}");
        assert!(
            status["completionTime"].is_string(),
            "seed {seed}: {status:#}"
        );
    }
}

/// Each minute, unless the Job before goes on.
fn cron() -> Value {
    json!({"metadata": {"name": "tick"}, "spec": {"schedule": "* * * * *",
        "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 1000,
        "failedJobsHistoryLimit": 1000, "jobTemplate": {"spec": {
            "completions": 1, "parallelism": 1, "backoffLimit": 1000,
            "completionMode": "NonIndexed", "podReplacementPolicy": "TerminatingOrFailed",
            "selector": {"matchLabels": {"app": "work"}},
            "template": job()["spec"]["template"]}}}})
}

fn has_ended(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Complete"))
}

/// Never two at once, and never more than there were minutes: a clock that jumps ahead is good for
/// one, and one that jumps back for none.
fn check_cron(cluster: &mut Cluster, jumps: u64) {
    let jobs = cluster.all(JOBS);
    let running = jobs.iter().filter(|job| !has_ended(job)).count();
    cluster.must(running <= 1, || format!("{running} at once"));
    let most = cluster.elapsed / 60 + 1 + jumps;
    let count = u64::try_from(jobs.len()).unwrap();
    cluster.must(count <= most, || format!("{count} started of {most}"));
}

#[test]
fn a_clock_that_jumps_starts_nothing_twice() {
    for seed in 0..SEEDS {
        let mut cluster = Cluster::new(seed);
        cluster.create(CRONS, cron());
        let mut last = String::new();
        for step in 0..3 * STEPS {
            match step {
                STEPS => cluster.set_clock(86_400),
                1000 => cluster.set_clock(-7200),
                1500 => cluster.set_clock(9000),
                _ => {}
            }
            cluster.step();
            check_cron(&mut cluster, 2);
            let tick = cluster.get(CRONS, "tick").unwrap();
            let told = tick["status"]["lastScheduleTime"].as_str().unwrap_or("");
            cluster.must(told >= last.as_str(), || format!("{told} after {last}"));
            told.clone_into(&mut last);
        }
        let jobs = cluster.all(JOBS).len();
        assert!(jobs > 3, "seed {seed}: {jobs} jobs");
        cluster.edit(CRONS, "tick", &json!({"spec": {"suspend": true}}));
        cluster.come_to_rest(|_| ());
        assert!(cluster.all(JOBS).iter().all(has_ended), "seed {seed}");
    }
}
