//! The node tier: a kubelet, a real containerd and our CNI plugins in namespaces of their own.

mod bad_days;
mod bad_disks;
mod clients;
mod cluster;
mod content;
mod crash;
mod down;
mod eviction;
mod exec_logs;
mod init_order;
mod joined;
mod joining;
mod kubeadm;
mod lifecycle;
mod manifests;
mod many_pods;
mod probes;
mod restart;
mod user_namespaces;
