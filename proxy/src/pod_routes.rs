//! Ways to pods of other nodes, where the nodes are on a common link: a route to each node's pod
//! addresses by the node's own, and masquerading for what leaves the pod network, and only that.
//!
//! [`plan`] decides (pure), [`apply`] reads and writes routes and the table `keelson-pods`. A node
//! that is behind a router is named and has no route: that takes a tunnel, which is not supported yet.
//! [`plan::Way`] is where one would come in.

pub mod apply;
pub mod plan;
