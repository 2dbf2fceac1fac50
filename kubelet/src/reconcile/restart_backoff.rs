//! Delays that grow with repetition, and whether a container that ended is started again.

use std::time::Duration;

use crate::model::Mono;
use crate::model::desired::{ContainerSpec, RestartPolicy, Role};
use crate::model::memory::{Backoff, ContainerMemory};

use super::Policy;

/// Twice the delay within its bounds; `initial` when there was none.
#[must_use]
pub fn grown(delay: Duration, initial: Duration, max: Duration) -> Duration {
    if delay.is_zero() {
        initial.min(max)
    } else {
        delay.saturating_mul(2).min(max)
    }
}

impl Backoff {
    /// A failure at `now`: the delay grows and begins.
    pub fn fail(&mut self, now: Mono, initial: Duration, max: Duration) {
        self.delay = grown(self.delay, initial, max);
        self.until = now + self.delay;
    }

    /// A failure that is nobody's fault: try again after `pause`; the delay does not grow.
    pub fn pause(&mut self, now: Mono, pause: Duration) {
        self.until = now + pause;
    }
}

/// Whether a container that ended with this exit code is to be started again.
#[must_use]
pub fn restarts_after(spec: &ContainerSpec, exit_code: i32) -> bool {
    if spec.role == Role::Ephemeral || (spec.role == Role::Init && exit_code == 0) {
        return false;
    }
    let ruled = |rule: &crate::model::desired::RestartRule| {
        rule.exit_codes.contains(&exit_code) != rule.negated
    };
    spec.restart_rules.iter().any(ruled)
        || match spec.restart_policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
}

/// The current container has ended at `at`: when may its successor start?
///
/// The first restart is at once; a container that ran longer than
/// [`Policy::crash_reset_after`] counts as never having crashed; one that was killed to be made
/// anew does not wait.
pub fn on_exit(memory: &mut ContainerMemory, at: Mono, policy: &Policy) {
    memory.crash_backoff.until = at + waits(memory, at, policy);
    if ran_long(memory, at, policy) {
        memory.crash_backoff.delay = Duration::ZERO;
    }
}

/// How long the successor of a container that ends at `at` has to wait.
#[must_use]
pub fn waits(memory: &ContainerMemory, at: Mono, policy: &Policy) -> Duration {
    match memory.respawn || ran_long(memory, at, policy) {
        true => Duration::ZERO,
        false => memory.crash_backoff.delay,
    }
}

fn ran_long(memory: &ContainerMemory, at: Mono, policy: &Policy) -> bool {
    let ran = memory.running_since.map(|since| at.since(since));
    ran.is_some_and(|ran| ran > policy.crash_reset_after)
}

/// A container was started after one that had ended: the next crash waits longer.
pub fn on_restart(memory: &mut ContainerMemory, policy: &Policy) {
    let delay = memory.crash_backoff.delay;
    memory.crash_backoff.delay = grown(
        delay,
        policy.crash_backoff_initial,
        policy.crash_backoff_max,
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::desired::{PullPolicy, RestartRule};

    fn container(
        role: Role,
        restart_policy: RestartPolicy,
        rules: Vec<RestartRule>,
    ) -> ContainerSpec {
        ContainerSpec {
            name: "c".into(),
            role,
            image: "i".into(),
            pull_policy: PullPolicy::IfNotPresent,
            restart_policy,
            restart_rules: rules,
            probes: std::collections::BTreeMap::new(),
            post_start: false,
            pre_stop: false,
            resources: crate::model::Resources::default(),
            needs_restart: crate::model::resources::NeedsRestart::default(),
            hash: 0,
        }
    }

    #[test]
    fn policies_and_rules_decide_on_the_exit_code() {
        let rule = |codes: &[i32], negated| RestartRule {
            exit_codes: codes.to_vec(),
            negated,
        };
        let check = |role, policy, rules: Vec<RestartRule>, code, expected| {
            let spec = container(role, policy, rules);
            assert_eq!(
                restarts_after(&spec, code),
                expected,
                "{spec:?} exit {code}"
            );
        };
        check(Role::Main, RestartPolicy::Always, vec![], 0, true);
        check(Role::Main, RestartPolicy::OnFailure, vec![], 0, false);
        check(Role::Main, RestartPolicy::OnFailure, vec![], 1, true);
        check(Role::Main, RestartPolicy::Never, vec![], 1, false);
        check(
            Role::Main,
            RestartPolicy::Never,
            vec![rule(&[42], false)],
            42,
            true,
        );
        check(
            Role::Main,
            RestartPolicy::Never,
            vec![rule(&[42], false)],
            41,
            false,
        );
        check(
            Role::Main,
            RestartPolicy::Never,
            vec![rule(&[0, 42], true)],
            41,
            true,
        );
        check(
            Role::Main,
            RestartPolicy::Never,
            vec![rule(&[0, 42], true)],
            42,
            false,
        );
        check(Role::Init, RestartPolicy::Always, vec![], 0, false);
        check(Role::Init, RestartPolicy::Always, vec![], 1, true);
        check(Role::Sidecar, RestartPolicy::Always, vec![], 0, true);
        check(Role::Ephemeral, RestartPolicy::Always, vec![], 1, false);
    }

    proptest! {
        /// Whatever the run times, the delay before restart n is 0, 10 s, 20 s, ... up to the
        /// maximum, and zero again after a long run.
        #[test]
        fn crash_back_off_doubles_to_its_maximum(
            runs in prop::collection::vec(0_u64..1_200, 1..40),
            max in 1_u64..600,
        ) {
            let policy = Policy { crash_backoff_max: Duration::from_secs(max), ..Policy::default() };
            let (mut memory, mut now) = (ContainerMemory::default(), Mono(5));
            let mut expected = Duration::ZERO;
            for run in runs {
                memory.running_since = Some(now);
                now = now + Duration::from_secs(run);
                if run > 600 {
                    expected = Duration::ZERO;
                }
                on_exit(&mut memory, now, &policy);
                prop_assert_eq!(memory.crash_backoff.until, now + expected);
                now = memory.crash_backoff.until;
                on_restart(&mut memory, &policy);
                let ten = Duration::from_secs(10);
                expected = if expected.is_zero() { ten } else { expected * 2 }
                    .min(Duration::from_secs(max));
            }
        }

        /// Any run of failures: delays never shrink, never exceed the maximum, and the end of the
        /// delay is in the future.
        #[test]
        fn retries_grow_within_bounds(gaps in prop::collection::vec(0_u64..100_000, 1..60)) {
            let (initial, max) = (Duration::from_millis(500), Duration::from_secs(30));
            let (mut backoff, mut now) = (Backoff::default(), Mono(0));
            let mut before = Duration::ZERO;
            for gap in gaps {
                now = now + Duration::from_millis(gap);
                backoff.fail(now, initial, max);
                prop_assert!(backoff.delay >= before && backoff.delay <= max);
                prop_assert_eq!(backoff.until, now + backoff.delay);
                before = backoff.delay;
            }
        }
    }
}
