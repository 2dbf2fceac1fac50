//! The journal of decisions.
