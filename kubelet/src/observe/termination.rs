//! The last words of a container that has ended, from its termination log or the end of its output.

use std::path::Path;

use keelson_cri::values::ContainerStatus;

use crate::logs::format::Line;
use crate::model::{ContainerState, ObservedContainer};
use crate::node::Node;
use crate::pod_files::read_tail;
use crate::pod_files::termination::{MAX_FILE_BYTES, MAX_LOG_BYTES, Policy, message};
use crate::spec::labels;

/// The container as it was seen, with its last words where it has ended.
#[must_use]
pub fn with_last_words(
    node: &Node,
    uid: &str,
    seen: ObservedContainer,
    status: &ContainerStatus,
) -> ObservedContainer {
    match seen.state {
        ContainerState::Exited => ObservedContainer {
            message: message_of(node, uid, status),
            ..seen
        },
        _ => seen,
    }
}

/// The termination message of an instance: what the runtime says where it has something to say,
/// else what the container left behind. Reads local files; a container without any has none.
#[must_use]
pub fn message_of(node: &Node, uid: &str, ended: &ContainerStatus) -> String {
    if !ended.message.is_empty() {
        return ended.message.clone();
    }
    let policy = ended
        .annotations
        .get(labels::TERMINATION_POLICY)
        .map(String::as_str);
    let policy = Policy::from_api(policy);
    let log = node.paths.termination_log(uid, &ended.name, ended.attempt);
    let file = read_tail(&log, MAX_FILE_BYTES).unwrap_or_default();
    let output = match policy.needs_log(&file, ended.exit_code) {
        true => last_output(Path::new(&ended.log_path)),
        false => Vec::new(),
    };
    message(policy, ended.exit_code, &file, &output)
}

/// The end of what a container printed, without the runtime's prefixes.
fn last_output(log: &Path) -> Vec<u8> {
    // Prefixes are at most as long as the text of short lines: four times as much is enough.
    let raw = read_tail(log, 4 * MAX_LOG_BYTES).unwrap_or_default();
    let mut output = Vec::new();
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if let Ok(line) = Line::parse(line) {
            output.extend_from_slice(line.text);
        }
    }
    output
}
