//! The test harness, end-to-end suites, architecture tests and benchmarks.
