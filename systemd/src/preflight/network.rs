//! Tries the pod network for real, where nobody sees it: our own plugin connects two namespaces
//! that exist for this trial only. What the kernel lacks shows here and not in the first pod.

use nix::sched::{CloneFlags, unshare};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// Why the trial did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No network namespace can be made.
    #[error("make a network namespace: {0}")]
    Namespace(nix::Error),
    /// A thread of the trial ended early.
    #[error("the trial's helper thread ended")]
    Thread,
    /// The plugin could not be run.
    #[error("run {program}: {source}")]
    Run {
        /// The plugin's file.
        program: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The plugin refused; this is its message.
    #[error("{0}")]
    Refused(String),
}

/// Runs `bridge` (the plugin's file) with `config` between two fresh namespaces, ADD only: the
/// kernel clears everything up with the namespaces.
///
/// # Errors
/// When a namespace cannot be made, or with the plugin's own message.
pub fn try_network(bridge: &Path, config: &str) -> Result<(), NetworkError> {
    let (made, pod) = mpsc::channel();
    let (release, done) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let namespace = unshare(CloneFlags::CLONE_NEWNET).map(|()| rustix::thread::gettid());
        // Both ends may be gone: then the trial is over.
        let _ = made.send(namespace);
        let _ = done.recv();
    });
    let outcome = pod
        .recv()
        .map_err(|_| NetworkError::Thread)
        .and_then(|namespace| {
            let thread = namespace.map_err(NetworkError::Namespace)?;
            let path = format!(
                "/proc/{}/task/{}/ns/net",
                std::process::id(),
                thread.as_raw_nonzero()
            );
            in_own_namespace(|| add(bridge, config, &path))
        });
    drop(release);
    let _ = holder.join();
    outcome
}

fn in_own_namespace(
    act: impl FnOnce() -> Result<(), NetworkError> + Send,
) -> Result<(), NetworkError> {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(NetworkError::Namespace)?;
        act()
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap_or(Err(NetworkError::Thread)))
}

fn add(bridge: &Path, config: &str, namespace: &str) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::Run {
        program: bridge.display().to_string(),
        source,
    };
    let mut plugin = Command::new(bridge)
        .env_clear()
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", "preflight")
        .env("CNI_NETNS", namespace)
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", bridge.parent().unwrap_or(Path::new("/")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = plugin.stdin.take() {
        input.write_all(config.as_bytes()).map_err(failed)?;
    }
    let output = plugin.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(NetworkError::Refused(message_of(&output.stdout)))
}

/// What a plugin's error document says.
fn message_of(document: &[u8]) -> String {
    let error: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
    let field = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let said: Vec<_> = [field("msg"), field("details")]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    if said.is_empty() {
        "the bridge plugin failed without a word".to_owned()
    } else {
        said.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_the_plugin() {
        let check =
            |document: &str, expected| assert_eq!(message_of(document.as_bytes()), expected);
        check(
            r#"{"code": 11, "msg": "create veth", "details": "EOPNOTSUPP"}"#,
            "create veth: EOPNOTSUPP",
        );
        check(r#"{"code": 11, "msg": "create veth"}"#, "create veth");
        check("", "the bridge plugin failed without a word");
    }
}
