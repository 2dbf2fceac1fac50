//! Wiring: owns every task and the drain.
