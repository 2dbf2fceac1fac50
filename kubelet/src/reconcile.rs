//! The pure pod state machine.
