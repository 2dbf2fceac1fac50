//! Turning a host into a node: preflight, containerd set-up, up and down.
