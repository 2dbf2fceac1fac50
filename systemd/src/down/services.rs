//! What kube-proxy left in the kernel: it knows best what that is, so it is asked to clean up.

use std::process::Command;

/// Removes the rules of services of this network namespace.
pub(super) fn remove() -> Vec<String> {
    let cleaned = Command::new("/proc/self/exe")
        .args(["kube-proxy", "--cleanup"])
        .output();
    let failed = match cleaned {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    };
    failed
        .into_iter()
        .map(|why| format!("rules of services: {why}"))
        .collect()
}
