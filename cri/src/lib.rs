//! The CRI v1 client, containerd specifics and OCI image building.
