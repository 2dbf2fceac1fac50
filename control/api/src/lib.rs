//! The shared vocabulary of the API: quantities, defaults, validation, QoS.
