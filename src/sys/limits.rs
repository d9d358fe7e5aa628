//! Limits of the process and of the kernel.

use std::io;

/// Raises RLIMIT_NOFILE's soft limit to its hard limit; returns (before, now).
pub fn raise_nofile() -> io::Result<(u64, u64)> {
    todo!()
}

/// net.core.somaxconn.
pub fn somaxconn() -> io::Result<u32> {
    todo!()
}
