//! The generated protocol types, as the `.proto` files in `proto/` say them.
//!
//! Only this crate and its fake server use these modules; everyone else sees [`crate::values`] and
//! [`crate::config`].
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code; the protocol files carry the words"
)]

use std::fmt;

/// The Container Runtime Interface, package `runtime.v1`.
pub mod runtime {
    tonic::include_proto!("runtime.v1");
}

/// containerd's own API.
pub mod containerd {
    pub mod services {
        pub mod version {
            pub mod v1 {
                tonic::include_proto!("containerd.services.version.v1");
            }
        }
        pub mod introspection {
            pub mod v1 {
                tonic::include_proto!("containerd.services.introspection.v1");
            }
        }
        pub mod streaming {
            pub mod v1 {
                tonic::include_proto!("containerd.services.streaming.v1");
            }
        }
        pub mod events {
            pub mod v1 {
                tonic::include_proto!("containerd.services.events.v1");
            }
        }
        pub mod transfer {
            pub mod v1 {
                tonic::include_proto!("containerd.services.transfer.v1");
            }
        }
    }
    pub mod events {
        tonic::include_proto!("containerd.events");
    }
    pub mod types {
        tonic::include_proto!("containerd.types");
        pub mod transfer {
            tonic::include_proto!("containerd.types.transfer");
        }
    }
}

/// Credentials: everything but who and where is left out.
impl fmt::Debug for runtime::AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}
