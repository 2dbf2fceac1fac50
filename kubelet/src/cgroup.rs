//! The cgroup tree of QoS classes and pods.
