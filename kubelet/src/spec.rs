//! Translates a pod into what the runtime is asked to make.
//!
//! Pure: the pod, its planned mounts, the node's settings and what admission granted go in, CRI
//! configuration comes out, or an error that names the field. Knows nothing of when things happen
//! (`crate::reconcile`) nor of how calls are made (`crate::execute`).

pub mod container;
pub mod credential_plugins;
pub mod env;
pub mod labels;
pub mod pull_credentials;
pub mod resources;
pub mod sandbox;
pub mod security;

pub use container::{ContainerInputs, container_config};
pub use sandbox::{SandboxInputs, sandbox_config};

/// Why a pod's own definition can't be turned into runtime configuration
/// (`CreateContainerConfigError`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// `runAsNonRoot` is set and the container would run as root.
    #[error(
        "container {container} has runAsNonRoot and {detail} \
         (set securityContext.runAsUser to a number above 0)"
    )]
    RunsAsRoot {
        /// Which container.
        container: String,
        /// Such as `image will run as root`.
        detail: String,
    },
    /// A value of an environment variable can't be found.
    #[error("environment variable {name} of container {container}: {detail}")]
    Env {
        /// Which container.
        container: String,
        /// Name of the variable.
        name: String,
        /// What is wrong.
        detail: String,
    },
    /// A field that this node can't honour.
    #[error("{field} is not supported: {detail}")]
    NotSupported {
        /// Path of the field.
        field: String,
        /// What to do instead.
        detail: String,
    },
    /// A field with a value that can't be used.
    #[error("{field}: {detail}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// What would be right.
        detail: String,
    },
}
