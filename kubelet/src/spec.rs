//! Pure translation of a pod into CRI configuration.
