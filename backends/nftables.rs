//! Native nftables: tables that an admin or `/etc/nftables.conf` made.

pub mod batch;
