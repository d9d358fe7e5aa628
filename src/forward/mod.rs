//! Carrying traffic: from a client's first byte to the last one of its answer.

pub mod acquire;
pub mod blocked;
pub mod client_ip;
pub mod dispatch;
pub mod exchange;
pub mod failure;
pub mod half_close;
pub mod http;
pub mod inbound;
pub mod lease;
pub mod pump;
pub mod record;
pub mod respond;
pub mod socket;
pub mod splice;
pub mod tcp;
pub mod tunnel;
mod turn;
pub mod waiting;
