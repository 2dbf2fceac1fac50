//! Simulation of one pod's life: the real reconciler under a virtual clock, with a model of the
//! runtime that fails, hangs, loses news and answers, and with an agent that dies between any two
//! actions.
//!
//! Every seed is one pod: what it is made of, what happens to it and what goes wrong follow from
//! the seed alone. After a stormy while everything calms down and the pod must come to rest. Replay
//! one with `KEELSON_SIM_SEED=n cargo test -p keelson-kubelet --test sim -- --nocapture`; run more
//! with `KEELSON_SIM_SEEDS=n`, from another first one with `KEELSON_SIM_FIRST=n`.
//!
//! The runtime is modelled here rather than taken from `keelson-cri-fake`: that one speaks gRPC
//! over a socket in real time, this one must run thousands of pods in seconds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "sim/agent.rs"]
mod agent;
#[path = "sim/checks.rs"]
mod checks;
#[path = "sim/clock.rs"]
mod clock;
#[path = "sim/pods.rs"]
mod pods;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/simulation.rs"]
mod simulation;
#[path = "sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use clock::Clock;
use simulation::{Simulation, Voice};

const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

fn fails(seed: u64) -> bool {
    let run = || Simulation::new(seed, Clock::jumping(seed), Voice::Silent).run();
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn every_pod_comes_to_rest() {
    if let Some(seed) = number("KEELSON_SIM_SEED") {
        Simulation::new(seed, Clock::jumping(seed), Voice::Loud).run();
        return;
    }
    let first = number("KEELSON_SIM_FIRST").unwrap_or(0);
    let last = first + number("KEELSON_SIM_SEEDS").unwrap_or(SEEDS);
    // Two halves at once: test machines have two cores.
    let half = |odd| -> Vec<u64> {
        (first..last)
            .filter(move |seed| seed % 2 == odd && fails(*seed))
            .collect()
    };
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        let mut failed: Vec<u64> = half(0);
        failed.extend(odd.join().unwrap());
        failed
    });
    let replay = failed.first().map(|seed| {
        format!("KEELSON_SIM_SEED={seed} cargo test -p keelson-kubelet --test sim -- --nocapture")
    });
    assert!(
        failed.is_empty(),
        "seeds {failed:?} failed; replay with\n  {}",
        replay.unwrap()
    );
}

/// The same seed gives the same run, or no failure could be replayed.
#[test]
fn a_seed_replays() {
    for seed in [1, 77, 4_242] {
        let (mut first, mut second) = (
            Simulation::new(seed, Clock::steady(), Voice::Hashed),
            Simulation::new(seed, Clock::steady(), Voice::Hashed),
        );
        first.run();
        second.run();
        assert_eq!(first.trace_hash(), second.trace_hash(), "seed {seed}");
    }
}

/// Whoever sets the wall clock, by an hour or by a year, changes no decision and no moment of one:
/// probes, back-offs and deadlines go by the clock that only goes on.
#[test]
fn a_jump_of_the_wall_clock_changes_nothing() {
    for seed in 0..SEEDS / 4 {
        let trace = |clock| {
            let mut simulation = Simulation::new(seed, clock, Voice::Hashed);
            simulation.run();
            simulation.trace_hash()
        };
        let (steady, jumping) = (trace(Clock::steady()), trace(Clock::jumping(seed)));
        assert_eq!(steady, jumping, "seed {seed}");
    }
}
