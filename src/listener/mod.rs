//! Where clients come in.

pub mod backoff;
pub mod bind;
