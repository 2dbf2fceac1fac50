//! The HTTP servers.
