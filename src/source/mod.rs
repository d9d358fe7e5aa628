//! Where connections to the endpoints come from: local addresses, and the ports that are left.

pub mod ports;
