//! The one place that talks route, nf_tables and conntrack netlink.
