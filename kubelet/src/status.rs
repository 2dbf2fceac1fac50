//! PodStatus from what is observed.
