//! Actions become calls.
