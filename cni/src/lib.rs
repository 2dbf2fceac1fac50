//! The CNI plugins bridge, host-local, loopback and portmap.
