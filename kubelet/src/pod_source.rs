//! Where pods come from.
