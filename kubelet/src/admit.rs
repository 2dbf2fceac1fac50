//! Pure admission of a pod to this node.
