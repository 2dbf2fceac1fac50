//! Waiting for what must become true.

use std::time::Duration;

/// How often a condition is looked at while it is waited for.
pub const STEP: Duration = Duration::from_millis(20);

/// Looks at a condition until it holds or the time is up.
///
/// `assert_eventually!(seconds, condition, "what is expected: {}", details)`
#[macro_export]
macro_rules! assert_eventually {
    ($seconds:expr, $condition:expr, $($message:tt)+) => {{
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs($seconds);
        while !$condition {
            if tokio::time::Instant::now() >= deadline {
                panic!("not within {} s: {}", $seconds, format!($($message)+));
            }
            std::thread::sleep($crate::eventually::STEP);
        }
    }};
}
