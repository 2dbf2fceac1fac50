//! What a container said when it ended: the policy over its termination file and its log. Pure:
//! bytes come in, [`super::write::read_tail`] reads them.

/// Bytes of a termination file that count.
pub const MAX_FILE_BYTES: usize = 4096;
/// Bytes of the log that stand in for an empty file.
pub const MAX_LOG_BYTES: usize = 2048;
/// Lines of the log that stand in for an empty file.
pub const MAX_LOG_LINES: usize = 80;
/// Bytes all messages of one pod may take together.
pub const MAX_POD_BYTES: usize = 12 * 1024;
/// Where a container writes when `terminationMessagePath` is not set.
pub const DEFAULT_PATH: &str = "/dev/termination-log";

/// `terminationMessagePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Only the file.
    #[default]
    File,
    /// The file, or the end of the log when the file is empty and the container failed.
    FallbackToLogsOnError,
}

impl Policy {
    /// Reads the API value; anything unknown is `File`, the default.
    #[must_use]
    pub fn from_api(value: Option<&str>) -> Self {
        match value {
            Some("FallbackToLogsOnError") => Self::FallbackToLogsOnError,
            _ => Self::File,
        }
    }

    /// Whether the log has to be read for a container that ended with this code and file.
    #[must_use]
    pub fn needs_log(self, file: &[u8], exit_code: i32) -> bool {
        self == Self::FallbackToLogsOnError && file.is_empty() && exit_code != 0
    }
}

/// The message: the end of `file`, or of `log` where the policy says so. `log` is the message
/// text of the log lines, without their CRI prefix.
#[must_use]
pub fn message(policy: Policy, exit_code: i32, file: &[u8], log: &[u8]) -> String {
    if policy.needs_log(file, exit_code) {
        return text(last_lines(tail(log, MAX_LOG_BYTES), MAX_LOG_LINES));
    }
    text(tail(file, MAX_FILE_BYTES))
}

/// How many bytes each of `containers` may report so that a pod stays within its limit.
#[must_use]
pub fn share(containers: usize) -> usize {
    (MAX_POD_BYTES / containers.max(1)).min(MAX_FILE_BYTES)
}

/// Cuts `message` to its last `limit` bytes on a character border.
#[must_use]
pub fn cut(message: &str, limit: usize) -> &str {
    let from = message.len().saturating_sub(limit);
    let from = (from..=message.len()).find(|&i| message.is_char_boundary(i));
    &message[from.unwrap_or(message.len())..]
}

fn tail(bytes: &[u8], limit: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(limit)..]
}

fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let cut = body
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, b)| **b == b'\n')
        .nth(lines - 1);
    cut.map_or(bytes, |(at, _)| &bytes[at + 1..])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(policy: Policy, code: i32, file: &str, log: &str, want: &str) {
        assert_eq!(message(policy, code, file.as_bytes(), log.as_bytes()), want);
    }

    #[test]
    fn file_or_log() {
        use Policy::{FallbackToLogsOnError, File};
        check(File, 1, "why", "log", "why");
        check(File, 1, "", "log", "");
        check(FallbackToLogsOnError, 1, "why", "log", "why");
        check(FallbackToLogsOnError, 1, "", "log", "log");
        check(FallbackToLogsOnError, 0, "", "log", "");
    }

    #[test]
    fn ends_count() {
        let file = format!("{}END", "x".repeat(5000));
        let got = message(Policy::File, 1, file.as_bytes(), b"");
        assert_eq!(got.len(), MAX_FILE_BYTES);
        assert!(got.ends_with("xEND"));
        let log: String = (0..200).map(|i| format!("l{i}\n")).collect();
        let got = message(Policy::FallbackToLogsOnError, 1, b"", log.as_bytes());
        assert_eq!(got.lines().count(), MAX_LOG_LINES);
        assert!(
            got.starts_with("l120\n") && got.ends_with("l199\n"),
            "{got}"
        );
    }

    #[test]
    fn a_pod_stays_within_its_share() {
        assert_eq!([0, 1, 3, 4, 12].map(share), [4096, 4096, 4096, 3072, 1024]);
        assert_eq!(cut("aéb", 2), "b");
        assert_eq!(cut("abc", 9), "abc");
    }

    #[test]
    fn policy_names() {
        assert_eq!(Policy::from_api(None), Policy::File);
        let fallback = Policy::from_api(Some("FallbackToLogsOnError"));
        assert_eq!(fallback, Policy::FallbackToLogsOnError);
    }

    proptest! {
        #[test]
        fn bounded(file in prop::collection::vec(any::<u8>(), 0..6000),
                   log in prop::collection::vec(any::<u8>(), 0..6000)) {
            let got = message(Policy::FallbackToLogsOnError, 1, &file, &log);
            // Each invalid byte may become the three bytes of U+FFFD.
            prop_assert!(got.len() <= 3 * MAX_FILE_BYTES);
        }
    }
}
