//! Probe and hook effects.
