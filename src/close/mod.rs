//! How connections end.

pub mod linger;
pub mod policy;
