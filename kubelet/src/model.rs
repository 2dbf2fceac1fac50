//! Plain values that the reconciler decides on.
