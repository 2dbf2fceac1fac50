//! The generated messages, as `proto/etcd.proto` says them; only this engine uses them.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code; the protocol file carries the words"
)]

tonic::include_proto!("etcdserverpb");
