//! Where clients come in.

pub mod accept;
pub mod backoff;
pub mod bind;
pub mod inlet;
