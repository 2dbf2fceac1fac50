//! Container log files: reading and rotation.
