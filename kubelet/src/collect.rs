//! Garbage collection of containers, sandboxes, directories and images.
