//! Waiting for what must become true.

use std::time::Duration;
use tokio::time::Instant;

/// How often a condition is looked at while it is waited for.
pub const STEP: Duration = Duration::from_millis(20);

/// The shortest that anything is waited for: a machine which runs all tests at once on two cores
/// may take so long for what takes a moment elsewhere.
pub const LEAST: Duration = Duration::from_secs(60);

/// Tries until it succeeds or the time is up; what came of the last time.
///
/// # Errors
/// That of the last try.
pub fn succeeds<T, E>(attempt: impl Fn() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + LEAST;
    loop {
        let outcome = attempt();
        if outcome.is_ok() || Instant::now() >= deadline {
            return outcome;
        }
        std::thread::sleep(STEP);
    }
}

/// Looks at a condition until it holds or the time is up.
///
/// `assert_eventually!(seconds, condition, "what is expected: {}", details)`
#[macro_export]
macro_rules! assert_eventually {
    ($seconds:expr, $condition:expr, $($message:tt)+) => {{
        let patience = std::time::Duration::from_secs($seconds).max($crate::eventually::LEAST);
        let deadline = tokio::time::Instant::now() + patience;
        while !$condition {
            if tokio::time::Instant::now() >= deadline {
                panic!("not within {patience:?}: {}", format!($($message)+));
            }
            std::thread::sleep($crate::eventually::STEP);
        }
    }};
}
