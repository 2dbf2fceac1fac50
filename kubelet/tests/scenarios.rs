//! Runs every case of `scenarios/*.yaml` against the pure pod state machine.
//!
//! A case is a pod and a list of steps. A step moves the clock, lets things happen and says what
//! must follow. The world behind it is a list of sandboxes and containers; an action changes it
//! only when a step says that the action is done. After each step the reconciler is called twice:
//! the second call must have nothing to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

#[path = "scenarios/check.rs"]
mod check;
#[path = "scenarios/words.rs"]
mod words;
#[path = "scenarios/world.rs"]
mod world;

use world::World;

/// A pod and what happens to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `spec` of the pod.
    pod: Value,
    /// More of the object, such as `metadata` or `status`.
    #[serde(default)]
    object: Value,
    steps: Vec<Turn>,
}

/// One step: first what happens, in the order of these fields, then what must follow.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Turn {
    /// Seconds since the beginning.
    at: Option<f64>,
    /// A new `spec` of the pod.
    edit: Option<Value>,
    /// The agent dies and comes back: what is under way and observed is lost, the pod is listed.
    restart_agent: bool,
    /// Actions that end well.
    done: Vec<String>,
    /// Actions that fail: action, reason and message.
    fail: BTreeMap<String, (String, String)>,
    /// Actions that were given up.
    cancelled: Vec<String>,
    /// Probes that answer: `a Readiness` -> `true`, `false` or `null`.
    probes: BTreeMap<String, Option<bool>>,
    /// Processes that end: container -> exit code.
    exits: BTreeMap<String, i32>,
    /// Containers that change their state in the world.
    states: BTreeMap<String, String>,
    /// Sandboxes that stop being ready.
    sandboxes_die: Vec<String>,
    /// What somebody removed behind the agent's back: containers or sandboxes; a listing follows.
    vanish: Vec<String>,
    /// Containers that somebody else started: name, attempt, sandbox.
    appear: Vec<(String, u32, String)>,
    /// Containers that were created and not started: name, attempt, sandbox.
    half_made: Vec<(String, u32, String)>,
    /// Late news of containers as they were when they ran.
    late_news_of: Vec<String>,
    /// The pod is to stop.
    terminate: Option<Stop>,
    /// Lets every action end well, over and over, until nothing is to be done.
    settle: bool,
    /// Exactly these actions, in this order.
    expect: Option<Vec<String>>,
    /// Actions that must be among those emitted.
    expect_some: Vec<String>,
    /// Notes that must be there, as `Reason: part of the message`.
    notes: Vec<String>,
    /// Reasons of notes that must not be there.
    no_notes: Vec<String>,
    /// Seconds since the beginning of the next call; -1 for none.
    wake: Option<f64>,
    /// Parts of the status.
    status: Option<Value>,
    /// Parts of what the pod waits for.
    waits: Vec<String>,
    /// `Wanted`, `Finished`, `Terminating`, `Gone`.
    life: Option<String>,
}

/// A request to stop.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    grace: u64,
    #[serde(default)]
    reason: Option<String>,
}

/// Runs one case; says where and why it fails.
fn run(case: &Case) -> Result<(), String> {
    let mut world = World::new(case);
    for (i, turn) in case.steps.iter().enumerate() {
        let step = std::panic::AssertUnwindSafe(|| {
            world.happen(turn);
            world.check(turn);
        });
        std::panic::catch_unwind(step).map_err(|panic| {
            let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            format!("{:?}, step {}: {said}", case.name, i + 1)
        })?;
    }
    Ok(())
}

fn cases_of(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_scenario() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    let (mut count, mut failures) = (0, String::new());
    for file in &files {
        for case in cases_of(file) {
            count += 1;
            if let Err(why) = run(&case) {
                let _ = writeln!(failures, "{}: {why}\n", file.display());
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(count >= 50, "only {count} cases were found");
}
