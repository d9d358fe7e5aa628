//! Listening sockets: every option set before listen(2), all or nothing.

use crate::addr::ListenAddr;
use crate::config::model::{Config, Listener};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// One address of one listener, bound and listening.
#[derive(Debug)]
pub struct Bound {
    /// With the port that the kernel gave where the configuration said 0.
    pub address: ListenAddr,
    /// The listener's configuration.
    pub config: Arc<Listener>,
    /// The argument that listen(2) was given.
    pub backlog: u32,
    /// Non-blocking; one a worker. Without SO_REUSEPORT they are duplicates of one socket.
    pub sockets: Vec<TcpListener>,
}

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{listener}\" cannot bind {address}: {why}")]
pub struct BindError {
    /// The listener's name.
    pub listener: String,
    /// The address.
    pub address: SocketAddr,
    /// What is wrong and what to do.
    pub why: String,
}

/// Binds every address of every listener, or nothing and says everything that is wrong.
pub fn bind_all(_config: &Config) -> Result<Vec<Bound>, Vec<BindError>> {
    todo!()
}
