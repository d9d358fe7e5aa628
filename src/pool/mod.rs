//! Connections to endpoints, kept between requests: one pool an endpoint in each worker.

pub mod connection;
pub mod ending;
pub mod handover;
pub mod heir;
pub mod identity;
pub mod idle;
pub mod lease;
pub mod state;
pub mod waiters;
pub mod watch;

mod endpoint_pool;

pub use connection::Connection;
pub use ending::Ending;
pub use endpoint_pool::{Delivery, IdlePage, OwnDial, Pool, Ticket};
pub use identity::Identity;
pub use lease::Lease;
