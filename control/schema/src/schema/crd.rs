//! Structural schemas of custom resources become schemas of ours.
